"""`cnn gc` at its strictest leaves all that versions and saved nights need: asked for it afterwards, it is there.

Real files, DVC and MLflow; the models are files of the right kind and no networks.
"""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from promoted import Gatehouse
from rich.console import Console
from ruamel.yaml import YAML

from cnn import wiring
from cnn.commands.compare import compare
from cnn.commands.gc import gc
from cnn.config.reading import write_overrides
from cnn.disposal.removable import Policy
from cnn.durable import write_sealed
from cnn.lineage import git
from cnn.nights import Night, Nights
from cnn.promotion.rollback import rollback
from cnn.reproduction.keeping import keep_origin
from cnn.reproduction.origin import find_origin, kept_files
from cnn.reproduction.pipeline import Pipeline
from cnn.reproduction.worktree import lay_over, worktree
from cnn.steps.prepare import prepare
from cnn.steps.promote import promote
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.tracker import Run, RunState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own, as it is imported
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]

NAME = "cnn-overnight"
OLDER, CHAMPION, SAVED, FORGOTTEN = (f"night-2026-11-2{day}-0100" for day in range(4))
STRICTEST = Policy(keep_nights=0, older_than_days=0)


class House:
    """A checkout with DVC, in which the steps of nights are taken, and its home."""

    def __init__(self, project):
        self.project, self.environment = project, project.environment
        self.gate = Gatehouse(project.folder.parent, MlflowRegistry(self.environment), home=project.home.name)
        pipeline = YAML(typ="safe").load((project.folder / "dvc.yaml").read_text())
        with (project.folder / "dvc.yaml").open("w") as file:  # a stage that never ran could not be saved
            YAML().dump({"stages": {"prepare": pipeline["stages"]["prepare"]}}, file)
        (project.folder / ".gitignore").write_text("/data/prepared/\n/outputs/\n")
        self.git("init", "--quiet")
        self.git("config", "user.name", "t")  # by which DVC saves nights too
        self.git("config", "user.email", "t@t")
        self.dvc("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "begin")

    def git(self, *words):
        subprocess.run(["git", *words], cwd=self.project.folder, check=True, capture_output=True)

    def dvc(self, *words):
        command = [sys.executable, "-m", "dvc", *words]
        subprocess.run(command, cwd=self.project.folder, check=True, capture_output=True)

    def prepare(self, seed):
        """Data of their own for each seed."""
        path = self.project.folder / "params.yaml"
        path.write_text(write_overrides(path, [f"prepare.seed={seed}"]))
        prepared = prepare(self.project.params(), self.environment)
        self.dvc("commit", "--force", "--quiet", "prepare")
        return prepared

    def version(self, seed, night, n_right):
        """A version on the data of a seed, with all that is kept of its origin; it becomes champion."""
        prepared, tracker = self.prepare(seed), self.gate.tracker
        candidate, kept = self.gate.candidate(n_right), self.project.folder.parent / night
        origin = keep_origin(kept, self.project.params(), model=candidate.model)
        write_sealed(kept / "train.json", {"recipe": {"model": {"filters": 8}}, "data_hash": prepared.data_hash})
        key = f"{night}/candidate"
        with wiring.tracker(self.environment, NAME, source="a test") as mlflow:
            mlflow.start(Run(key=key, name="candidate", parent=night))
            mlflow.log_file(key, kept / "train.json")
            mlflow.end(key, RunState.FINISHED)
        tracker.start(Run(key=key, name="candidate"))
        lineage = {"git_revision": git("rev-parse", "HEAD"), "night": night, "data_hash": prepared.data_hash}
        files = (*candidate.files, *origin, kept / "train.json")
        candidate = replace(candidate, run_key=key, lineage=lineage | {"test_hash": "t" * 64}, files=files)
        version = self.gate.registry.register(NAME, candidate)
        verdict = promote(self.gate.params, self.environment, tracker, self.gate.registry, number=version.number)
        assert verdict.promoted
        self.ended(night)

    def ended(self, name):
        began = datetime.now().astimezone().isoformat()
        Nights(self.environment.home / "nights").write(
            Night(name=name, checkout=str(self.project.folder), params_digest="d", began=began, finished=True)
        )

    def trial(self, night):
        """A trial's run with a picture, in MLflow."""
        picture = self.project.folder / "curve.png"
        picture.write_bytes(night.encode())
        with wiring.tracker(self.environment, NAME, source="a test") as tracker:
            tracker.start(Run(key=f"{night}/0", name="trial 0", parent=night))
            tracker.log_file(f"{night}/0", picture)
            tracker.end(f"{night}/0", RunState.FINISHED)
        picture.unlink()

    def files(self, folder):
        """What lies below a folder, with its content."""
        return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def gc(self):
        screen = Console(file=io.StringIO(), width=100)
        gc(self.environment, STRICTEST, screen, yes=True)
        return screen.file.getvalue()


@pytest.fixture(scope="module")
def house(new_project, tmp_path_factory):
    """An older version, a saved night, what nobody needs, and a champion, each with data of its own."""
    folder = tmp_path_factory.mktemp("gc")
    house = House(new_project(folder / "project", folder / "home"))
    with contextlib.chdir(house.project.folder):
        house.version(0, OLDER, n_right=100)
        house.prepare(1)
        house.dvc("exp", "save", "--quiet", "--force", "--name", SAVED)
        house.prepare(2)  # nobody's
        house.version(3, CHAMPION, n_right=300)
        for night in (OLDER, FORGOTTEN):
            house.ended(night)
            house.trial(night)
        for name in ("remedies/abc.jsonl", f"nights/{OLDER}.html", f"studies/{FORGOTTEN}/ledger.db"):
            path = house.environment.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        garbage = house.environment.home / "studies" / FORGOTTEN / "trials" / "0" / "epoch-1.checkpoint"
        garbage.parent.mkdir(parents=True)
        garbage.write_bytes(b"x" * 1000)
        before = SimpleNamespace(home=house.files(house.environment.home))
        with Nights(house.environment.home / "nights").in_checkout(house.project.folder):
            before.cache = house.files(house.project.folder / ".dvc" / "cache")
            said = house.gc()
            # While a night runs here, its checkpoints and what DVC has of it are nobody's garbage.
            assert "a night runs here" in said and garbage.exists()
            assert house.files(house.project.folder / ".dvc" / "cache") == before.cache
        house.gc()
        yield SimpleNamespace(house=house, before=before)


def test_only_garbage_is_gone(house):
    home, before = house.house.environment.home, house.before
    gone = [path.relative_to(home) for path in before.home.keys() - house.house.files(home).keys()]
    # Checkpoint and picture of the night that made no version; its ledger stays, and with it all that was learnt.
    assert sorted((path.parts[0], path.name) for path in gone if path.suffix in (".png", ".checkpoint")) == [
        ("artifacts", "curve.png"),
        ("studies", "epoch-1.checkpoint"),
    ]
    # Prepared data's fingerprints, remedies, nights and their pages are as they were.
    for folder in ("data", "remedies", "nights"):
        kept = {path: text for path, text in before.home.items() if path.is_relative_to(home / folder)}
        assert kept and {path: path.read_bytes() for path in kept} == kept
    # Asked again, there is nothing more.
    assert "nothing to remove" in house.house.gc()


def test_what_nobody_prepared_for_is_gone_from_the_cache(house):
    cache = house.house.project.folder / ".dvc" / "cache"
    gone = house.before.cache.keys() - house.house.files(cache).keys()
    # The data of one preparation: the lists of three folders, and files.
    assert len([path for path in gone if path.suffix == ".dir"]) == 3 and len(gone) > 3


def test_versions_are_compared_and_their_files_whole(house, tmp_path):
    project, registry = house.house.project, house.house.gate.registry
    with contextlib.redirect_stdout(io.StringIO()) as said:
        compare("1", "2", project.params(), project.environment, Console(file=io.StringIO()), as_json=True)
    found = json.loads(said.getvalue().splitlines()[-1])
    # Settings and answers of both.
    assert found["params"]["prepare.seed"] == ["0", "3"] and found["paired_test"]["losses"] == 200
    for version in registry.versions(NAME):  # what `cnn export` begins with
        assert registry.download(version, tmp_path).is_file()
        assert (kept_files(version, registry, tmp_path / str(version.number)) / "dvc.lock").is_file()


@pytest.mark.parametrize("what", ["1", "2", SAVED])
def test_what_makes_them_again_is_found(house, what, tmp_path):
    project, environment = house.house.project, house.house.environment
    registry, reader = wiring.registry(environment), wiring.reader(environment)
    origin = find_origin(what, NAME, registry, reader, project.folder)
    with worktree(project.folder, Path(), origin.revision, tmp_path / "again", keep=False) as place:
        pipeline = Pipeline(place, project.folder, environment, origin.night)
        pipeline.begin()
        if origin.version is not None:
            kept_files(origin.version, registry, place.kept)
            lay_over(place)
            wanted = origin.version.tags["data_hash"]
        # All images of its own are in the cache, though the checkout has gone on to others.
        assert pipeline.bring("prepare") == "the local cache"
        assert origin.version is None or pipeline.data_hash() == wanted


def test_the_champion_before_comes_back(house):
    environment = house.house.environment
    line = rollback(NAME, environment, wiring.registry(environment))
    assert (line["challenger"], line["champion"]) == (1, 2)

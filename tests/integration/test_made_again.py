"""A version made by DVC's stages and registered in a real MLflow: made again elsewhere, compared, cleaned up after."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from cnn.durable import read_sealed, write_sealed
from cnn.reproduction.origin import kept_files
from cnn.tracking.mlflow_registry import MlflowRegistry

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NIGHT = "night-2026-11-24-0100"
IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@t")


def do(project, *words, **variables):
    answer = subprocess.run(
        words, check=False, cwd=project.folder, env=project.settings(**variables), capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def dvc(project, *words, **variables):
    return do(project, sys.executable, "-m", "dvc", *words, **variables)


@pytest.fixture(scope="module")
def project(new_project, tmp_path_factory):
    """Trained with a winner that no search of this home has found, its settings changed since the commit."""
    folder = tmp_path_factory.mktemp("again")
    made = new_project(folder / "project", folder / "home")
    (made.folder / ".gitignore").write_text("/data/prepared/\n/outputs/\n")
    do(made, "git", "init", "--quiet")
    dvc(made, "init", "--quiet")
    do(made, "git", "add", "--all")
    do(made, "git", *IDENTITY, "commit", "--quiet", "--message", "begin")
    settings = (made.folder / "params.yaml").read_text()
    (made.folder / "params.yaml").write_text(settings.replace("confidence: 0.95", "confidence: 0.9"))
    recipe = YAML(typ="safe").load((made.folder / "tiny.yaml").read_text())
    (made.folder / "tiny.yaml").write_text((made.folder / "tiny.yaml").read_text() + "# a remark\n")
    write_sealed(made.folder / "outputs/search/winner.yaml", {"recipe": recipe, "spread": 0.01})
    for stage in ("prepare", "train", "evaluate"):
        dvc(made, "repro", "--single-item", stage, CNN_NIGHT=NIGHT)
    code, output = made.run("register", CNN_NIGHT=NIGHT)
    assert code == 0, output
    return made


@pytest.fixture(scope="module")
def registry(project):
    return MlflowRegistry(project.environment)


def test_the_version_keeps_what_makes_it_again(project, registry, tmp_path):
    (version,) = registry.versions("cnn-overnight")
    kept = kept_files(version, registry, tmp_path / "kept")
    names = {path.name for path in kept.iterdir()}
    # Settings, lock, winner, uncommitted changes, conditions; figures and answers to compare with; a card to read.
    assert {"params.yaml", "dvc.lock", "winner.yaml", "changes.patch", "conditions.json"} <= names
    assert {"train.json", "curves.csv", "evaluate.json", "predictions.npz", "model_card.md"} <= names
    assert (kept / "params.yaml").read_bytes() == (project.folder / "params.yaml").read_bytes()
    assert "a remark" in (kept / "changes.patch").read_text()
    # The card names the data, the figures with their intervals, the gap and the way back.
    card = (kept / "model_card.md").read_text()
    for part in ("source digits", "at 90%", "gap ", "## Limits", "## Licence", version.tags["data_hash"], NIGHT):
        assert part in card


def test_another_clone_makes_it_again_from_the_registry(project, tmp_path):
    clone = replace(project, folder=tmp_path / "clone", home=tmp_path / "home")
    do(project, "git", "clone", "--quiet", str(project.folder), str(clone.folder))
    # There is no DVC remote and no cache: the data are prepared anew, and must have the hash that they had.
    code, output = clone.run("reproduce", "1", CNN_TRACKING_URI=project.environment.mlflow_uri)
    assert code == 0, output
    assert "cnn-overnight version 1: bit-identical" in output
    assert "prepared anew" in output
    # The same machine, code and packages.
    assert "conditions: the same" in output
    result = read_sealed(clone.home / "reproductions" / "1.json")
    assert result["verdict"] == "bit-identical"
    assert all(then == now for then, now in result["figures"].values())
    # What was needed for it is gone.
    assert [path.name for path in (clone.home / "reproductions").iterdir()] == ["1.json"]
    assert do(clone, "git", "status", "--porcelain") == ""


def test_a_version_beside_the_run_that_trained_it(project):
    code, output = project.run("compare", "1", f"{NIGHT}/candidate", "--json")
    assert code == 0, output
    found = json.loads(output.splitlines()[-1])
    # The run became this version: nothing differs, its curves are drawn, no image is judged otherwise.
    assert (found["params"], found["disagreements"]) == ({}, [])
    assert found["paired_test"]["p_value"] == 1.0
    assert (project.folder / found["curves"]).read_bytes().startswith(b"\x89PNG")


def test_gc_leaves_what_the_version_needs(project, registry):
    before = dvc(project, "status")
    code, output = project.run("gc", "--older-than", "0", "--keep-nights", "0", "--yes")
    assert code == 0, output
    # Everything that the lock and the version name is still there.
    assert dvc(project, "status") == before
    code, output = project.run("gc", "--older-than", "0", "--keep-nights", "0")
    # Without a terminal to ask on, nothing is removed but nothing is left to remove either.
    assert (code, "nothing to remove" in output) == (0, True), output


def test_a_name_that_means_nothing_is_one_line(project):
    code, output = project.run("reproduce", "night-1999-01-01-0100")
    assert code == 2
    assert output.startswith("cnn: night-1999-01-01-0100: received nothing of this name;") and output.count("\n") == 1

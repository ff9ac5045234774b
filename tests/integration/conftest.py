"""A small project on the digits, as a person would have it: its own folder, its own CNN_HOME."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from servers import TrackingServer, rows_of

from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.search.ledger import Ledger
from cnn.search.study import study_names
from cnn.steps.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]

RECIPE = {
    "model": {"blocks": 2, "filters": 8, "batch_norm": "before_activation", "dropout": 0.1, "dense_units": 16},
    "optimizer": {"name": "adam", "learning_rate": 0.005, "schedule": "one_cycle", "warmup_fraction": 0.2},
    "training": {"batch_size": 64},
    "augment": {"shift": 0.1},
}
SEARCH = {
    "engine": "random",
    "recipe": "tiny.yaml",
    "space": {
        "model.filters": {"type": "int", "low": 4, "high": 12, "step": 4},
        "optimizer.learning_rate": {"type": "float", "low": 0.002, "high": 0.02, "log": True},
    },
    "budget": {"trials": 4, "minutes": None, "cpu_minutes": None, "epochs": 4},
    "remedies": "on",  # which has the most to lose by a kill
    "train_limit": 600,
    "finalists": 2,
    "finalist_seeds": 1,
    "workers": 2,
    "contact_sheet": False,  # a process of its own that loads TensorFlow: one test of its own asks for it
}


@dataclass(frozen=True)
class Project:
    """A folder with params.yaml, dvc.yaml and a recipe, and the home that goes with it."""

    folder: Path
    home: Path

    @property
    def environment(self):
        return Environment(home=self.home)

    def params(self, *overrides):
        return read_params(self.folder / "params.yaml", overrides)

    def settings(self, **variables):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"CNN_HOME": str(self.home), "PATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"} | variables

    def start(self, *words, folder=None, **variables):
        """A cnn command in a process group of its own, in the project's folder unless another is named."""
        return subprocess.Popen(
            [sys.executable, "-m", "cnn", *words],
            cwd=folder or self.folder,
            env=self.settings(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *words, **variables):
        """Exit code and everything a cnn command printed."""
        process = self.start(*words, **variables)
        output, _ = process.communicate(timeout=1200)
        return process.returncode, output

    # ---- what a search has left

    @property
    def study(self):
        """The name of its only study."""
        (name,) = study_names(self.environment.studies)
        return name

    @property
    def study_folder(self):
        return self.environment.studies / self.study

    def ledger(self):
        """All runs, as the ledger has them."""
        with Ledger(self.study_folder / "ledger.db") as ledger:
            return ledger.rows()

    def curves(self):
        """The curve of each run, without its times."""
        return {str(row.id): untimed(row.outcome.curve) for row in self.ledger() if row.outcome}

    @property
    def mlflow(self):
        return self.home / "mlflow.db"

    def n_events(self):
        """How often a run of its study has begun or ended, read beside a search that may be writing."""
        for ledger in self.environment.studies.glob("*/ledger.db"):
            with suppress(sqlite3.OperationalError):  # no tables yet
                return rows_of(ledger, "SELECT COUNT(*) + COUNT(outcome) FROM runs")[0][0]
        return 0

    def check_tracked(self, database):
        """MLflow's database says what the ledger says: nothing lost, nothing doubled, nothing left open."""
        check_tracked(self, database)

    def run_states(self):
        """How many of MLflow's runs there are in each state."""
        return dict(rows_of(self.mlflow, "SELECT status, COUNT(*) FROM runs GROUP BY status"))

    def output(self, name):
        return (self.folder / "outputs" / "search" / name).read_bytes()


def untimed(curve):
    """A curve's figures, apart from the seconds."""
    return [{name: figure for name, figure in row.figures().items() if name != "seconds"} for row in curve]


@dataclass(frozen=True)
class Reference:
    """A search that nobody disturbed."""

    project: Project
    winner: bytes
    leaderboard: bytes
    curves: dict
    seconds: float


def check_tracked(project, database):
    runs = rows_of(database, "SELECT value, status FROM tags JOIN runs USING (run_uuid) WHERE key = 'cnn.key'")
    expected = {f"{project.study}/{row.id}": row.outcome for row in project.ledger()}
    # One run a key: no doubles, no others.
    assert sorted(key for key, _ in runs) == sorted([project.study, *expected])
    # Each ended as the ledger says, the search itself as finished.
    ends = {key: "FAILED" if outcome.state == "failed" else "FINISHED" for key, outcome in expected.items()}
    assert dict(runs) == ends | {project.study: "FINISHED"}
    # One value a step, of an epoch as of the machine's samples, whose steps are unix seconds.
    doubled = "SELECT key, step FROM metrics GROUP BY run_uuid, key, step HAVING COUNT(*) > 1"
    assert rows_of(database, doubled) == []
    query = (
        "SELECT tags.value, metrics.step, metrics.key, metrics.value FROM metrics JOIN tags USING (run_uuid)"
        " WHERE tags.key = 'cnn.key' AND metrics.key IN ('val_accuracy', 'gap_loss', 'learning_rate', 'train_loss')"
    )
    figures = {(key, step, name): value for key, step, name, value in rows_of(database, query)}
    # Every epoch of every curve is there, with its figures.
    assert figures == {
        (key, row.epoch, name): row.figures()[name]
        for key, outcome in expected.items()
        for row in outcome.curve
        for name in ("val_accuracy", "gap_loss", "learning_rate", "train_loss")
    }
    # Nothing waits in the spool, and nothing was refused.
    assert rows_of(project.home / "spool.db", "SELECT run, kind, note FROM events WHERE state != 'delivered'") == []


def write_project(folder, home, search=None):
    """A project whose search section is `SEARCH` with some keys replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    document = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    document["prepare"]["source"] = "digits"
    document["search"] |= SEARCH | (search or {})
    document["train"]["epochs"] = 4
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(document, file)
    with (folder / "tiny.yaml").open("w") as file:
        YAML().dump(RECIPE, file)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    return Project(folder=folder, home=home)


@pytest.fixture(scope="session")
def new_project():
    """`write_project`, for fixtures that outlive a test."""
    return write_project


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """The digits, prepared once: a folder to read from, never to write to."""
    folder = tmp_path_factory.mktemp("digits")
    project = write_project(folder / "project", folder / "home")
    return prepare(project.params(), project.environment, folder / "data" / "prepared").folder


@pytest.fixture
def project(tmp_path, prepared):
    """A project with prepared data."""
    return with_data(write_project(tmp_path / "project", tmp_path / "home"), prepared)


def with_data(project, prepared):
    """The project, its prepared data a link to the session's."""
    (project.folder / "data").mkdir()
    (project.folder / "data" / "prepared").symlink_to(prepared)
    return project


UNDISTURBED = {
    "engine": "optuna",
    "sampler": "tpe",
    "pruner": "hyperband",
    "budget": {"trials": 6, "minutes": None, "cpu_minutes": None, "epochs": 4},
    "finalists": 2,
    "finalist_seeds": 1,
    "workers": 1,
}


@pytest.fixture(scope="session")
def reference(tmp_path_factory, prepared):
    """What `UNDISTURBED` finds; searches that are disturbed must find the same."""
    folder = tmp_path_factory.mktemp("undisturbed")
    made = with_data(write_project(folder / "project", folder / "home", UNDISTURBED), prepared)
    begun = time.monotonic()
    code, said = made.run("search")
    # It ended well.
    assert code == 0, said
    seconds = time.monotonic() - begun
    made.check_tracked(made.mlflow)
    return Reference(
        project=made,
        winner=made.output("winner.yaml"),
        leaderboard=made.output("leaderboard.csv"),
        curves=made.curves(),
        seconds=seconds,
    )


@pytest.fixture
def disturbed(tmp_path, prepared):
    """A project that would find what `reference` has found, if nobody disturbed it."""
    return with_data(write_project(tmp_path / "project", tmp_path / "home", UNDISTURBED), prepared)


@pytest.fixture
def server(tmp_path):
    """A tracking server that answers."""
    server = TrackingServer(tmp_path)
    server.start()
    try:
        server.wait()
        yield server
    finally:
        server.kill()

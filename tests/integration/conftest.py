"""A small project on the digits, as a person would have it: its own folder, its own CNN_HOME."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cnn.config.environment import Environment
from cnn.config.reading import read_params
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
    "train_limit": 600,
    "finalists": 2,
    "finalist_seeds": 1,
    "workers": 2,
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

    def start(self, *words, **variables):
        """A cnn command in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "cnn", *words],
            cwd=self.folder,
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
        output, _ = process.communicate(timeout=600)
        return process.returncode, output


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
def prepared(tmp_path_factory):
    """The digits, prepared once: a folder to read from, never to write to."""
    folder = tmp_path_factory.mktemp("digits")
    project = write_project(folder / "project", folder / "home")
    return prepare(project.params(), project.environment, folder / "data" / "prepared").folder


@pytest.fixture
def project(tmp_path, prepared):
    """A project with prepared data."""
    made = write_project(tmp_path / "project", tmp_path / "home")
    (made.folder / "data").mkdir()
    (made.folder / "data" / "prepared").symlink_to(prepared)
    return made

"""With one worker and a budget in trials, a search is a function of its settings and its seed."""

import csv

import pytest
from rich.console import Console

from cnn import wiring
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker

pytestmark = pytest.mark.slow

ENGINES = {
    "random": {"engine": "random"},
    "optuna": {"engine": "optuna", "sampler": "tpe", "pruner": "hyperband"},
    "keras_tuner": {"engine": "keras_tuner", "sampler": "hyperband"},
}


def found(new_project, folder, prepared, engine, seed=0, **changes):
    """Winner and leaderboard, as bytes, of a search in a home and a folder of its own."""
    settings = {
        "budget": {"trials": 3, "minutes": None, "cpu_minutes": None, "epochs": 3},
        "train_limit": 300,
        "finalists": 1,
        "finalist_seeds": 1,
        "seed": seed,
        "executor": "inline",
    }
    project = new_project(folder / "project", folder / "home", settings | ENGINES[engine] | changes)
    params = project.params(f"search.recipe={project.folder / 'tiny.yaml'}")
    parts = wiring.search_parts(params, project.environment, MemoryTracker())
    out = folder / "out"
    search(params, project.environment, parts, Console(quiet=True), data=prepared, out=out)
    return tuple((out / name).read_bytes() for name in ("winner.yaml", "leaderboard.csv", "search.json"))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_seed_finds_the_same(engine, new_project, prepared, tmp_path):
    winner, leaderboard, metrics = found(new_project, tmp_path / "first", prepared, engine)
    # In another folder and another home, the same bytes: neither paths nor times nor names stand in them.
    assert found(new_project, tmp_path / "second", prepared, engine) == (winner, leaderboard, metrics)
    one = {"trials": 1, "minutes": None, "cpu_minutes": None, "epochs": 3}
    other = found(new_project, tmp_path / "third", prepared, engine, seed=1, budget=one, finalist_seeds=0)
    (trial,) = csv.DictReader(other[1].decode().splitlines())
    # Another seed begins with another recipe and finds another winner: the equality above says something.
    rates = {row["optimizer.learning_rate"] for row in csv.DictReader(leaderboard.decode().splitlines())}
    assert trial["optimizer.learning_rate"] not in rates
    assert other[0] != winner

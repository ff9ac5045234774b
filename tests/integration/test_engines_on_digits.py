"""Both engines, on the same space and budget, find a model that reads digits."""

import pytest
from rich.console import Console

from cnn import wiring
from cnn.steps.evaluate import evaluate
from cnn.steps.search import search
from cnn.steps.train import train
from cnn.tracking.memory import MemoryTracker

pytestmark = pytest.mark.slow

SAMPLERS = {"optuna": "tpe", "keras_tuner": "bayesian"}


@pytest.mark.parametrize("engine", SAMPLERS)
def test_an_engine_finds_a_good_model(engine, new_project, prepared, tmp_path):
    settings = {
        "engine": engine,
        "sampler": SAMPLERS[engine],
        "pruner": "none",
        "budget": {"trials": 4, "minutes": None, "cpu_minutes": None, "epochs": 12},
        "train_limit": None,
        "finalist_seeds": 1,
    }
    project = new_project(tmp_path / "project", tmp_path / "home", settings)
    params = project.params(f"search.recipe={project.folder / 'tiny.yaml'}", "train.epochs=40")
    tracker, environment, out = MemoryTracker(), project.environment, tmp_path / "out"
    parts = wiring.search_parts(params, environment, tracker)
    search(params, environment, parts, Console(quiet=True), data=prepared, out=out / "search")
    train(params, environment, tracker, data=prepared, winner=out / "search/winner.yaml", out=out / "train")
    metrics = evaluate(params, environment, tracker, data=prepared, trained=out / "train", out=out / "evaluate")
    # On images that no search and no training saw.
    assert metrics.accuracy > 0.95

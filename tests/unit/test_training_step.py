import os
import threading
import time

import numpy as np
import pytest

from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.recipe import Recipe
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared
from cnn.durable import exclusive, is_held, read_sealed, sha256_of, write_sealed
from cnn.errors import IntegrityError
from cnn.steps.train import read_chosen_recipe, train
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import RunState

pytestmark = pytest.mark.slow

RECIPE = Recipe.model_validate({"model": {"blocks": 1, "filters": 4, "dense_units": 4}, "training": {"epochs": 9}})
SAME = ["model.keras", "curves.csv", "train.json", "curve.png"]


def params(**section):
    space = {"model.filters": {"type": "int", "low": 1, "high": 2}}
    search = {"space": space, "budget": {"trials": 1}}
    return Params.model_validate({"prepare": {"source": "digits"}, "search": search, "train": {"epochs": 2} | section})


@pytest.fixture
def place(tmp_path):
    labels = np.arange(60) % 2
    images = np.repeat(labels.astype(np.uint8) * 100, 64).reshape(60, 8, 8, 1)
    part = {name: Split(images=images, labels=labels) for name in ("train", "validation", "test")}
    data = DataSet(
        source="digits",
        place="here",
        class_names=("dark", "bright"),
        **{name: part[name] for name in ("train", "test")},
    )
    write_prepared(tmp_path / "data", data, part)
    write_sealed(tmp_path / "winner.yaml", {"recipe": RECIPE.model_dump(mode="json")})
    return tmp_path


def run(place, out="train", tracker=None, **section):
    tracker = tracker or MemoryTracker()
    environment = Environment(home=place / "home")
    folders = {"data": place / "data", "winner": place / "winner.yaml", "out": place / out}
    return train(params(**section), environment, tracker, **folders), tracker


def test_the_candidate_is_written_logged_and_described(place):
    document, tracker = run(place)
    logged = tracker.read_run(document["key"])
    # What is sealed is what was returned, and vouches for the model's bytes.
    assert read_sealed(place / "train/train.json") == document
    assert document["model_sha256"] == sha256_of(place / "train/model.keras")
    # The section's epochs replace the recipe's, and the tracker and the table have each of them.
    assert document["n_epochs"] == 2
    assert len((place / "train/curves.csv").read_text().splitlines()) == 3
    assert logged.state is RunState.FINISHED
    assert logged.figures["best_val_accuracy"] == document["best_val_accuracy"]
    # A candidate that is written needs no checkpoint any more.
    assert not list((place / "home").rglob("*.checkpoint"))


def test_the_same_candidate_is_the_same_bytes(place):
    for out in ("one", "other"):
        run(place, out)
    # What DVC compares does not depend on when it was made.
    different = [name for name in SAME if (place / "one" / name).read_bytes() != (place / "other" / name).read_bytes()]
    assert different == []


def test_a_torn_winner_is_never_trained(place):
    text = (place / "winner.yaml").read_text()
    (place / "winner.yaml").write_text(text[: len(text) // 2])
    # Half a recipe may still be YAML; the missing seal gives it away.
    with pytest.raises(IntegrityError, match=r"winner\.yaml"):
        run(place)
    assert not (place / "train").exists()


def test_a_recipe_can_be_named_instead_of_the_winner(place):
    # The named one is taken, with the section's epochs and patience, and no winner is needed.
    recipe = read_chosen_recipe(params(recipe="tutorial_basic", patience=3).train, place / "none.yaml")
    assert (recipe.optimizer.name, recipe.training.epochs, recipe.training.patience) == ("rmsprop", 2, 3)


class Watcher(MemoryTracker):
    """Notes, when the run is closed, which locks are held and whether the model lies there."""

    def __init__(self, place):
        super().__init__()
        self.place, self.held, self.written = place, [], False

    def end(self, key, state):
        locks = sorted((self.place / "home").rglob("lock"))
        self.held = [path.parent.parent.name for path in locks if is_held(path)]
        self.written = (self.place / "train/model.keras").exists()
        super().end(key, state)


def test_a_training_is_held_until_its_run_is_closed(place):
    watcher = Watcher(place)
    run(place, tracker=watcher)
    # The checkpoints' lock keeps other nights off, the study's tells a live run from a dead one, to the very end.
    assert (watcher.held, watcher.written) == (["studies", "training"], True)
    # Then both are free.
    assert not any(is_held(path) for path in (place / "home").rglob("lock"))


def test_a_second_training_of_the_same_candidate_waits_for_the_first(place, capsys):
    run(place)
    (lock,) = (place / "home/training").glob("*/lock")
    taken, let_go = threading.Event(), []

    def train_elsewhere():
        with exclusive(lock, what="a training"):
            taken.set()
            time.sleep(4)  # longer than a lock is tried for elsewhere
            let_go.append(time.monotonic())

    other = threading.Thread(target=train_elsewhere)
    other.start()
    taken.wait()
    begun = []

    class Clock(MemoryTracker):
        def start(self, run):
            begun.append(time.monotonic())
            super().start(run)

    run(place, "second", Clock())
    other.join()
    # It says what it waits for, and neither gives up nor begins while the other writes and discards checkpoints.
    assert "another process trains this very candidate" in capsys.readouterr().out
    assert begun[0] > let_go[0]
    assert (place / "second/model.keras").read_bytes() == (place / "train/model.keras").read_bytes()


def test_abandoned_checkpoints_go_when_a_training_begins(place):
    training, month_ago = place / "home/training", time.time() - 31 * 24 * 3600
    for name in ("abandoned", "held", "young"):
        (training / name).mkdir(parents=True)
        (training / name / "epoch-00000.checkpoint").write_bytes(b"x")
        (training / name / "lock").touch()
    for name in ("abandoned", "held"):
        os.utime(training / name, (month_ago, month_ago))
    with exclusive(training / "held/lock", what="a training"):
        run(place)
    # Only what rested for a month and is nobody's goes.
    assert not (training / "abandoned").exists()
    assert all((training / name / "epoch-00000.checkpoint").exists() for name in ("held", "young"))

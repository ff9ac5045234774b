"""A champion that was tested on other images than the challenger is measured on the challenger's."""

from dataclasses import replace

import numpy as np
import pytest

from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared
from cnn.durable import sha256_of
from cnn.errors import IntegrityError
from cnn.evaluation.predictions import write_predictions
from cnn.promotion.gate import WAY_OUT
from cnn.records import Head, Task
from cnn.steps.evaluate import load_model, predictions_on_test
from cnn.steps.promote import LEDGER, promote
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.promotions import read_promotions
from cnn.tracking.registry import CHALLENGER, CHAMPION, Candidate, MemoryRegistry
from cnn.tracking.tracker import Run

pytestmark = pytest.mark.slow

NAME = "cnn-overnight"
CLASSES = ("cat", "dog", "owl")


def split(n, n_classes, width, n_mute=0):
    """Images of one row, bright where the class is; the first `n_mute` show nothing."""
    labels = np.arange(n) % n_classes
    images = (np.eye(width, dtype=np.uint8)[labels] * 255).reshape(n, 1, width, 1)
    images[:n_mute] = 0
    return Split(images=images, labels=labels)


class House:
    """Prepared data, a registry, a tracker, and models that see or are blind."""

    def __init__(self, folder):
        self.folder, self.environment = folder, Environment(home=folder / "home")
        self.tracker, self.registry = MemoryTracker(), MemoryRegistry(folder / "registry")
        self.prepared = None

    def prepare(self, n, names=CLASSES, width=4, head=None, **kwargs):
        part = split(n, len(names), width, **kwargs)
        data = DataSet(source="npz", place="here", class_names=names, train=part, test=part)
        splits = {"train": part, "validation": part, "test": part}
        self.prepared = write_prepared(self.folder / "data", data, splits, head)

    def register(self, alias, *, sees, name=NAME):
        """A model that knows each image, or says the first class of all; tested on the images prepared now."""
        import keras

        shape, n_classes = self.prepared.image_shape, len(self.prepared.class_names)
        dense = keras.layers.Dense(n_classes, activation="softmax")
        scaled = [keras.Input(shape, dtype="uint8"), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
        model = keras.Sequential([*scaled, dense])
        dense.set_weights([np.eye(shape[1], n_classes) * 9 * sees, np.arange(n_classes, 0, -1) / 100])
        path = self.folder / "model.keras"
        model.save(path)
        predictions = predictions_on_test(load_model(path, sha256_of(path)), self.prepared, batch_size=7)
        write_predictions(self.folder / "predictions.npz", predictions)
        key = f"{alias}/candidate"
        self.tracker.start(Run(key=key, name="candidate"))
        candidate = Candidate(
            model=path, run_key=key, labels=self.prepared.class_names, image_shape=shape, example=None,
            lineage={"test_hash": self.prepared.test_hash}, files=(self.folder / "predictions.npz",),
        )  # fmt: skip
        self.registry.set_alias(self.registry.register(name, candidate), alias)

    def promote(self, name=NAME, force=None):
        params = read_params(overrides=["prepare.source=digits", f"register.name={name}", "evaluate.batch_size=7"])
        return promote(params, self.environment, self.tracker, self.registry, force=force, data=self.folder / "data")

    def champion(self, name=NAME):
        return self.registry.version_by_alias(name, CHAMPION)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_champion_of_other_test_images_can_be_replaced(house):
    house.prepare(6)
    house.register(CHAMPION, sees=False)
    before = house.champion()
    house.prepare(60)
    house.register(CHALLENGER, sees=True)
    verdict = house.promote()
    # The two were compared on the images of today: the blind champion is right on a third of them.
    assert (verdict.promoted, verdict.figures["n"], verdict.figures["wins"], verdict.figures["losses"]) == (
        True,
        60,
        40,
        0,
    )
    assert "measured anew on the present test images: better by 66.67 points" in verdict.reason
    assert house.champion().number == 2
    # What the old champion was registered with is as it was; the ledger has the reason.
    assert house.registry._versions[NAME][0] == before
    assert read_promotions(house.environment.home / LEDGER)[-1]["reason"] == verdict.reason


def test_a_champion_that_is_as_good_on_the_new_images_stays(house):
    house.prepare(6)
    house.register(CHAMPION, sees=True)
    house.prepare(60, n_mute=3)
    house.register(CHALLENGER, sees=True)
    verdict = house.promote()
    # Measured on other images it may have been trained on; the way out is in the reason.
    assert not verdict.promoted and verdict.figures["difference"] == 0
    assert "measured anew" in verdict.reason and "choose another register.name" in verdict.reason
    assert house.champion().number == 1


TREE = Head(class_names=CLASSES, task=Task.HIERARCHICAL, ancestors=(("tame",), ("tame",), ("wild",)))
OTHERS = {
    "task": (
        Head(class_names=CLASSES),
        "the champion is a multiclass model, the challenger a hierarchical one: choose",
    ),
    "tree": (replace(TREE, ancestors=(("tame",), ("wild",), ("wild",))), "classes stand in another tree than"),
}


@pytest.mark.parametrize("n", [6, 60], ids=["other images", "the same images"])
@pytest.mark.parametrize("case", OTHERS)
def test_a_champion_of_another_task_or_tree_stays_and_the_reason_is_clear(house, case, n):
    head, words = OTHERS[case]
    house.prepare(n, head=head)
    house.register(CHAMPION, sees=False)
    house.prepare(60, head=TREE)
    house.register(CHALLENGER, sees=True)
    verdict = house.promote()
    # Another question was asked of the images: who answers more of them says nothing.
    assert (verdict.promoted, verdict.figures, house.champion().number) == (False, {}, 1)
    assert words in verdict.reason


def test_two_models_of_one_tree_are_compared_by_their_classes(house):
    house.prepare(60, head=TREE)
    house.register(CHAMPION, sees=False)
    house.register(CHALLENGER, sees=True)
    # Entirely right is the class, with the nodes above it.
    assert house.promote().figures["wins"] == 40


MISFITS = {
    "shape": ({"width": 5}, "takes images of 1x4x1, the present ones are of 1x5x1"),
    "more classes": ({"names": (*CLASSES, "emu")}, "tells 3 classes apart, the present images have 4"),
    "other classes": ({"names": ("dog", "cat", "owl")}, "classes bear other names, or stand in another order"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_a_champion_that_cannot_take_the_new_images_names_a_way_out_that_works(house, case):
    changed, words = MISFITS[case]
    house.prepare(6)
    house.register(CHAMPION, sees=False)
    house.prepare(60, **changed)
    house.register(CHALLENGER, sees=True)
    verdict = house.promote()
    assert not verdict.promoted and verdict.figures == {}
    # One sentence: why, and what to do.
    assert words in verdict.reason
    assert verdict.reason.endswith(f": {WAY_OUT}") and "\n" not in verdict.reason
    # All three ways lead to a champion.
    house.register(CHALLENGER, sees=True, name="another")
    assert house.promote("another").promoted
    del house.registry._aliases[NAME, CHAMPION]
    assert house.promote().promoted and house.champion().number == 2
    del house.registry._aliases[NAME, CHAMPION]
    house.registry.set_alias(house.registry.version(NAME, 1), CHAMPION)
    assert house.promote(force="other classes from today on").promoted and house.champion().number == 2


def test_a_damaged_model_of_the_champion_is_named_and_not_loaded(house, tmp_path):
    house.prepare(6)
    house.register(CHAMPION, sees=False)
    house.prepare(60)
    house.register(CHALLENGER, sees=True)
    path = tmp_path / "registry" / NAME / "1/model.keras"
    path.write_bytes(path.read_bytes() + b"x")
    verdict = house.promote()
    # It cannot be compared: refused without a look, and a person can force the successor.
    assert (verdict.promoted, verdict.look, house.champion().number) == (False, None, 1)
    assert "the champion's files are not as they were registered (model.keras: " in verdict.reason
    assert house.promote(force="its files are lost").promoted and house.champion().number == 2


def test_images_the_challenger_was_not_tested_on_decide_nothing(house):
    house.prepare(6)
    house.register(CHAMPION, sees=False)
    house.prepare(60)
    house.register(CHALLENGER, sees=True)
    house.prepare(30)
    # Its kept predictions are about other images than those that lie there: they cannot be paired.
    with pytest.raises(IntegrityError, match="run cnn evaluate and cnn register"):
        house.promote()
    assert house.champion().number == 1

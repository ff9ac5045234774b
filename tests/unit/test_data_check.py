"""`cnn data-check`: against whose data, what it amounts to, and the champion measured on the new test images."""

import json
from io import StringIO

import keras
import numpy as np
import pytest
from making import all_digits
from rich.console import Console

from cnn.commands.data_check import EXIT_CODES, PART, Finding, check_may_train, data_check
from cnn.commands.data_screen import show_data_check
from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import read_prepared, write_prepared
from cnn.data.quality.fingerprint import keep_fingerprint
from cnn.durable import sha256_of
from cnn.errors import DataError
from cnn.evaluation.predictions import write_predictions
from cnn.nights import Nights
from cnn.steps.evaluate import load_model, predictions_on_test
from cnn.tracking.registry import CHAMPION, Candidate, MemoryRegistry

pytestmark = pytest.mark.slow

NAME, NAMES = "cnn-overnight", tuple("0123456789")


class Place:
    """A checkout with prepared digits, a home and a registry."""

    def __init__(self, folder):
        self.folder, self.environment = folder, Environment(home=folder / "home")
        self.registry, self.nights = MemoryRegistry(folder / "registry"), Nights(folder / "home" / "nights")

    def prepare(self, change=lambda images, labels: (images, labels), *, known=True):
        """The digits, changed; their fingerprint is kept where they are known here."""
        images, labels = all_digits()
        images, labels = change(images[..., np.newaxis].copy(), labels.astype(np.int64))
        bounds = {"train": slice(0, -500), "validation": slice(-500, -400), "test": slice(-400, None)}
        splits = {name: Split(images=images[part], labels=labels[part]) for name, part in bounds.items()}
        data = DataSet(source="digits", place="", class_names=NAMES, train=splits["train"], test=None)
        prepared = write_prepared(self.folder / "prepared", data, splits)
        if known:
            keep_fingerprint(self.environment.fingerprints, prepared, splits)
        return prepared

    def crown(self, says):
        """A champion that says one digit of all images, tested on what is prepared now."""
        prepared, path = read_prepared(self.folder / "prepared"), self.folder / "model.keras"
        dense = keras.layers.Dense(10, activation="softmax")
        model = keras.Sequential([keras.Input((8, 8, 1), dtype="uint8"), keras.layers.Flatten(), dense])
        dense.set_weights([np.zeros((64, 10)), np.eye(10)[says]])
        model.save(path)
        predictions = predictions_on_test(load_model(path, sha256_of(path)), prepared, batch_size=256)
        write_predictions(self.folder / "predictions.npz", predictions)
        candidate = Candidate(
            model=path, run_key="night-1/candidate", labels=NAMES, image_shape=(8, 8, 1), example=None,
            lineage={"data_hash": prepared.data_hash, "test_hash": prepared.test_hash},
            files=(self.folder / "predictions.npz",),
        )  # fmt: skip
        self.registry.set_alias(self.registry.register(NAME, candidate), CHAMPION)
        return predictions

    def check(self, *overrides, night=""):
        params = read_params(overrides=["prepare.source=digits", *overrides])
        return data_check(params, self.environment, self.registry, night=night, data=self.folder / "prepared")


@pytest.fixture
def place(checkout):
    return Place(checkout.parent)


def brighter(images, labels):
    return np.clip(images * 1.1, 0, 255).astype(np.uint8), labels


def relabelled(images, labels):
    return images, np.where(labels == 3, 8, labels)


def fewer(images, labels):
    return images[100:], labels[100:]


def screen(found, **kwargs):
    console = Console(width=80, file=StringIO())
    show_data_check(found, console, **kwargs)
    return console.file.getvalue()


def test_without_champion_and_night_there_is_nothing_to_compare_with(place):
    place.prepare()
    found = place.check()
    assert (found.finding, found.against) == (Finding.OK, ())
    # And it says so.
    assert "no champion and no earlier night" in screen(found)


def test_the_champions_own_data_are_ok(place):
    place.prepare()
    place.crown(says=3)
    found = place.check()
    assert (found.finding, EXIT_CODES[found.finding], found.champion, found.notes) == (Finding.OK, 0, {}, ())
    assert found.against[0].said == ("the same data",)


@pytest.mark.parametrize(
    ("change", "finding", "code", "words"),
    [
        (fewer, Finding.CHANGED, 0, "100 images removed"),
        (brighter, Finding.DRIFTED, 1, "brightness of the training images"),
        (relabelled, Finding.FAILED, 3, "183 images relabelled: 3 -> 8 (183)"),
    ],
)
def test_what_has_changed_since_the_champion_is_named(place, change, finding, code, words):
    place.prepare()
    place.crown(says=3)
    place.prepare(change)
    found = place.check()
    assert (found.finding, EXIT_CODES[found.finding]) == (finding, code)
    # In the summary or among the sentences, and on a screen of 80 columns without a line that is too long.
    assert any(words in sentence for sentence in found.sentences)
    shown = screen(found)
    assert words in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    # What becomes of the next search is said too.
    assert "the next search starts warm" in shown


def test_the_champion_is_measured_on_the_new_test_images(place):
    place.prepare()
    before = place.crown(says=8)
    place.prepare(relabelled)
    found = place.check()
    changed = relabelled(*all_digits())[1][-400:]
    # A champion that calls everything an eight is right on each eight, and threes are eights now.
    assert found.champion["score"] == pytest.approx(np.mean(changed == 8))
    assert found.champion["registered"] == pytest.approx(np.mean(before.correct))
    assert found.champion["low"] < found.champion["score"] < found.champion["high"]
    assert f"{found.champion['score']:.4f}" in " ".join(found.notes)


def test_other_training_images_alone_leave_the_champions_figure(place):
    place.prepare()
    place.crown(says=8)
    place.prepare(fewer)
    # The test images are the same: there is nothing to measure anew.
    assert place.check().champion == {}


def test_data_known_by_their_hash_alone_have_changed(place):
    place.prepare(known=False)
    place.crown(says=3)
    place.prepare(fewer)
    found = place.check()
    assert found.finding is Finding.CHANGED
    assert "only the hash is known" in found.against[0].said[0]


def test_a_damaged_memory_of_earlier_data_stops_no_night(place):
    hash_ = place.prepare().data_hash
    place.crown(says=3)
    place.prepare(fewer)
    kept = place.environment.fingerprints / f"{hash_}.npz"
    kept.write_bytes(kept.read_bytes()[:-100])
    found = place.check()
    # The images of then are gone, and nothing brings it back; it is said, and tonight's data can be trained on.
    assert (found.finding, found.against[0].changes) == (Finding.CHANGED, None)
    assert f"{kept} is damaged" in found.against[0].said[0]


@pytest.mark.parametrize("name", ["model.keras", "predictions.npz"])
def test_a_damaged_champion_stops_no_night(place, name):
    place.prepare()
    place.crown(says=8)
    place.prepare(relabelled)
    (kept,) = (place.folder / "registry").rglob(name)
    kept.write_bytes(kept.read_bytes()[:-100])
    found = place.check("data_check.max_relabelled=0.99")
    # The night may find the one that takes its place; it is said what is damaged, and what helps at once.
    check_may_train(found, read_params().data_check)
    assert found.champion == {}
    (note,) = [note for note in found.notes if "damaged" in note]
    assert name in note and "cnn rollback" in note


def test_data_that_stopped_a_night_are_nothing_to_be_held_against(place):
    sound = place.prepare().data_hash
    checkout = place.folder / "checkout"
    first = place.nights.write(place.nights.open(checkout, "d"), finished=True, data_hash=sound)
    bad = place.prepare(relabelled).data_hash
    place.nights.write(place.nights.open(checkout, "d"), part=PART, reason="relabelled", data_hash=bad)
    third = place.nights.write(place.nights.open(checkout, "other settings"), data_hash=bad)
    found = place.check(night=third.name)
    # The night before had the very same data, and refused them.
    assert (found.against[0].whose, found.finding) == (first.name, Finding.FAILED)


def test_the_night_before_counts_too(place):
    place.prepare()
    place.crown(says=3)
    hash_ = place.prepare(fewer).data_hash
    checkout = place.folder / "checkout"
    before = place.nights.write(place.nights.open(checkout, "d"), finished=True, data_hash=hash_)
    tonight = place.nights.write(place.nights.open(checkout, "d"), data_hash="0" * 64)
    found = place.check(night=tonight.name)
    # Other data than the champion's, the same as last night's; the night that asks is not its own predecessor.
    assert {one.whose: one.finding for one in found.against} == {
        "the champion, version 1": Finding.CHANGED, before.name: Finding.OK,
    }  # fmt: skip
    assert found.finding is Finding.CHANGED


@pytest.mark.parametrize(
    ("stops", "change", "refused"),
    [
        ("failed", relabelled, True),
        ("failed", brighter, False),
        ("drifted", brighter, True),
        ("never", relabelled, False),
    ],
)
def test_the_settings_say_what_stops_a_night(place, stops, change, refused):
    place.prepare()
    place.crown(says=3)
    place.prepare(change)
    params = read_params(overrides=["prepare.source=digits", f"data_check.stops={stops}"]).data_check
    found = place.check(f"data_check.stops={stops}")
    if refused:
        # In one line that names the way out.
        with pytest.raises(DataError, match=r"data_check\.stops=never"):
            check_may_train(found, params)
    else:
        check_may_train(found, params)


def test_as_json_it_is_one_object(place):
    place.prepare()
    place.crown(says=3)
    place.prepare(brighter)
    found = json.loads(screen(place.check(), as_json=True))
    # With each test behind the finding.
    assert found["finding"] == "drifted"
    assert {shift["of"] for shift in found["against"][0]["changes"]["shifts"]} == {
        "brightness", "contrast", "sharpness", "classes",
    }  # fmt: skip

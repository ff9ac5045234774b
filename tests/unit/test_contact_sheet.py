"""The picture of what the network sees, and that no failure of it reaches a search."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn.config.params import SearchParams
from cnn.config.recipe import AugmentRecipe, Recipe
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared
from cnn.evaluation import contact_sheet as sheets
from cnn.evaluation.contact_sheet import N_EPOCHS, N_IMAGES, contact_sheet, drawn_beside, sheets_of

CELL, NAMES, HEAD, GAP = 105, 130, 80, 8  # pixels


def flat_images(labels, channels=3):
    """Each image in one grey, 20 times its number."""
    values = (20 * np.arange(len(labels), dtype=np.uint8))[:, None, None, None]
    return Split(images=np.tile(values, (1, 8, 8, channels)), labels=labels)


def cells(path, n_rows, caption=0):
    """(rows, columns) the grey in the middle of each cell of a sheet."""
    with Image.open(path) as file:
        picture = np.asarray(file.convert("L"))
    rows = [HEAD + row * (CELL + GAP + caption) + CELL // 2 for row in range(n_rows)]
    columns = [NAMES + column * (CELL + GAP) + CELL // 2 for column in range(N_EPOCHS + 1)]
    return picture[np.ix_(rows, columns)].astype(int)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_row_shows_an_image_and_what_epochs_made_of_it(tmp_path, channels):
    split = flat_images(np.arange(5), channels)
    contact_sheet(split, list("abcde"), AugmentRecipe(brightness=0.1), tmp_path / "a.png", title="t", seed=3)
    shown = cells(tmp_path / "a.png", 5)
    # The original first, each image in its own row.
    assert shown[:, 0].tolist() == [0, 20, 40, 60, 80]
    # Then the same image, a little brighter or darker, an epoch after the other.
    changes = shown[:, 1:] - shown[:, :1]
    assert np.abs(changes).max() <= 26
    assert all(len(set(row)) > 3 for row in changes[1:])


def test_the_sheet_shows_what_training_sees(tmp_path):
    from cnn.data.pipeline import TrainingPipeline

    split, augment = flat_images(np.arange(N_IMAGES)), AugmentRecipe(mixup=1.0)
    contact_sheet(split, list("abcdefgh"), augment, tmp_path / "a.png", title="t", seed=3)
    pipeline = TrainingPipeline(split.images, split.labels, batch_size=3, augment=augment, seed=3)
    order = [
        label
        for _, labels in TrainingPipeline(
            split.images, split.labels, batch_size=3, augment=AugmentRecipe(), seed=3
        ).epoch(2)
        for label in labels.numpy()
    ]
    images = np.concatenate([images for images, _ in pipeline.epoch(2).as_numpy_iterator()])
    # Pixel for pixel what a network gets in that epoch: the third one is in the column after the original and two.
    assert cells(tmp_path / "a.png", N_IMAGES, caption=26)[order, 3].tolist() == images[:, 4, 4, 0].tolist()


def test_images_of_all_classes_are_shown(tmp_path):
    labels = np.array([0] * 90 + [1] * 6 + [2] * 2 + [3])
    split = Split(images=np.tile((labels * 60).astype(np.uint8)[:, None, None, None], (1, 8, 8, 1)), labels=labels)
    contact_sheet(split, list("abcd"), AugmentRecipe(flip=True), tmp_path / "a.png", title="t", seed=0)
    # One of each class, then a second, as long as there are any: rare ones are not crowded out.
    originals = cells(tmp_path / "a.png", 8)[:, 0]
    assert np.round(originals / 60).tolist() == [0, 0, 0, 1, 1, 2, 2, 3]


def test_several_labels_and_odd_shapes_are_drawn(tmp_path):
    labels = np.eye(3, dtype=int)[[0, 1, 2, 0]] + np.eye(3, dtype=int)[[0, 0, 0, 1]]
    images = np.random.default_rng(0).integers(0, 256, (4, 40, 13, 3), dtype=np.uint8)
    augment = AugmentRecipe(cutmix=1.0, noise=0.1)
    contact_sheet(
        Split(images=images, labels=np.minimum(labels, 1)),
        ["$a", "a very long name of a label", "c"],
        augment,
        tmp_path / "a.png",
        title="t" * 300,
        seed=0,
    )
    # Names that are no formulas, and images higher than wide, make a picture like any other.
    with Image.open(tmp_path / "a.png") as file:
        width, height = file.size
    assert width < height + 200


def test_a_search_is_shown_as_it_begins_and_at_its_strongest():
    def asked(space, base):
        space = {"model.filters": {"type": "int", "low": 1, "high": 2}} | space
        return sheets_of(base, SearchParams.model_validate({"space": space, "budget": {"trials": 1}}))

    base = Recipe(augment=AugmentRecipe(shift=0.1, noise=0.02))
    # Nothing is changed: there is nothing to see.
    assert asked({}, Recipe()) == {}
    # Nothing of it is searched: one sheet.
    assert asked({}, base) == {"augmentation": base.augment}
    ranges = {
        "augment.rotate": {"type": "float", "low": 0.0, "high": 30.0},
        "augment.flip": {"type": "choice", "values": [True, False]},
        "augment.shift": {"type": "choice", "values": [0.0, 0.25, 0.1]},
    }
    # Else the upper ends as well, over what the recipe has.
    strongest = AugmentRecipe(flip=True, shift=0.25, rotate=30, noise=0.02)
    assert asked(ranges, base) == {"augmentation": base.augment, "augmentation_strongest": strongest}


@pytest.fixture
def data(tmp_path):
    split = flat_images(np.arange(10) % 3)
    source = DataSet(source="npz", place="here", class_names=("a", "b", "c"), train=split, test=split)
    write_prepared(tmp_path / "data", source, dict.fromkeys(("train", "validation", "test"), split))
    return tmp_path / "data"


@pytest.mark.slow
def test_sheets_are_drawn_beside_a_search_and_once(data, tmp_path):
    delivered = []
    wanted = {"augmentation": AugmentRecipe(shift=0.2), "augmentation_strongest": AugmentRecipe(mixup=1.0, rotate=30)}
    for _ in range(2):
        with drawn_beside(wanted, data, tmp_path, title="study", seed=0, deliver=delivered.append):
            pass
        assert (tmp_path / "contact_sheet.log").exists()
        drawn_at = [(tmp_path / f"{name}.png").stat().st_mtime_ns for name in wanted]
    # Each is delivered, again by a search that goes on; but it is not drawn again.
    assert [path.name for path in delivered] == 2 * ["augmentation.png", "augmentation_strongest.png"]
    assert [(tmp_path / f"{name}.png").stat().st_mtime_ns for name in wanted] == drawn_at
    # They are pictures of the images there are, the brightest of which is 180.
    assert 100 < cells(tmp_path / "augmentation.png", 8)[:, 0].max() <= 180


def test_a_picture_that_fails_ends_nothing(tmp_path, caplog, monkeypatch):
    wanted = {"augmentation": AugmentRecipe(shift=0.2)}

    def refuse(path: Path) -> None:
        raise OSError("full")

    # A process that dies at once: here, because of an argument that no interpreter takes.
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with drawn_beside(wanted, tmp_path / "nowhere", tmp_path, title="study", seed=0, deliver=refuse):
        done = json.dumps("the search")
    assert done and "no contact sheet of the training images: see" in caplog.text
    # One that cannot be started.
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no such file"))
    with drawn_beside(wanted, tmp_path / "nowhere", tmp_path, title="study", seed=0, deliver=refuse):
        pass
    assert "FileNotFoundError" in caplog.text
    # A tracker that takes no file.
    (tmp_path / "augmentation.png").touch()
    with drawn_beside(wanted, tmp_path / "nowhere", tmp_path, title="study", seed=0, deliver=refuse):
        pass
    assert "augmentation.png is not delivered" in caplog.text


@pytest.fixture
def slow_pen(tmp_path, monkeypatch):
    """A drawing takes a minute."""
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(sleeper))


@pytest.mark.usefixtures("slow_pen")
def test_a_picture_that_takes_too_long_is_given_up(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sheets, "_PATIENCE_S", 0.1)
    wanted = {"a": AugmentRecipe(shift=0.2)}
    with drawn_beside(wanted, tmp_path, tmp_path, title="t", seed=0, deliver=lambda path: None):
        pass
    # Its log would be empty: nobody is sent there.
    assert caplog.messages == ["no contact sheet of the training images: it took too long"]


@pytest.mark.usefixtures("slow_pen")
def test_whoever_ends_the_search_does_not_wait_for_the_picture(tmp_path):
    begun = time.monotonic()
    with (
        pytest.raises(KeyboardInterrupt),
        drawn_beside({"a": AugmentRecipe(shift=0.2)}, tmp_path, tmp_path, title="t", seed=0, deliver=lambda path: None),
    ):
        raise KeyboardInterrupt
    # Ctrl-C is at once; the process is gone with it.
    assert time.monotonic() - begun < 10
    assert sheets._PATIENCE_S > 10

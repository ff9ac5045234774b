"""Several real pictures on one canvas: a multilabel set that needs no files."""

import numpy as np
import pytest

from cnn.data.arrays import Split
from cnn.data.sources.canvas import Canvas
from cnn.data.sources.catalogue import SOURCES


def singles():
    """Four classes of pictures; all pixels of a picture say its class."""
    labels = np.arange(40) % 4
    return Split(images=np.tile((labels * 50 + 50)[:, None, None, None], (1, 6, 6, 1)).astype(np.uint8), labels=labels)


def test_the_labels_are_what_is_to_be_seen():
    split = Canvas(side=20).painted(singles(), 4, 300, seed=3)
    assert split.images.shape == (300, 20, 20, 1)
    for image, label in zip(split.images, split.labels, strict=True):
        # The classes whose colour is on the canvas are those of the labels: none hidden, none invented.
        assert sorted(set(np.unique(image).tolist()) - {0}) == [number * 50 + 50 for number in np.flatnonzero(label)]
    # One to four pictures: every number of pixels that so many have occurs, and no other.
    assert set(np.count_nonzero(split.images, axis=(1, 2, 3)).tolist()) == {36, 72, 108, 144}


def test_pictures_are_shrunk_by_their_mean():
    split = Canvas(side=8, shrink=2).painted(singles(), 4, 50, seed=0)
    # Six by six becomes three by three of the same colour.
    assert np.count_nonzero(split.images, axis=(1, 2, 3)).min() == 9


def test_a_canvas_is_a_function_of_its_seed():
    one, again, other = (Canvas(side=20).painted(singles(), 4, 50, seed) for seed in (1, 1, 2))
    assert (one.images == again.images).all() and (one.labels == again.labels).all()
    assert (one.labels != other.labels).any()


def test_digits_on_canvases(tmp_path):
    data = SOURCES["digits_canvas"].load(None, tmp_path)
    # Every machine paints the same.
    assert data.content_hash == "8838c1200e23ebc1f61cc5d295f0d93a58cd696cbe23bb3f4014ef4dbbf6c96e"
    assert data.is_multilabel
    assert (data.train.images.shape, data.train.labels.shape) == ((3000, 24, 24, 1), (3000, 10))
    # Each digit is on about a fifth of the canvases: neither rare nor everywhere.
    assert (np.abs(data.train.labels.mean(axis=0) - 0.23) < 0.05).all()
    assert data.test.labels.any(axis=1).all()


def test_no_digit_is_on_canvases_of_both_sets(tmp_path):
    data, digits = SOURCES["digits_canvas"].load(None, tmp_path), SOURCES["digits"].load(None, tmp_path)
    known = {image.tobytes() for image in digits.train.images}

    def pictures(split):
        windows = np.lib.stride_tricks.sliding_window_view(split.images[..., 0], (8, 8), axis=(1, 2))
        return {window.tobytes() for row in windows for window in row.reshape(-1, 8, 8)} & known

    train, test = pictures(data.train), pictures(data.test)
    # The real digits found on the canvases of one set and of the other: many, and none in common.
    assert len(train) > 1000 and len(test) > 300
    assert train & test == set()


@pytest.mark.parametrize("name", ["digits_canvas", "fashion_canvas"])
def test_a_picture_fits_into_its_cell(name):
    source = SOURCES[name]
    side = SOURCES[source.singles].image_shape[0] if name == "fashion_canvas" else 8
    # And has room to move there.
    assert source.canvas.side % 2 == 0
    assert side // source.canvas.shrink < source.canvas.side // 2

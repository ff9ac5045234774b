"""Pictures that were saved more than once stay together in splits that are drawn; what only looks odd does not."""

import numpy as np
import pytest
from PIL import Image

from cnn.config.preparing import PrepareParams
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.groups import inseparable
from cnn.data.quality.cleaning import cleaned
from cnn.errors import DataError

LIMIT = 0.1


def landscapes(n, seed=0, side=32):
    """Smooth colour pictures, each unlike all others."""
    small = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in small]
    )


def saved_again(images, seed):
    """Near the originals, of other pixels."""
    noise = np.random.default_rng(seed).integers(-3, 4, images.shape)
    return np.clip(images.astype(np.int64) + noise, 0, 255).astype(np.uint8)


def a_split(images, labels):
    names = np.array([f"{number}.png" for number in range(len(images))], dtype=object)
    return Split(images=images, labels=np.array(labels), names=names)


def thirds(n=20):
    """Pictures of two classes, each in three files."""
    images = landscapes(n)
    every = np.concatenate([images, saved_again(images, 1), saved_again(images, 2)])
    return a_split(every, [number % 2 for number in range(n)] * 3)


def test_files_of_one_picture_are_one_group():
    groups = inseparable(thirds(), LIMIT, n_needed=3)
    assert groups.tolist() == [*range(20)] * 3
    # With 0 only equal pixels hold images together.
    assert inseparable(thirds(), 0.0, n_needed=3).tolist() == [*range(60)]


@pytest.mark.parametrize("seed", range(5))
def test_drawn_splits_share_no_picture_and_nothing_is_refused(seed, tmp_path):
    data = DataSet(source="folder", place="", class_names=("a", "b"), train=thirds(), test=None)
    params = PrepareParams(source="folder", path="p", near_duplicates=LIMIT, on_bad="fail", seed=seed)
    found = cleaned(data, params, tmp_path)
    assert found.left_out == ()
    pictures = [{int(name.split(".")[0]) % 20 for name in split.names} for split in found.splits.values()]
    assert sum(len(part) for part in pictures) == 20 == len(set.union(*pictures))
    # All files of a picture went with it.
    assert [len(split) for split in found.splits.values()] == [3 * len(part) for part in pictures]


def test_what_is_near_a_picture_of_another_class_is_left_apart():
    images = landscapes(12)
    labels = [0, 1] * 6
    split = a_split(np.concatenate([images, saved_again(images[:2], 1)]), [*labels, 1, 1])
    # A cat that is called a dog elsewhere is to be looked at; the other copy goes with its picture.
    assert inseparable(split, LIMIT, n_needed=3).tolist() == [*range(12), 12, 1]
    multilabel = Split(images=split.images, labels=np.eye(2, dtype=np.uint8)[split.labels])
    assert inseparable(multilabel, LIMIT, n_needed=3).tolist() == [*range(12), 12, 1]


def test_a_class_of_too_few_pictures_is_parted_and_named(tmp_path):
    images = landscapes(12)
    alone = np.concatenate([saved_again(images[:1], seed) for seed in range(6)])
    split = a_split(np.concatenate([images[1:], alone]), [0] * 11 + [1] * 6)
    assert len(set(inseparable(split, LIMIT, n_needed=3)[11:].tolist())) == 6
    data = DataSet(source="folder", place="", class_names=("a", "b"), train=split, test=None)
    with pytest.raises(DataError, match="near-duplicate"):
        cleaned(data, PrepareParams(source="folder", path="p", near_duplicates=LIMIT), tmp_path)

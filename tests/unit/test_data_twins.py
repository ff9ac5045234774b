"""Images that stand in two splits, exactly or nearly; and pictures that merely resemble each other."""

import io

import numpy as np
import pytest
from making import all_digits
from PIL import Image, ImageEnhance

from cnn.data.arrays import Split
from cnn.data.prepared.likeness import perceptual_hashes, thumbnails
from cnn.data.quality.twins import twins

LIMIT = 0.1
RANDOM = np.random.default_rng(0)


def landscapes(n, seed=0, side=48):
    """Smooth colour pictures, each unlike all others."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in small]
    )


def found(limit=LIMIT, **images):
    splits = {name: Split(images=array, labels=np.zeros(len(array), np.int64)) for name, array in images.items()}
    empty = Split(images=np.zeros((0, *images["train"].shape[1:]), np.uint8), labels=np.zeros(0, np.int64))
    pairs = twins({"train": empty, "validation": empty, "test": empty} | splits, limit)
    return [(twin.split, twin.position, twin.other, twin.other_position, twin.exact) for twin in pairs]


def test_equal_pixels_are_found_wherever_they_stand():
    train, validation, test = landscapes(30), landscapes(20, seed=1), landscapes(20, seed=2)
    validation[3], test[5], test[6] = train[7], train[9], validation[11]
    expected = [("train", 7, "validation", 3, True), ("train", 9, "test", 5, True), ("validation", 11, "test", 6, True)]
    # Named in the split that comes first, with its like in the later one; near-duplicates looked for or not.
    assert found(train=train, validation=validation, test=test) == expected
    assert found(0.0, train=train, validation=validation, test=test) == expected


def test_what_stands_in_all_three_is_missing_from_none_but_test():
    same = landscapes(1)
    # Training and validation give it up, the test set keeps it.
    assert found(train=same, validation=same, test=same) == [
        ("train", 0, "test", 0, True),
        ("validation", 0, "test", 0, True),
    ]


def test_an_image_that_repeats_within_a_split_is_no_twin():
    train = landscapes(3)
    train[1] = train[0]
    assert found(train=train, test=landscapes(3, seed=1)) == []


def as_jpeg(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream))


def smaller_and_back(image):
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((32, 32)).resize(picture.size))


CHANGES = {
    "packed as a poor JPEG": lambda image: as_jpeg(image, 30),
    "made smaller and larger again": smaller_and_back,
    "a little brighter": lambda image: np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(1.05)),
    "of less contrast": lambda image: np.asarray(ImageEnhance.Contrast(Image.fromarray(image)).enhance(0.7)),
    "in grey": lambda image: np.asarray(Image.fromarray(image).convert("L").convert("RGB")),
    "with noise": lambda image: np.clip(image + RANDOM.normal(0, 6, image.shape), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_picture_that_was_saved_otherwise_is_near(change):
    train, test = landscapes(60), landscapes(40, seed=1)
    for place in range(10):
        test[place] = CHANGES[change](train[place])
    # All ten, each with the picture it was made of, and nothing else.
    assert found(train=train, test=test) == [("train", place, "test", place, False) for place in range(10)]


def test_other_pictures_are_not_near():
    assert found(train=landscapes(400), test=landscapes(400, seed=1)) == []


def test_different_handwriting_of_one_digit_is_not_near():
    images = all_digits()[0][..., None]
    # Real digits of eight by eight pixels resemble each other as hardly anything does, and no two are one picture.
    assert found(train=images[::2], test=images[1::2]) == []


def test_images_of_one_colour_are_twins_only_of_their_like():
    grey, dark = (np.full((2, 16, 16, 1), value, np.uint8) for value in (120, 40))
    # Nothing is to be seen on them, so that only equal ones are the same.
    assert found(train=grey, test=dark) == []
    assert [twin[-1] for twin in found(train=grey, test=grey)] == [True, True]


@pytest.mark.parametrize("shape", [(5, 7, 1), (8, 8, 1), (33, 20, 3), (1, 1, 3)])
def test_any_shape_will_do(shape):
    images = RANDOM.integers(0, 256, (20, *shape), dtype=np.uint8)
    # Small and crooked images have hashes and thumbnails as well, and are found.
    assert found(train=images, test=images[:1]) != []
    assert thumbnails(images).shape == (20, 256)


def test_thumbnails_are_normalised():
    small = thumbnails(landscapes(20))
    # Mean 0 and standard deviation 1, so that neither brightness nor contrast counts.
    assert small.mean(axis=1) == pytest.approx(0, abs=1e-4)
    assert small.std(axis=1) == pytest.approx(1, abs=1e-4)


def test_every_machine_hashes_the_same():
    images = (np.arange(3 * 16 * 16) * 7919 % 251).astype(np.uint8).reshape(3, 16, 16, 1)
    split = Split(images=images, labels=np.zeros(3, np.int64))
    # Known in advance, so that another way of calculating is noticed.
    assert [f"{value:016x}" for value in perceptual_hashes(split)] == [
        "44fa8bda83d281bb",
        "f9d516c517c51545",
        "7bd18cd88dd88d51",
    ]

"""Flips and shifts in one gather; what all changes of images have in common; each change against its definition."""

import math
from zlib import crc32

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cnn.config.recipe import AugmentRecipe
from cnn.data.augmentation import augmented, drawn
from cnn.data.augmentation.mixing import mixed_images, mixed_labels
from cnn.data.augmentation.moves import N_DRAWS, moved

unit = st.floats(0, 1, exclude_max=True, width=32)
few = settings(max_examples=25, deadline=None)

STRENGTHS = {
    "flip": st.just(True),
    "shift": st.floats(0.05, 0.5),
    "rotate": st.floats(1, 180),
    "zoom": st.floats(0.05, 1),
    "brightness": st.floats(0.05, 1),
    "contrast": st.floats(0.05, 1),
    "noise": st.floats(0.01, 0.5),
    "cutout": st.floats(0.1, 1),
    "mixup": st.floats(0.01, 10),
    "cutmix": st.floats(0.01, 10),
}


@st.composite
def image_batches(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 12)), draw(st.integers(2, 12)), draw(st.sampled_from([1, 3])))
    return draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 255)))


@st.composite
def recipes(draw: st.DrawFn) -> AugmentRecipe:
    """Any changes together, or one alone."""
    return AugmentRecipe(**{name: draw(STRENGTHS[name]) for name in draw(st.sets(st.sampled_from([*STRENGTHS])))})


def draws_for(images: np.ndarray, data: st.DataObject) -> np.ndarray:
    return data.draw(hnp.arrays(np.float32, (len(images), N_DRAWS), elements=unit))


def array(tensor: keras.KerasTensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def flipped_and_shifted(images: np.ndarray, draws: np.ndarray, recipe: AugmentRecipe) -> np.ndarray:
    return array(moved(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(draws), recipe))


def numbers_for(n_images: int, sides: tuple[int, int], recipe: AugmentRecipe, **fixed: list[float]) -> dict:
    """Those that `drawn` gives: from draws that a name fixes, else from random ones."""

    def uniform(name: str, k: int) -> keras.KerasTensor:
        random = np.random.default_rng(crc32(name.encode())).random((n_images, k), dtype=np.float32)
        draws = np.broadcast_to(np.asarray(fixed[name], np.float32), (n_images, k)) if name in fixed else random
        return keras.ops.convert_to_tensor(draws)

    return drawn(uniform, sides, recipe)


def changed(images: np.ndarray, recipe: AugmentRecipe, **fixed: list[float]) -> np.ndarray:
    numbers = numbers_for(len(images), images.shape[1:3], recipe, **fixed)
    return array(augmented(keras.ops.convert_to_tensor(images), numbers, recipe))


def mixed(images: np.ndarray, partners: np.ndarray, recipe: AugmentRecipe) -> tuple[np.ndarray, np.ndarray]:
    """Images of class 0 mixed with partners of class 1."""
    numbers = numbers_for(len(images), images.shape[1:3], recipe)
    pictures = mixed_images(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(partners), numbers)
    own, other = (np.tile(np.eye(2, dtype=np.float32)[label], (len(images), 1)) for label in (0, 1))
    return array(pictures), array(mixed_labels(own, other, numbers))


def plain_images(n_images: int, value: int, side: int = 16) -> np.ndarray:
    return np.full((n_images, side, side, 1), value, np.uint8)


def by_hand(image: np.ndarray, draws: np.ndarray, recipe: AugmentRecipe) -> np.ndarray:
    """One image: flipped, padded with its mirror image, a window cut out."""
    image = image[:, ::-1] if recipe.flip and draws[0] < 0.5 else image
    down, right = (round(recipe.shift * side) for side in image.shape[:2])
    padded = np.pad(image, ((down, down), (right, right), (0, 0)), mode="symmetric")
    top = 2 * down - int(np.float32(draws[1]) * np.float32(2 * down + 1))
    left = 2 * right - int(np.float32(draws[2]) * np.float32(2 * right + 1))
    return padded[top : top + image.shape[0], left : left + image.shape[1]]


@few
@given(image_batches(), st.booleans(), st.floats(0, 0.5), st.data())
def test_equals_padding_cropping_and_flipping_by_hand(
    images: np.ndarray, flip: bool, shift: float, data: st.DataObject
) -> None:
    recipe, draws = AugmentRecipe(flip=flip, shift=shift), draws_for(images, data)
    expected = [by_hand(image, row, recipe) for image, row in zip(images, draws, strict=True)]
    # The gather over a whole batch does what the textbook does to one image.
    np.testing.assert_array_equal(flipped_and_shifted(images, draws, recipe), np.stack(expected))


def test_flips_half_and_shifts_each_way_alike() -> None:
    draws = np.random.default_rng(0).random((3000, N_DRAWS), dtype=np.float32)
    column = np.zeros((3000, 9, 9, 1), np.uint8)
    column[:, 4, 2] = 255  # one bright pixel, left of the middle
    flipped = flipped_and_shifted(column, draws, AugmentRecipe(flip=True))[:, 4, 6, 0] > 0
    # Mirrored with probability one half: 5 standard deviations are 0.046.
    assert abs(flipped.mean() - 0.5) < 0.046
    shifted = flipped_and_shifted(column, draws, AugmentRecipe(shift=0.2))
    rows, columns = np.nonzero(shifted.max(axis=2)[:, :, 0])[1], np.nonzero(shifted.max(axis=1)[:, :, 0])[1]
    # Moves of -2 to 2 pixels, a fifth each: 5 standard deviations are 0.037.
    assert set(rows) == {2, 3, 4, 5, 6}
    assert abs(np.bincount(rows)[2:] / 3000 - 0.2).max() < 0.037
    # A column may also show its mirror image at the left edge; the pixel itself is always there.
    assert set(columns) >= {0, 1, 2, 3, 4}


@few
@given(image_batches(), recipes())
def test_an_image_depends_on_its_own_row_alone(images: np.ndarray, recipe: AugmentRecipe) -> None:
    numbers = numbers_for(len(images), images.shape[1:3], recipe)
    together = array(augmented(keras.ops.convert_to_tensor(images), numbers, recipe))
    alone = [
        array(augmented(images[i : i + 1], {name: rows[i : i + 1] for name, rows in numbers.items()}, recipe))[0]
        for i in range(len(images))
    ]
    # No image leaks into its neighbour, and no bit depends on the place in a batch.
    np.testing.assert_array_equal(together, np.stack(alone))
    # What went in as bytes comes out as bytes, of the same shape.
    assert together.dtype == np.uint8
    assert together.shape == images.shape


@few
@given(image_batches(), recipes())
def test_a_mixture_is_made_of_two_images(images: np.ndarray, recipe: AugmentRecipe) -> None:
    if not recipe.mixes:
        recipe = recipe.model_copy(update={"mixup": 0.2})
    partners = 255 - images
    pictures, labels = mixed(images, partners, recipe)
    # No value lies outside those of the two; bytes stay bytes.
    assert pictures.dtype == np.uint8
    assert (pictures >= np.minimum(images, partners)).all() and (pictures <= np.maximum(images, partners)).all()
    # A label is what the image keeps, and what it takes.
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert labels.min() >= 0


@few
@given(image_batches())
def test_nothing_asked_nothing_changed(images: np.ndarray) -> None:
    nothing = AugmentRecipe(**{name: 0.0 for name in STRENGTHS if name != "flip"})
    # Strength 0 is no change, and is the default.
    assert nothing == AugmentRecipe()
    np.testing.assert_array_equal(changed(images, nothing), images)


@pytest.mark.parametrize("name", [name for name in STRENGTHS if name not in ("flip", "shift", "mixup", "cutmix")])
def test_a_change_grows_from_nothing(name: str) -> None:
    images = ndimage.gaussian_filter(np.random.default_rng(0).random((40, 16, 16, 1)), (0, 2, 2, 0))
    images = (255 * (images - images.min()) / np.ptp(images)).astype(np.uint8)

    def distance(strength: float) -> float:
        return float(np.abs(changed(images, AugmentRecipe(**{name: strength})).astype(int) - images).mean())

    faint, strong = distance(1e-4), distance(0.5 if name != "rotate" else 60)
    # The weakest is next to no change, the strong one is seen: a search can move between them.
    assert faint < 0.1
    assert strong > 3


@few
@given(image_batches(), st.floats(0, 0.5), st.booleans())
def test_turning_by_nothing_is_flipping_and_shifting(images: np.ndarray, shift: float, flip: bool) -> None:
    whole, turned = AugmentRecipe(flip=flip, shift=shift), AugmentRecipe(flip=flip, shift=shift, rotate=90)
    # Both ways to resample move the same images by the same pixels.
    np.testing.assert_array_equal(changed(images, turned, affine=[0.5, 0.5]), changed(images, whole))


def test_quarter_turns_are_exact() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    for draw, turns in ((0.0, 1), (1.0, -1)):
        turned = changed(images, AugmentRecipe(rotate=90), affine=[draw, 0.5])
        # The largest angle, one way and the other; float32 has no exact cosine of 90 degrees.
        assert np.abs(turned.astype(int) - np.rot90(images, turns, axes=(1, 2))).max() <= 1


@few
@given(image_batches(), st.floats(0, 1, width=32), st.floats(0, 1, width=32), st.booleans())
def test_resampling_agrees_with_scipy(images: np.ndarray, turn: float, scale: float, flip: bool) -> None:
    recipe, moves = AugmentRecipe(flip=flip, shift=0.2, rotate=40, zoom=0.5), [0.25, 0.75, 0.1]
    angle, zoom = math.radians(40) * (2 * turn - 1), 1.5 ** (2 * scale - 1)
    sides = np.array(images.shape[1:3])
    shift = [
        math.floor(u * (2 * round(0.2 * side) + 1)) - round(0.2 * side)
        for u, side in zip(moves[1:], sides, strict=True)
    ]
    turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / zoom
    middle = (sides - 1) / 2
    got = changed(images, recipe, affine=[turn, scale], augment=moves)
    for image, picture in zip(images, got, strict=True):
        source = image[:, ::-1] if flip else image
        for channel in range(image.shape[-1]):
            expected = ndimage.affine_transform(
                source[..., channel].astype(float), turned, middle - turned @ (middle + shift), order=1, mode="reflect"
            )
            # Flip, turn, scale and shift in one resampling are those of another library; 1 is for rounding.
            assert np.abs(picture[..., channel] - expected).max() <= 1.01


def test_brightness_and_contrast_do_what_they_say() -> None:
    grey = plain_images(500, 100)
    grey[:, :8] = 140
    brighter = changed(grey, AugmentRecipe(brightness=0.1)).astype(int)
    # All values move alike, by 25 at the most.
    assert set(np.unique(brighter[:, 12] - 100 - (brighter[:, 2] - 140))) <= {0, 1, -1}
    assert 20 < np.abs(brighter[:, 12] - 100).max() <= 26
    stronger = changed(grey, AugmentRecipe(contrast=0.5)).astype(int)
    # The mean stays; the distance of 40 becomes 20 to 60.
    assert np.abs(stronger.mean(axis=(1, 2, 3)) - 120).max() <= 1
    distances = stronger[:, 2, 0, 0] - stronger[:, 12, 0, 0]
    assert 20 <= distances.min() < 22 and 58 < distances.max() <= 60


def test_noise_is_normal_and_each_images_own() -> None:
    noise = changed(plain_images(200, 128), AugmentRecipe(noise=0.1)).astype(float)[..., 0] - 128
    # Mean 0 and the deviation that was asked for: 5 standard errors of 51,200 values.
    assert abs(noise.mean()) < 0.57
    assert abs(noise.std() - 25.5) < 0.41
    # Nearly normal: 68.3 and 95.4 % within one and two deviations.
    assert abs((np.abs(noise) < 25.5).mean() - 0.683) < 0.02
    assert abs((np.abs(noise) < 51).mean() - 0.954) < 0.02
    # Neither neighbouring pixels nor images that follow one another know of each other.
    for one, other in ((noise[:, :, 1:], noise[:, :, :-1]), (noise[:, 1:], noise[:, :-1]), (noise[1:], noise[:-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.025


def test_cutout_covers_a_square_in_the_images_mean_colour() -> None:
    images = np.random.default_rng(0).integers(0, 256, (400, 16, 16, 3), dtype=np.uint8)
    got = changed(images, AugmentRecipe(cutout=0.5))
    touched = (got != images).any(axis=-1)
    rows, columns = touched.any(axis=2).sum(axis=1), touched.any(axis=1).sum(axis=1)
    # 8 pixels a side, less where it reaches over the edge: half of it at the most, the centre being inside.
    assert rows.max() == columns.max() == 8
    assert min(rows.min(), columns.min()) >= 3
    # What is covered has one colour, the image's mean.
    means = np.round(images.reshape(400, -1, 3).mean(axis=1))
    assert all((got[i][touched[i]] == means[i]).all() for i in range(400))


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha: float) -> None:
    black, white = plain_images(4000, 0, side=2), plain_images(4000, 255, side=2)
    pictures, labels = mixed(black, white, AugmentRecipe(mixup=alpha))
    # The pixels are mixed as the labels are.
    np.testing.assert_allclose(pictures[:, 0, 0, 0] / 255, labels[:, 1], atol=0.5 / 255 + 1e-6)
    # Mean 1/2 and variance 1 / (4 (2 alpha + 1)), within 5 standard errors or so.
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(labels[:, 0].mean() - 0.5) < 5 * math.sqrt(variance / 4000)
    assert abs(labels[:, 0].var() / variance - 1) < 0.12


def test_a_box_is_as_large_as_its_share() -> None:
    black, white = plain_images(500, 0), plain_images(500, 255)
    pictures, labels = mixed(black, white, AugmentRecipe(cutmix=1.0))
    # A pixel shows the one or the other image.
    assert set(np.unique(pictures)) == {0, 255}
    # The label counts the pixels.
    np.testing.assert_allclose((pictures == 255).mean(axis=(1, 2, 3)), labels[:, 1], atol=1e-6)
    filled = pictures[..., 0] == 255
    boxes = filled.any(axis=2).sum(axis=1) * filled.any(axis=1).sum(axis=1)
    # What is shown of the partner is one box.
    np.testing.assert_array_equal(boxes, filled.sum(axis=(1, 2)))
    # Boxes of all sizes occur.
    assert labels[:, 1].min() == 0 and labels[:, 1].max() > 0.8


def test_with_both_an_image_is_blended_or_has_a_box() -> None:
    pictures, labels = mixed(plain_images(600, 0), plain_images(600, 255), AugmentRecipe(mixup=5.0, cutmix=1.0))
    blended = np.array([len(np.unique(picture)) == 1 and 0 < picture.max() < 255 for picture in pictures])
    # One in two, 5 standard deviations being 0.1; no image is both.
    assert abs(blended.mean() - 0.5) < 0.1
    assert all(set(np.unique(picture)) <= {0, 255} for picture in pictures[~blended])
    np.testing.assert_allclose(pictures.mean(axis=(1, 2, 3)) / 255, labels[:, 1], atol=0.5 / 255 + 1e-6)

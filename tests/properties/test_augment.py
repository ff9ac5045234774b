import keras
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnn.config.recipe import AugmentRecipe
from cnn.data.augment import N_DRAWS, augmented

unit = st.floats(0, 1, exclude_max=True, width=32)
few = settings(max_examples=40, deadline=None)


@st.composite
def image_batches(draw: st.DrawFn) -> np.ndarray:
    shape = (draw(st.integers(1, 4)), draw(st.integers(2, 12)), draw(st.integers(2, 12)), draw(st.sampled_from([1, 3])))
    return draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 255)))


def draws_for(images: np.ndarray, data: st.DataObject) -> np.ndarray:
    return data.draw(hnp.arrays(np.float32, (len(images), N_DRAWS), elements=unit))


def changed(images: np.ndarray, draws: np.ndarray, recipe: AugmentRecipe) -> np.ndarray:
    return keras.ops.convert_to_numpy(
        augmented(keras.ops.convert_to_tensor(images), keras.ops.convert_to_tensor(draws), recipe)
    )


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
    np.testing.assert_array_equal(changed(images, draws, recipe), np.stack(expected))


@few
@given(image_batches(), st.data())
def test_an_image_depends_on_its_own_row_alone(images: np.ndarray, data: st.DataObject) -> None:
    recipe, draws = AugmentRecipe(flip=True, shift=0.2), draws_for(images, data)
    alone = [changed(images[i : i + 1], draws[i : i + 1], recipe)[0] for i in range(len(images))]
    # No image leaks into its neighbour in the batch.
    np.testing.assert_array_equal(changed(images, draws, recipe), np.stack(alone))


@few
@given(image_batches(), st.data())
def test_nothing_asked_nothing_changed(images: np.ndarray, data: st.DataObject) -> None:
    # A recipe without augmentation hands the images on.
    np.testing.assert_array_equal(changed(images, draws_for(images, data), AugmentRecipe()), images)


def test_flips_half_and_shifts_each_way_alike() -> None:
    draws = np.random.default_rng(0).random((3000, N_DRAWS), dtype=np.float32)
    column = np.zeros((3000, 9, 9, 1), np.uint8)
    column[:, 4, 2] = 255  # one bright pixel, left of the middle
    flipped = changed(column, draws, AugmentRecipe(flip=True))[:, 4, 6, 0] > 0
    # Mirrored with probability one half: 5 standard deviations are 0.046.
    assert abs(flipped.mean() - 0.5) < 0.046
    shifted = changed(column, draws, AugmentRecipe(shift=0.2))
    rows, columns = np.nonzero(shifted.max(axis=2)[:, :, 0])[1], np.nonzero(shifted.max(axis=1)[:, :, 0])[1]
    # Moves of -2 to 2 pixels, a fifth each: 5 standard deviations are 0.037.
    assert set(rows) == {2, 3, 4, 5, 6}
    assert abs(np.bincount(rows)[2:] / 3000 - 0.2).max() < 0.037
    # A column may also show its mirror image at the left edge; the pixel itself is always there.
    assert set(columns) >= {0, 1, 2, 3, 4}

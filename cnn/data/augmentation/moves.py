"""Flips, and shifts by whole pixels, in one gather."""

import keras
from keras import ops

from cnn.config.recipe import AugmentRecipe

N_DRAWS = 3
"""Numbers an image needs: for the flip, the shift down, the shift right."""

DRAWS = "augment"
"""Their name. It was the first change there was, and a run that only flips and shifts repeats for ever."""


def moved(images: keras.KerasTensor, draws: keras.KerasTensor, recipe: AugmentRecipe) -> keras.KerasTensor:
    """Images mirrored left to right with probability 1/2, and moved by whole pixels, uniformly from -m to m.

    m is `shift` times the side, rounded. What moves in over an edge is the image mirrored there (b a | a b c d): unlike
    black, it adds no edge of its own.

    Args:
        images: (n, h, w, c) uint8.
        draws: (n, 3), uniform in [0, 1).

    Returns:
        (n, h, w, c) uint8. Image i depends on row i of the arguments alone.
    """
    if not recipe.flip and not recipe.shift:
        return images
    height, width, channels = images.shape[1:]
    down, right = shifts(draws, (height, width), recipe)
    rows, columns = _sources(height, down), _sources(width, right)
    if recipe.flip:
        columns = ops.where(flips(draws)[:, None], width - 1 - columns, columns)
    # One gather over the pixels of the whole batch: a third of the cost of an affine transform of each image.
    numbers = ops.arange(ops.shape(images)[0], dtype="int32")
    pixels = (numbers[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    return ops.take(ops.reshape(images, (-1, channels)), pixels, axis=0)


def flips(draws: keras.KerasTensor) -> keras.KerasTensor:
    """(n,) whether an image is mirrored, should the recipe flip."""
    return draws[:, 0] < 0.5


def shifts(
    draws: keras.KerasTensor, sides: tuple[int, int], recipe: AugmentRecipe
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """(n,) int32 each: pixels down and right."""
    down, right = (
        ops.cast(ops.floor(draws[:, column] * (2 * largest + 1)), "int32") - largest
        for column, largest in enumerate((round(recipe.shift * side) for side in sides), start=1)
    )
    return down, right


def _sources(side: int, moves: keras.KerasTensor) -> keras.KerasTensor:
    """(n, side): the row or column that each place of a moved image shows."""
    places = ops.arange(side, dtype="int32")[None, :] - moves[:, None]
    places = ops.where(places < 0, -1 - places, places)
    return ops.where(places >= side, 2 * side - 1 - places, places)

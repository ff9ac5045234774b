"""Random changes of training images, as a pure function of numbers that were drawn before."""

import keras
from keras import ops

from cnn.config.recipe import AugmentRecipe

N_DRAWS = 3
"""Numbers an image needs: for the flip, the shift down, the shift right."""


def augmented(images: keras.KerasTensor, draws: keras.KerasTensor, recipe: AugmentRecipe) -> keras.KerasTensor:
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
    rows = _sources(height, _moves(draws[:, 1], round(recipe.shift * height)))
    columns = _sources(width, _moves(draws[:, 2], round(recipe.shift * width)))
    if recipe.flip:
        columns = ops.where(draws[:, :1] < 0.5, width - 1 - columns, columns)
    # One gather over the pixels of the whole batch: a third of the cost of an affine transform of each image.
    numbers = ops.arange(ops.shape(images)[0], dtype="int32")
    pixels = (numbers[:, None, None] * height + rows[:, :, None]) * width + columns[:, None, :]
    return ops.take(ops.reshape(images, (-1, channels)), pixels, axis=0)


def _moves(draws: keras.KerasTensor, largest: int) -> keras.KerasTensor:
    """Whole numbers from -largest to largest, each as likely."""
    return ops.cast(ops.floor(draws * (2 * largest + 1)), "int32") - largest


def _sources(side: int, moves: keras.KerasTensor) -> keras.KerasTensor:
    """(n, side): the row or column that each place of a moved image shows."""
    places = ops.arange(side, dtype="int32")[None, :] - moves[:, None]
    places = ops.where(places < 0, -1 - places, places)
    return ops.where(places >= side, 2 * side - 1 - places, places)

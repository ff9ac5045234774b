"""A square of each image covered."""

import keras
from keras import ops

from cnn.data.augmentation.numbers import Uniform


def centres(uniform: Uniform, sides: tuple[int, int]) -> keras.KerasTensor:
    """(n, 2) int32: row and column of the square's centre, each pixel of the image as likely."""
    draws = uniform("cutout", 2)
    return ops.stack([whole_numbers(draws[:, axis], side) for axis, side in enumerate(sides)], axis=1)


def covered(
    images: keras.KerasTensor, colours: keras.KerasTensor, centres: keras.KerasTensor, fraction: float
) -> keras.KerasTensor:
    """Images with a square of `fraction` of each side in one colour. It may reach over the edge, as in the paper: an
    image is sometimes covered little.

    Args:
        images: (n, h, w, c) uint8.
        colours: (n, c) uint8.
        centres: (n, 2) int32.

    References:
        DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017, section 3.
    """
    rows, columns = (
        interval(centres[:, axis] - length // 2, centres[:, axis] - length // 2 + length, side)
        for axis, (side, length) in enumerate((side, round(fraction * side)) for side in images.shape[1:3])
    )
    inside = ops.logical_and(rows[:, :, None], columns[:, None, :])
    return ops.where(inside[..., None], colours[:, None, None, :], images)


def whole_numbers(draws: keras.KerasTensor, n: int) -> keras.KerasTensor:
    """int32 in [0, n), each as likely."""
    return ops.cast(ops.floor(draws * n), "int32")


def interval(first: keras.KerasTensor, end: keras.KerasTensor, side: int) -> keras.KerasTensor:
    """(n, side): whether each place is `first` or beyond, and before `end`."""
    places = ops.arange(side, dtype="int32")[None, :]
    return ops.logical_and(places >= first[:, None], places < end[:, None])

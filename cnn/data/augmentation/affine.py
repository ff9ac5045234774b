"""Rotation and zoom, and with them flip and shift, in one resampling: each further one would blur the image."""

import math

import keras
from keras import ops

from cnn.config.recipe import AugmentRecipe
from cnn.data.augmentation.moves import DRAWS, N_DRAWS, flips, shifts
from cnn.data.augmentation.numbers import Uniform


def transforms(uniform: Uniform, sides: tuple[int, int], recipe: AugmentRecipe) -> keras.KerasTensor:
    """Where each place of a changed image lies in the original, which is flipped, turned and scaled about its centre,
    and moved, in this order.

    The angle is uniform from -`rotate` to `rotate`. The scale is (1 + `zoom`)^u with u uniform from -1 to 1: as often
    a quarter smaller as a third larger, so that areas stay what they are on the whole.

    Args:
        uniform: Draws `affine` and the numbers of `moves.moved`: the same flips and shifts with a rotation and without.
        sides: Height and width.

    Returns:
        (n, 8), rows (a, b, c, d, e, f, 0, 0): the place (x, y) shows (a x + b y + c, d x + e y + f).
    """
    height, width = sides
    draws, moves = uniform("affine", 2), uniform(DRAWS, N_DRAWS)
    angle = (2 * draws[:, 0] - 1) * math.radians(recipe.rotate)
    shrunk = ops.exp((1 - 2 * draws[:, 1]) * math.log1p(recipe.zoom))
    cosine, sine = ops.cos(angle) * shrunk, ops.sin(angle) * shrunk
    mirror = ops.where(flips(moves), -1.0, 1.0) if recipe.flip else 1.0
    down, right = (ops.cast(shift, "float32") for shift in shifts(moves, sides, recipe))
    a, b, d, e = mirror * cosine, mirror * sine, -sine, cosine
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    c = middle_x - a * (middle_x + right) - b * (middle_y + down)
    f = middle_y - d * (middle_x + right) - e * (middle_y + down)
    return ops.stack([a, b, c, d, e, f, ops.zeros_like(a), ops.zeros_like(a)], axis=1)


def transformed(images: keras.KerasTensor, transforms: keras.KerasTensor) -> keras.KerasTensor:
    """Images resampled bilinearly; beyond an edge lies the image mirrored there (b a | a b c d).

    Args:
        images: (n, h, w, c) uint8.
        transforms: (n, 8).

    Returns:
        (n, h, w, c) float32 in [0, 255]: the resampler cuts digits off when it is given whole numbers.
    """
    images = ops.cast(images, "float32")
    return ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="reflect")

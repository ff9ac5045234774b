"""Brightness and contrast, in one multiplication and one addition.

References:
    Howard, "Some improvements on deep convolutional neural network based image classification", 2013, section 2.
"""

import keras
from keras import ops

from cnn.config.recipe import AugmentRecipe
from cnn.data.augmentation.numbers import Uniform


def tones(uniform: Uniform, recipe: AugmentRecipe) -> keras.KerasTensor:
    """(n, 2): the factor of contrast, uniform from 1 - `contrast` to 1 + `contrast`, and what is added to all values,
    uniform from -255 `brightness` to 255 `brightness`.
    """
    draws = 2 * uniform("tone", 2) - 1
    return ops.stack([1 + recipe.contrast * draws[:, 0], 255 * recipe.brightness * draws[:, 1]], axis=1)


def toned(images: keras.KerasTensor, means: keras.KerasTensor, tones: keras.KerasTensor) -> keras.KerasTensor:
    """Values become mean + factor (value - mean) + addend; not yet cut off at black and white.

    Args:
        images: (n, h, w, c) float32.
        means: (n,) float32, what stays when contrast changes.
        tones: (n, 2).
    """
    factors, addends = tones[:, 0], tones[:, 1]
    offsets = means - means * factors + addends
    return images * factors[:, None, None, None] + offsets[:, None, None, None]

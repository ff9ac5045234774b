"""All changes of an image, in their order: geometry, contrast and brightness, noise, cutout, mixing."""

import math

import keras
from keras import ops

from cnn.config.recipe import AugmentRecipe
from cnn.data.augmentation.affine import transformed, transforms
from cnn.data.augmentation.cutout import centres, covered
from cnn.data.augmentation.mixing import mixtures
from cnn.data.augmentation.moves import DRAWS, N_DRAWS, moved
from cnn.data.augmentation.noise import keys, noise
from cnn.data.augmentation.numbers import Numbers, Uniform
from cnn.data.augmentation.tone import toned, tones


def drawn(uniform: Uniform, sides: tuple[int, int], recipe: AugmentRecipe) -> Numbers:
    """The numbers of an epoch: those of the changes that the recipe has.

    Args:
        sides: Height and width of the images.
    """
    numbers: dict[str, keras.KerasTensor] = {}
    if recipe.rotate or recipe.zoom:
        numbers["transforms"] = transforms(uniform, sides, recipe)
    elif recipe.flip or recipe.shift:
        numbers["moves"] = uniform(DRAWS, N_DRAWS)
    if recipe.brightness or recipe.contrast:
        numbers["tones"] = tones(uniform, recipe)
    if recipe.noise:
        numbers["keys"] = keys(uniform)
    if recipe.cutout:
        numbers["centres"] = centres(uniform, sides)
    if recipe.mixes:
        numbers.update(mixtures(uniform, sides, recipe))
    return numbers


def augmented(images: keras.KerasTensor, numbers: Numbers, recipe: AugmentRecipe) -> keras.KerasTensor:
    """Images changed, but not yet mixed with others. Values are rounded once, after all that needs fractions.

    Args:
        images: (n, h, w, c) uint8.
        numbers: The rows of these images.

    Returns:
        (n, h, w, c) uint8. Image i depends on row i of the arguments alone.
    """
    changed = images
    if "transforms" in numbers:
        changed = transformed(changed, numbers["transforms"])
    elif "moves" in numbers:
        changed = moved(changed, numbers["moves"], recipe)
    if "tones" in numbers:
        changed = toned(ops.cast(changed, "float32"), _means(images, (1, 2, 3)), numbers["tones"])
    if "keys" in numbers:
        changed = ops.cast(changed, "float32") + noise(numbers["keys"], images.shape[1:], 255 * recipe.noise)
    changed = _rounded(changed)
    if "centres" in numbers:
        changed = covered(changed, _rounded(_means(images, (1, 2))), numbers["centres"], recipe.cutout)
    return changed


def _rounded(values: keras.KerasTensor) -> keras.KerasTensor:
    return values if values.dtype == "uint8" else ops.cast(ops.clip(ops.round(values), 0, 255), "uint8")


def _means(images: keras.KerasTensor, axes: tuple[int, ...]) -> keras.KerasTensor:
    """float32. Summed as whole numbers: a sum of fractions would depend on its order, and so on the batch."""
    sums = ops.sum(ops.cast(images, "int32"), axis=axes)
    return ops.cast(sums, "float32") / math.prod(images.shape[axis] for axis in axes)

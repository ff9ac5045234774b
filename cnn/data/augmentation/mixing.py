"""Each image mixed with a partner, and its label with the partner's.

References:
    Zhang, Cissé, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018, equation 2.
    Yun, Han, Oh, Chun, Choe and Yoo, "CutMix: regularization strategy to train strong classifiers with localizable
    features", ICCV 2019, equations 1 and 2.
"""

import keras
import numpy as np
from keras import ops
from scipy.special import betaincinv

from cnn.config.recipe import AugmentRecipe
from cnn.data.augmentation.cutout import interval, whole_numbers
from cnn.data.augmentation.numbers import Numbers, Uniform

_N_QUANTILES = 4096


def mixtures(uniform: Uniform, sides: tuple[int, int], recipe: AugmentRecipe) -> Numbers:
    """How each image is mixed: `share` (n,), the part of its own label that it keeps, in [0, 1]; with mixup `weight`
    (n,), that of its own pixels; with cutmix `box` (n, 4), first row, end row, first column, end column of the box that
    shows the partner.

    With both, one image in two is blended and has an empty box, the other has a box and is not blended.
    """
    draws = uniform("mix", 5)
    blended = draws[:, 0] < (0.5 if recipe.cutmix else 1.0) if recipe.mixup else ops.zeros_like(draws[:, 0], "bool")
    numbers = {"share": ops.ones_like(draws[:, 0])}
    if recipe.cutmix:
        first, end = _boxes(draws[:, 1:4], sides, recipe.cutmix)
        end = ops.where(blended[:, None], first, end)
        numbers["box"] = ops.stack([first[:, 0], end[:, 0], first[:, 1], end[:, 1]], axis=1)
        areas = ops.cast(ops.prod(end - first, axis=1), "float32")
        numbers["share"] = 1 - areas / (sides[0] * sides[1])
    if recipe.mixup:
        numbers["weight"] = ops.where(blended, _beta(draws[:, 4], recipe.mixup), 1.0)
        numbers["share"] = numbers["share"] * numbers["weight"]
    return numbers


def mixed_images(images: keras.KerasTensor, partners: keras.KerasTensor, mixtures: Numbers) -> keras.KerasTensor:
    """Blends, and boxes of the partner.

    Args:
        images: (n, h, w, c) uint8.
        partners: (n, h, w, c) uint8.
        mixtures: The rows of these images.

    Returns:
        (n, h, w, c) uint8: a blend is rounded, so that the network's input is of one type in all recipes.
    """
    mixed = images
    if "weight" in mixtures:
        weights = mixtures["weight"][:, None, None, None]
        own, other = ops.cast(images, "float32"), ops.cast(partners, "float32")
        mixed = ops.cast(ops.round(own * weights + other * (1 - weights)), "uint8")
    if "box" in mixtures:
        top, bottom, left, right = (mixtures["box"][:, column] for column in range(4))
        rows, columns = interval(top, bottom, images.shape[1]), interval(left, right, images.shape[2])
        inside = ops.logical_and(rows[:, :, None], columns[:, None, :])
        mixed = ops.where(inside[..., None], partners, mixed)
    return mixed


def mixed_labels(targets: keras.KerasTensor, partners: keras.KerasTensor, mixtures: Numbers) -> keras.KerasTensor:
    """(n, k) float32: share target + (1 - share) partner's target."""
    shares = mixtures["share"][:, None]
    return targets * shares + partners * (1 - shares)


def _boxes(
    draws: keras.KerasTensor, sides: tuple[int, int], alpha: float
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """(n, 2) int32 each: first and end row and column. The box has the image's shape and 1 - lambda of its area; its
    centre is any pixel, and what reaches over the edge is cut off.
    """
    side = ops.sqrt(1 - _beta(draws[:, 0], alpha))
    first, end = [], []
    for axis, length in enumerate(sides):
        reach = ops.cast(ops.round(side * length), "int32")
        start = whole_numbers(draws[:, axis + 1], length) - reach // 2
        first.append(ops.clip(start, 0, length))
        end.append(ops.clip(start + reach, 0, length))
    return ops.stack(first, axis=1), ops.stack(end, axis=1)


def _beta(draws: keras.KerasTensor, alpha: float) -> keras.KerasTensor:
    """(n,) from Beta(alpha, alpha), in [0, 1]: each draw points at one of 4096 quantiles, all as likely."""
    probs = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    quantiles = ops.convert_to_tensor(betaincinv(alpha, alpha, probs), "float32")
    return ops.take(quantiles, whole_numbers(draws, _N_QUANTILES), axis=0)

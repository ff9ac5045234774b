"""Noise of its own on each value of an image.

A generator that is called once an image costs four times as much as these few operations on whole batches, and one that
is called once a batch would make an image's noise depend on its batch.
"""

import math

import keras
import numpy as np
from keras import ops

from cnn.data.augmentation.numbers import Uniform

_BYTES_SD = math.sqrt(4 * (256**2 - 1) / 12)
_BYTES_MEAN = 4 * 255 / 2
_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio: neighbours in an image get keys far apart


def keys(uniform: Uniform) -> keras.KerasTensor:
    """(n,) uint32, one an image."""
    halves = ops.cast(ops.floor(uniform("noise", 2) * 65536), "uint32")  # a float32 holds no more than 24 bits
    return ops.bitwise_or(ops.left_shift(halves[:, 0], ops.cast(16, "uint32")), halves[:, 1])


def noise(keys: keras.KerasTensor, shape: tuple[int, int, int], deviation: float) -> keras.KerasTensor:
    """Noise of mean 0, nearly normal: the sum of four uniform bytes, which are a hash of the image's key and the place.

    Args:
        keys: (n,) uint32.
        shape: Of an image: height, width, channels.
        deviation: Standard deviation; no value is further than 3.45 of them from 0.

    Returns:
        (n, h, w, c) float32.

    References:
        Wellons, "Prospecting for hash functions", 2018: the hash `lowbias32`.
    """
    places = np.arange(math.prod(shape), dtype=np.uint32) * np.uint32(_GOLDEN)
    values = ops.bitwise_xor(keys[:, None], ops.convert_to_tensor(places)[None, :])
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        values = _folded(values, shift) * ops.cast(factor, "uint32")
    sums = ops.sum(ops.cast(ops.view(_folded(values, 16)[..., None], "uint8"), "int32"), axis=-1)
    normal = (ops.cast(sums, "float32") - _BYTES_MEAN) * (deviation / _BYTES_SD)
    return ops.reshape(normal, (-1, *shape))


def _folded(values: keras.KerasTensor, shift: int) -> keras.KerasTensor:
    return ops.bitwise_xor(values, ops.right_shift(values, ops.cast(shift, "uint32")))

"""What a network does to the pixels first, so that a saved one serves uint8 images as they are."""

from collections.abc import Callable
from typing import Literal

import keras

from cnn.models.blocks import Layers

Pixels = Literal["unit", "symmetric", "caffe"]

_MEANS = (103.939, 116.779, 123.68)
"""Of blue, green and red over ImageNet, as the VGG networks were trained."""


def scaled(images: keras.KerasTensor, layers: Layers, to: Pixels) -> keras.KerasTensor:
    """uint8 images (n, h, w, c) as float32, by Keras's own layers.

    `unit` gives [0, 1] and `symmetric` [-1, 1]. `caffe` takes ImageNet's mean of each channel off 0 to 255 and turns
    RGB into BGR; images of another number of channels lose the mean of the three.
    """
    return _WAYS[to](images, layers)


def _unit(images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    return layers.rescaling(images, 1 / 255)


def _symmetric(images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    return layers.rescaling(images, 1 / 127.5, -1.0)


def _caffe(images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    if images.shape[-1] != len(_MEANS):
        return layers.rescaling(images, 1.0, -sum(_MEANS) / len(_MEANS))
    return layers.rescaling(keras.ops.flip(images, axis=-1), 1.0, [-mean for mean in _MEANS])


_WAYS: dict[Pixels, Callable[[keras.KerasTensor, Layers], keras.KerasTensor]] = {
    "unit": _unit,
    "symmetric": _symmetric,
    "caffe": _caffe,
}

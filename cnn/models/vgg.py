"""Family `vgg`: five blocks of 3 x 3 convolutions, each ended by a pool, then dense layers.

VGG-16 and VGG-19 are those of `keras.applications`, and VGG-11 and VGG-13 are made here by the same table and names.

References:
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, table 1,
    columns A, B, D, E.
    Liu and Deng, "Very deep convolutional neural network based image classification using small training sample
    size", ACPR 2015: on CIFAR-10 with BatchNorm, dropout after convolutions and one dense layer.
"""

from collections.abc import Callable

import keras

from cnn.config.architectures import VggRecipe
from cnn.models.applications import application
from cnn.models.blocks import Layers
from cnn.models.convolutions import Convolutions
from cnn.models.heads import feature_vector
from cnn.models.pixels import scaled

CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each block, by the depth in the network's name."""

WIDTHS = (1, 2, 4, 8, 8)
"""Filters of each block, as multiples of the first one's: 64 in the paper."""

_APPLICATIONS: dict[str, Callable[..., keras.Model]] = {
    "vgg16": keras.applications.VGG16,
    "vgg19": keras.applications.VGG19,
}


def vgg_network(recipe: VggRecipe, images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """Features (n, d) of uint8 images (n, h, w, c)."""
    if recipe.network == "small":
        return _small(recipe, scaled(images, layers, "unit"), layers)
    return _published(recipe, scaled(images, layers, "caffe"), layers)


def _published(recipe: VggRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """With the paper's dropout after each of the two dense layers, which Keras leaves out."""
    if recipe.network in _APPLICATIONS:
        momentum = recipe.batch_norm_momentum
        maps = application(_APPLICATIONS[recipe.network], maps, layers, momentum=momentum)
    else:
        convolution = Convolutions(layers=layers, batch_norm="none", momentum=0.0, activation="relu")
        maps = _blocks(maps, convolution, depth=int(recipe.network.removeprefix("vgg")), filters=64)
    features = feature_vector(maps, layers, by="flatten")
    for name in ("fc1", "fc2"):
        features = layers.dense(features, name, 4096, activation="relu")
        features = layers.dropout(features, f"{name}_dropout", recipe.head_dropout)
    return features


def _small(recipe: VggRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    convolution = Convolutions(
        layers=layers,
        batch_norm=recipe.batch_norm,
        momentum=recipe.batch_norm_momentum,
        activation=recipe.activation,
    )
    maps = _blocks(maps, convolution, depth=recipe.depth, filters=recipe.filters, dropout=recipe.dropout)
    features = feature_vector(maps, layers, by="global_average")
    if recipe.dense_units:
        features = layers.dense(features, "dense", recipe.dense_units, activation=recipe.activation)
    return layers.dropout(features, "head_dropout", recipe.head_dropout)


def _blocks(
    maps: keras.KerasTensor, convolution: Convolutions, *, depth: int, filters: int, dropout: float = 0.0
) -> keras.KerasTensor:
    """The five blocks, each with half the height and width of the one before, rounded up."""
    for block, (count, width) in enumerate(zip(CONVOLUTIONS[depth], WIDTHS, strict=True), start=1):
        for number in range(1, count + 1):
            maps = convolution(maps, f"block{block}_{{}}{number}", width * filters, kernel=3)
        maps = convolution.layers.pool(maps, f"block{block}_pool", by="max")
        maps = convolution.layers.dropout(maps, f"block{block}_dropout", dropout)
    return maps

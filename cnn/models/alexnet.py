"""Family `alexnet`: five convolutions, overlapping pools after the first, the second and the last, two dense layers.

Local response normalization is left out: it has no parameters, Keras has no layer for it, and the authors of VGG
measured no gain from it (section 4.1).

References:
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012,
    section 3.5. The small network's first convolution, 5 x 5 at stride 1, is that of the CIFAR-10 networks of the same
    author's cuda-convnet (`layers-18pct.cfg`).
    Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
"""

import keras

from cnn.config.architectures import AlexnetRecipe
from cnn.models.blocks import Layers, Padding
from cnn.models.convolutions import Convolutions
from cnn.models.heads import feature_vector
from cnn.models.pixels import scaled


def alexnet_network(recipe: AlexnetRecipe, images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """Features (n, d) of uint8 images (n, h, w, c)."""
    maps = scaled(images, layers, "unit")
    maps = published_maps(maps, layers) if recipe.network == "alexnet" else _small_maps(recipe, maps, layers)
    units = 4096 if recipe.network == "alexnet" else recipe.dense_units
    activation = "relu" if recipe.network == "alexnet" else recipe.activation
    features = feature_vector(maps, layers, by="flatten")
    for name in ("fc6", "fc7") if units else ():
        features = layers.dense(features, name, units, activation=activation)
        features = layers.dropout(features, f"{name}_dropout", recipe.head_dropout)
    return features


def published_maps(maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """The five convolutions as published; those that were split between two GPUs are grouped.

    Raises:
        ConfigError: The images are smaller than 67 x 67.
    """
    maps = layers.convolution(maps, "conv1", 96, kernel=11, strides=4, padding="valid", activation="relu")
    maps = _pool(maps, "pool1", layers, "valid")
    maps = layers.convolution(maps, "conv2", 256, kernel=5, groups=2, activation="relu")
    maps = _pool(maps, "pool2", layers, "valid")
    maps = layers.convolution(maps, "conv3", 384, kernel=3, activation="relu")
    maps = layers.convolution(maps, "conv4", 384, kernel=3, groups=2, activation="relu")
    maps = layers.convolution(maps, "conv5", 256, kernel=3, groups=2, activation="relu")
    return _pool(maps, "pool5", layers, "valid")


def _small_maps(recipe: AlexnetRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    convolution = Convolutions(
        layers=layers,
        batch_norm=recipe.batch_norm,
        momentum=recipe.batch_norm_momentum,
        activation=recipe.activation,
    )
    middle = round(recipe.filters * 256 / 96)
    widths = (recipe.filters, middle, *[4 * recipe.filters] * (recipe.convolutions - 1), middle)
    for number, filters in enumerate(widths, start=1):
        maps = convolution(maps, f"{{}}{number}", filters, kernel=5 if number <= 2 else 3)
        if number in (1, 2, len(widths)):
            maps = _pool(maps, f"pool{number}", layers, "same")
            maps = layers.dropout(maps, f"dropout{number}", recipe.dropout)
    return maps


def _pool(maps: keras.KerasTensor, name: str, layers: Layers, padding: Padding) -> keras.KerasTensor:
    return layers.pool(maps, name, by="max", window=3, strides=2, padding=padding)

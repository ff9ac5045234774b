"""Family `lenet`: convolutions of 5 x 5 and pools in turn, then two dense layers.

References:
    LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11),
    1998, figure 2. As is usual today, its pools have no weights and its third layer sees all maps of the second.
    The small network's max pools and ReLU are those of Caffe's `lenet.prototxt`.
"""

import keras

from cnn.config.architectures import LenetRecipe
from cnn.models.blocks import Layers
from cnn.models.convolutions import Convolutions
from cnn.models.heads import feature_vector
from cnn.models.pixels import scaled


def lenet_network(recipe: LenetRecipe, images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """Features (n, d) of uint8 images (n, h, w, c)."""
    maps = scaled(images, layers, "unit")
    return lenet5(recipe, maps, layers) if recipe.network == "lenet5" else _small(recipe, maps, layers)


def lenet5(recipe: LenetRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """The published network, whose third convolution covers the 5 x 5 maps of its 32 x 32 images.

    Raises:
        ConfigError: The images are smaller than 32 x 32.
    """
    for number, filters in enumerate((6, 16), start=1):
        maps = layers.convolution(maps, f"c{number * 2 - 1}", filters, kernel=5, padding="valid", activation="tanh")
        maps = layers.pool(maps, f"s{number * 2}", by="average", padding="valid")
    maps = layers.convolution(maps, "c5", 120, kernel=5, padding="valid", activation="tanh")
    features = layers.dense(feature_vector(maps, layers, by="flatten"), "f6", 84, activation="tanh")
    return layers.dropout(features, "head_dropout", recipe.head_dropout)


def _small(recipe: LenetRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    convolution = Convolutions(
        layers=layers,
        batch_norm=recipe.batch_norm,
        momentum=recipe.batch_norm_momentum,
        activation=recipe.activation,
    )
    for block in range(recipe.blocks):
        filters = round(recipe.filters * (8 / 3) ** block)
        maps = convolution(maps, f"block{block + 1}_{{}}", filters, kernel=5)
        maps = layers.pool(maps, f"block{block + 1}_pool", by=recipe.pooling)
        maps = layers.dropout(maps, f"block{block + 1}_dropout", recipe.dropout)
    features = feature_vector(maps, layers, by="flatten")
    if recipe.dense_units:
        features = layers.dense(features, "dense1", recipe.dense_units, activation=recipe.activation)
        fewer = max(1, round(0.7 * recipe.dense_units))
        features = layers.dense(features, "dense2", fewer, activation=recipe.activation)
    return layers.dropout(features, "head_dropout", recipe.head_dropout)

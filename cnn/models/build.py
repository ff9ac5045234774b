"""From a recipe to a Keras model. A new family is one file and one line in `MODELS`."""

from collections.abc import Callable
from typing import Any

import keras

from cnn.config.architectures import ModelRecipe
from cnn.models.alexnet import alexnet_network
from cnn.models.blocks import Layers
from cnn.models.heads import class_probabilities
from cnn.models.inception import inception_network
from cnn.models.lenet import lenet_network
from cnn.models.mobilenet import mobilenet_network
from cnn.models.plain import plain_network
from cnn.models.resnet import resnet_network
from cnn.models.vgg import vgg_network
from cnn.records import Head

MODELS: dict[str, Callable[[Any, keras.KerasTensor, Layers], keras.KerasTensor]] = {
    "plain": plain_network,
    "lenet": lenet_network,
    "alexnet": alexnet_network,
    "vgg": vgg_network,
    "resnet": resnet_network,
    "inception": inception_network,
    "mobilenet": mobilenet_network,
}
"""From a family's section of the recipe, uint8 images (n, h, w, c) and a source of layers: features (n, d)."""

MIXED_PRECISION = "mixed_bfloat16"
"""bfloat16 has the range of float32, so that losses need no scaling and a checkpoint holds no scale."""


def build_model(
    recipe: ModelRecipe, image_shape: tuple[int, int, int], head: Head, *, seed: int, mixed_precision: bool = False
) -> keras.Model:
    """The network of a recipe: uint8 images (n, h, w, c) in, float32 probabilities (n, k) out.

    Weights and dropout are a function of `seed` and the layer's name alone: no global state is read or changed, neither
    seeds nor the precision policy. The model scales the pixels itself and is made of Keras's own layers only, so that a
    saved one serves without this package.

    Args:
        image_shape: Height, width, channels.
        mixed_precision: Compute in bfloat16, keep weights, pixels and probabilities in float32.

    Raises:
        ConfigError: The images are too small for the recipe's convolutions or pools.
    """
    layers = Layers(seed=seed, dtype=MIXED_PRECISION if mixed_precision else "float32")
    images = keras.Input(image_shape, dtype="uint8", name="images")
    features = MODELS[recipe.family](recipe, images, layers)
    return keras.Model(images, class_probabilities(features, head, layers), name=recipe.family)

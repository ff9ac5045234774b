"""Family `mobilenet`: depthwise separable convolutions.

All published networks are those of `keras.applications`.

References:
    Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017,
    arXiv 1704.04861, table 1: `separable` blocks.
    Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018, figure 4d and table 1.
    Howard et al., "Searching for MobileNetV3", ICCV 2019: squeeze and excite (a quarter of the channels), hard swish.
    The small network keeps the resolution in its first convolution and first stage, as is usual for CIFAR: the papers'
    five halvings would leave one pixel of 32 x 32 images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras

from cnn.config.architectures import MobilenetRecipe
from cnn.models.applications import application
from cnn.models.blocks import Layers
from cnn.models.convolutions import Convolutions
from cnn.models.heads import feature_vector
from cnn.models.pixels import scaled

_APPLICATIONS: dict[str, tuple[Callable[..., keras.Model], int]] = {
    "mobilenet_v1": (keras.applications.MobileNet, 0),
    "mobilenet_v2": (keras.applications.MobileNetV2, 0),
    "mobilenet_v3_small": (partial(keras.applications.MobileNetV3Small, include_preprocessing=False), 1024),
    "mobilenet_v3_large": (partial(keras.applications.MobileNetV3Large, include_preprocessing=False), 1280),
}
"""Each network with the units of the dense layer between its average and its classifier.

What version 3 does to the pixels itself is what all of them want.
"""


def mobilenet_network(recipe: MobilenetRecipe, images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """Features (n, d) of uint8 images (n, h, w, c)."""
    if recipe.network == "small":
        features = feature_vector(_small(recipe, scaled(images, layers, "unit"), layers), layers, by="global_average")
    else:
        network, units = _APPLICATIONS[recipe.network]
        maps = scaled(images, layers, "symmetric")
        maps = application(network, maps, layers, momentum=recipe.batch_norm_momentum)
        features = feature_vector(maps, layers, by="global_average")
        if units:
            features = layers.dense(features, "conv_2", units, activation="hard_swish")
    return layers.dropout(features, "head_dropout", recipe.head_dropout)


def _small(recipe: MobilenetRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    convolution = Convolutions(
        layers=layers,
        batch_norm="before_activation",
        momentum=recipe.batch_norm_momentum,
        activation=recipe.activation,
    )
    inverted = _Inverted(expansion=recipe.expansion, squeeze_excite=recipe.squeeze_excite)
    block: Callable[..., keras.KerasTensor] = _separable if recipe.block == "separable" else inverted
    maps = convolution(maps, "stem_{}", recipe.filters, kernel=3)
    for stage in range(recipe.stages):
        for number in range(recipe.blocks):
            name, strides = f"stage{stage + 1}_block{number + 1}", 2 if stage > 0 and number == 0 else 1
            maps = block(maps, name, recipe.filters * 2**stage, strides, convolution)
        maps = layers.dropout(maps, f"stage{stage + 1}_dropout", recipe.dropout)
    return maps


def _separable(
    maps: keras.KerasTensor, name: str, filters: int, strides: int, convolution: Convolutions
) -> keras.KerasTensor:
    maps = convolution.layers.depthwise(maps, f"{name}_depthwise", kernel=3, strides=strides)
    maps = convolution.normed_activation(maps, f"{name}_depthwise_{{}}")
    return convolution(maps, f"{name}_project_{{}}", filters, kernel=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inverted:
    """Inverted residual blocks: widened, filtered channel by channel, narrowed without an activation."""

    expansion: int
    squeeze_excite: bool

    def __call__(
        self, maps: keras.KerasTensor, name: str, filters: int, strides: int, convolution: Convolutions
    ) -> keras.KerasTensor:
        layers, channels, inner = convolution.layers, maps.shape[-1], maps
        if self.expansion > 1:
            inner = convolution(inner, f"{name}_expand_{{}}", channels * self.expansion, kernel=1)
        inner = layers.depthwise(inner, f"{name}_depthwise", kernel=3, strides=strides)
        inner = convolution.normed_activation(inner, f"{name}_depthwise_{{}}")
        if self.squeeze_excite:
            inner = layers.squeeze_excite(inner, f"{name}_excite", ratio=4)
        inner = convolution.normed(inner, f"{name}_project_{{}}", filters, kernel=1)
        return layers.add([maps, inner], f"{name}_add") if strides == 1 and channels == filters else inner

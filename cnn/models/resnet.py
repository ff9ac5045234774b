"""Family `resnet`: stages of residual blocks.

ResNet-50, 101 and 152 are those of `keras.applications`, ResNet-18 and 34 are made here, without biases before
BatchNorm as in the paper's code and in torchvision.

References:
    He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016: table 1, and section 4.2 for
    32 x 32 images, three stages of 16, 32 and 64 filters after one 3 x 3 convolution without a pool. Its shortcuts
    that change shape are padded there and projected here (option B).
    He, Zhang, Ren and Sun, "Identity mappings in deep residual networks", ECCV 2016: `pre_activation`.
    Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016: width, and dropout between the convolutions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import keras

from cnn.config.architectures import ResnetRecipe
from cnn.models.applications import application
from cnn.models.blocks import Layers
from cnn.models.convolutions import Convolutions
from cnn.models.heads import feature_vector
from cnn.models.pixels import scaled

_APPLICATIONS: dict[str, Callable[..., keras.Model]] = {
    "resnet50": keras.applications.ResNet50,
    "resnet101": keras.applications.ResNet101,
    "resnet152": keras.applications.ResNet152,
}
_STAGES = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
"""Blocks of each stage of the networks of two convolutions a block."""


def resnet_network(recipe: ResnetRecipe, images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """Features (n, d) of uint8 images (n, h, w, c)."""
    if recipe.network == "small":
        maps = _small(recipe, scaled(images, layers, "unit"), layers)
    else:
        maps = _published(recipe, scaled(images, layers, "caffe"), layers)
    features = feature_vector(maps, layers, by="global_average")
    return layers.dropout(features, "head_dropout", recipe.head_dropout)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Residual:
    """Residual blocks of two 3 x 3 convolutions.

    Args:
        pre_activation: BatchNorm and ReLU before each convolution and nothing after the sum, instead of the reverse.
        dropout: Rate between the two convolutions.
    """

    convolution: Convolutions
    pre_activation: bool = False
    dropout: float = 0.0

    def stages(self, maps: keras.KerasTensor, plan: tuple[int, ...], filters: int) -> keras.KerasTensor:
        """Stages of so many blocks, each at half the resolution and twice the filters of the one before."""
        for stage, blocks in enumerate(plan):
            for block in range(blocks):
                strides = 2 if stage > 0 and block == 0 else 1
                maps = self._block(maps, f"stage{stage + 1}_block{block + 1}", filters * 2**stage, strides)
        if self.pre_activation:
            return self.convolution.normed_activation(maps, "last_{}")
        return maps

    def _block(self, maps: keras.KerasTensor, name: str, filters: int, strides: int) -> keras.KerasTensor:
        block = self._before if self.pre_activation else self._after
        return block(maps, name, filters, strides, changes=strides > 1 or maps.shape[-1] != filters)

    def _after(
        self, maps: keras.KerasTensor, name: str, filters: int, strides: int, *, changes: bool
    ) -> keras.KerasTensor:
        convolution, layers = self.convolution, self.convolution.layers
        inner = convolution(maps, f"{name}_{{}}1", filters, kernel=3, strides=strides)
        inner = layers.dropout(inner, f"{name}_dropout", self.dropout)
        inner = convolution.normed(inner, f"{name}_{{}}2", filters, kernel=3)
        if changes:
            maps = convolution.normed(maps, f"{name}_shortcut_{{}}", filters, kernel=1, strides=strides)
        return layers.activation(layers.add([maps, inner], f"{name}_add"), f"{name}_activation2", "relu")

    def _before(
        self, maps: keras.KerasTensor, name: str, filters: int, strides: int, *, changes: bool
    ) -> keras.KerasTensor:
        convolution, layers = self.convolution, self.convolution.layers
        active = convolution.normed_activation(maps, f"{name}_{{}}1")
        inner = layers.convolution(active, f"{name}_conv1", filters, kernel=3, strides=strides, use_bias=False)
        inner = layers.dropout(convolution.normed_activation(inner, f"{name}_{{}}2"), f"{name}_dropout", self.dropout)
        inner = layers.convolution(inner, f"{name}_conv2", filters, kernel=3, use_bias=False)
        if changes:
            shortcut = f"{name}_shortcut_conv"
            maps = layers.convolution(active, shortcut, filters, kernel=1, strides=strides, use_bias=False)
        return layers.add([maps, inner], f"{name}_add")


def _published(recipe: ResnetRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    momentum = recipe.batch_norm_momentum
    if recipe.network in _APPLICATIONS:
        return application(_APPLICATIONS[recipe.network], maps, layers, momentum=momentum)
    convolution = Convolutions(layers=layers, batch_norm="before_activation", momentum=momentum, activation="relu")
    maps = convolution(maps, "stem_{}", 64, kernel=7, strides=2)
    maps = layers.pool(maps, "stem_pool", by="max", window=3)
    return _Residual(convolution=convolution).stages(maps, _STAGES[recipe.network], 64)


def _small(recipe: ResnetRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    pre_activation = recipe.batch_norm == "pre_activation"
    convolution = Convolutions(
        layers=layers, batch_norm="before_activation", momentum=recipe.batch_norm_momentum, activation="relu"
    )
    if pre_activation:
        maps = layers.convolution(maps, "stem_conv", recipe.filters, kernel=3, use_bias=False)
    else:
        maps = convolution(maps, "stem_{}", recipe.filters, kernel=3)
    residual = _Residual(convolution=convolution, pre_activation=pre_activation, dropout=recipe.dropout)
    return residual.stages(maps, (recipe.blocks,) * recipe.stages, recipe.filters)

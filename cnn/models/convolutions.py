"""A convolution with its activation and its BatchNorm, in the orders that the literature knows."""

from dataclasses import dataclass

import keras

from cnn.config.architectures import BatchNormPlace
from cnn.models.blocks import Layers, Padding


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolutions:
    """Puts convolutions of one style on a tensor.

    Args:
        batch_norm: Its place: convolution - [before_activation] - activation - [after_activation].
        momentum: BatchNorm's.
        activation: Keras's name of it.
    """

    layers: Layers
    batch_norm: BatchNormPlace
    momentum: float
    activation: str
    padding: Padding = "same"

    def __call__(
        self,
        maps: keras.KerasTensor,
        name: str,
        filters: int,
        *,
        kernel: int,
        strides: int = 1,
        groups: int = 1,
    ) -> keras.KerasTensor:
        """Maps (n, h, w, filters). `name` has a `{}` for the kind of layer."""
        normed_first = self.batch_norm == "before_activation"
        maps = self.layers.convolution(
            maps,
            name.format("conv"),
            filters,
            kernel=kernel,
            strides=strides,
            groups=groups,
            padding=self.padding,
            activation=None if normed_first else self.activation,
            use_bias=not normed_first,  # BatchNorm's own shift would undo it
        )
        if normed_first:
            return self.normed_activation(maps, name)
        if self.batch_norm == "after_activation":
            return self.layers.batch_norm(maps, name.format("norm"), self.momentum)
        return maps

    def normed_activation(self, maps: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """BatchNorm, then the activation."""
        maps = self.layers.batch_norm(maps, name.format("norm"), self.momentum)
        return self.layers.activation(maps, name.format("activation"), self.activation)

    def normed(
        self, maps: keras.KerasTensor, name: str, filters: int, *, kernel: int, strides: int = 1
    ) -> keras.KerasTensor:
        """A convolution and BatchNorm without an activation."""
        maps = self.layers.convolution(
            maps, name.format("conv"), filters, kernel=kernel, strides=strides, use_bias=False
        )
        return self.layers.batch_norm(maps, name.format("norm"), self.momentum)

"""The layers networks are made of, each with a name and with seeds of its own."""

from dataclasses import dataclass
from typing import Any, Literal

import keras

from cnn.errors import ConfigError
from cnn.runtime import derived_seed

Padding = Literal["same", "valid"]
Pooling = Literal["max", "average"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Puts layers on a tensor. What is random in a layer is a function of (seed, name), never of what was built before.

    Kernels start Glorot-uniform, Keras's own choice and the tutorial's.

    Args:
        seed: 0 or more.
        dtype: Keras precision policy of every layer.

    References:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010.
    """

    seed: int
    dtype: str

    def rescaling(self, images: keras.KerasTensor, scale: float, offset: Any = 0.0) -> keras.KerasTensor:
        """Pixels times `scale` plus `offset`, one number or one a channel; in float32 whatever follows."""
        return keras.layers.Rescaling(scale, offset, name="rescaling", dtype="float32")(images)

    def convolution(
        self,
        maps: keras.KerasTensor,
        name: str,
        filters: int,
        *,
        kernel: int,
        padding: Padding = "same",
        strides: int = 1,
        groups: int = 1,
        activation: str | None = None,
        use_bias: bool = True,
    ) -> keras.KerasTensor:
        """A square convolution.

        Raises:
            ConfigError: Padding is `valid` and the kernel is larger than the maps.
        """
        _check_room(maps, name, window=kernel, padding=padding)
        return keras.layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            groups=groups,
            padding=padding,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=self._initializer(name),
            name=name,
            dtype=self.dtype,
        )(maps)

    def depthwise(self, maps: keras.KerasTensor, name: str, *, kernel: int, strides: int = 1) -> keras.KerasTensor:
        """A square convolution of each channel by itself, without bias: BatchNorm follows."""
        return keras.layers.DepthwiseConv2D(
            kernel,
            strides=strides,
            padding="same",
            use_bias=False,
            depthwise_initializer=self._initializer(name),
            name=name,
            dtype=self.dtype,
        )(maps)

    def pool(
        self,
        maps: keras.KerasTensor,
        name: str,
        *,
        by: Pooling,
        padding: Padding = "same",
        window: int = 2,
        strides: int = 2,
    ) -> keras.KerasTensor:
        """Divide height and width by `strides`: rounded up with padding `same`, rounded down with `valid`.

        Raises:
            ConfigError: Padding is `valid` and nothing would be left of the maps.
        """
        _check_room(maps, name, window=window, padding=padding)
        layer = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[by]
        return layer(window, strides=strides, padding=padding, name=name, dtype=self.dtype)(maps)

    def batch_norm(self, maps: keras.KerasTensor, name: str, momentum: float) -> keras.KerasTensor:
        return keras.layers.BatchNormalization(momentum=momentum, name=name, dtype=self.dtype)(maps)

    def activation(self, maps: keras.KerasTensor, name: str, function: str) -> keras.KerasTensor:
        return keras.layers.Activation(function, name=name, dtype=self.dtype)(maps)

    def add(self, maps: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
        return keras.layers.Add(name=name, dtype=self.dtype)(maps)

    def concatenate(self, maps: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
        """The channels of all maps side by side."""
        return keras.layers.Concatenate(name=name, dtype=self.dtype)(maps)

    def squeeze_excite(self, maps: keras.KerasTensor, name: str, *, ratio: int) -> keras.KerasTensor:
        """Each channel times a number in [0, 1], which two dense layers make of all channels' means.

        References:
            Hu, Shen and Sun, "Squeeze-and-excitation networks", CVPR 2018, figure 2. The hard sigmoid is
            MobileNet v3's.
        """
        channels = maps.shape[-1]
        pool = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze", dtype=self.dtype)
        means = self.dense(pool(maps), f"{name}_reduce", max(1, channels // ratio), activation="relu")
        gates = self.dense(means, f"{name}_expand", channels, activation="hard_sigmoid")
        return keras.layers.Multiply(name=f"{name}_scale", dtype=self.dtype)([maps, gates])

    def dropout(self, values: keras.KerasTensor, name: str, rate: float) -> keras.KerasTensor:
        """Dropout at `rate` in [0, 1); no layer at all at 0."""
        if rate == 0:
            return values
        seed = derived_seed(self.seed, name, "dropout")
        return keras.layers.Dropout(rate, seed=seed, name=name, dtype=self.dtype)(values)

    def dense(
        self,
        features: keras.KerasTensor,
        name: str,
        units: int,
        *,
        activation: str,
        dtype: str | None = None,
    ) -> keras.KerasTensor:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=self._initializer(name),
            name=name,
            dtype=dtype or self.dtype,
        )(features)

    def _initializer(self, name: str) -> keras.Initializer:
        return keras.initializers.GlorotUniform(seed=derived_seed(self.seed, name, "kernel"))


def _check_room(maps: keras.KerasTensor, name: str, *, window: int, padding: Padding) -> None:
    height, width = maps.shape[1:3]
    if padding == "valid" and min(height, width) < window:
        raise ConfigError(
            f"model: layer {name}",
            received=f"maps of {height} x {width}",
            expected=f"at least {window} x {window} with padding valid",
            change="take fewer blocks or convolutions, a smaller kernel, padding same, or larger images",
        )

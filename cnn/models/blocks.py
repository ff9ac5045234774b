"""The layers networks are made of, each with a name and with seeds of its own."""

from dataclasses import dataclass
from typing import Literal

import keras

from cnn.errors import ConfigError
from cnn.runtime import derived_seed

Padding = Literal["same", "valid"]


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

    def convolution(
        self,
        maps: keras.KerasTensor,
        name: str,
        filters: int,
        *,
        kernel: int,
        padding: Padding,
        activation: str | None = None,
        use_bias: bool = True,
    ) -> keras.KerasTensor:
        """A square convolution of stride 1.

        Raises:
            ConfigError: Padding is `valid` and the kernel is larger than the maps.
        """
        _check_room(maps, name, window=kernel, padding=padding)
        return keras.layers.Conv2D(
            filters,
            kernel,
            padding=padding,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=self._initializer(name),
            name=name,
            dtype=self.dtype,
        )(maps)

    def pool(
        self, maps: keras.KerasTensor, name: str, *, by: Literal["max", "average"], padding: Padding
    ) -> keras.KerasTensor:
        """Halve height and width: rounded up with padding `same`, rounded down with `valid`.

        Raises:
            ConfigError: Padding is `valid` and nothing would be left of the maps.
        """
        _check_room(maps, name, window=2, padding=padding)
        layer = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[by]
        return layer(2, padding=padding, name=name, dtype=self.dtype)(maps)

    def batch_norm(self, maps: keras.KerasTensor, name: str, momentum: float) -> keras.KerasTensor:
        return keras.layers.BatchNormalization(momentum=momentum, name=name, dtype=self.dtype)(maps)

    def activation(self, maps: keras.KerasTensor, name: str, function: str) -> keras.KerasTensor:
        return keras.layers.Activation(function, name=name, dtype=self.dtype)(maps)

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

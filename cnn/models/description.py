"""What a network is made of and what it costs, layer by layer: `cnn describe`."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import keras
import numpy as np
from rich import box
from rich.table import Table

from cnn.config.recipe import Recipe
from cnn.models.build import build_model
from cnn.records import Head

_SLOTS = {"adam": 2, "adamw": 2, "sgd": 1, "rmsprop": 1}
"""Numbers an optimizer keeps beside each weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDescription:
    """One layer. `output_shape` is that of one image; `multiply_adds` are for one image at inference."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A whole network.

    Args:
        multiply_adds: Of all convolutions and dense layers, for one image at inference.
        parameter_bytes: Size of the weights.
        activation_bytes: Size of all layers' outputs for one image.
        training_bytes: What training holds at once, an estimate: weights, their gradients and the optimizer's slots,
            and for each image of a batch the outputs of all layers and as much again for their gradients.
    """

    layers: tuple[LayerDescription, ...]
    parameters: int
    trainable_parameters: int
    multiply_adds: int
    parameter_bytes: int
    activation_bytes: int
    training_bytes: int

    def to_json(self) -> dict[str, Any]:
        """The fields by name, as plain lists, mappings and numbers."""
        return asdict(self)


def describe(recipe: Recipe, image_shape: tuple[int, int, int], head: Head) -> Description:
    """What the network of a recipe is made of and what it costs.

    Raises:
        ConfigError: The images are too small for the recipe's convolutions or pools.
    """
    mixed = recipe.training.mixed_precision
    model = build_model(recipe.model, image_shape, head, seed=0, mixed_precision=mixed)
    return described(model, slots=_SLOTS[recipe.optimizer.name], batch_size=recipe.training.batch_size)


def described(model: keras.Model, *, slots: int, batch_size: int) -> Description:
    """What any functional model is made of and what it costs; models inside it are opened.

    Args:
        slots: Numbers the optimizer keeps beside each weight.
    """
    layers = tuple(_layers(model))
    parts = tuple(_layer(layer) for layer in layers)
    parameter_bytes = sum(map(_variable_bytes, model.weights))
    activation_bytes = sum(map(_output_bytes, layers))
    trainable_bytes = sum(map(_variable_bytes, model.trainable_weights))
    return Description(
        layers=parts,
        parameters=model.count_params(),
        trainable_parameters=sum(prod(variable.shape) for variable in model.trainable_weights),
        multiply_adds=sum(part.multiply_adds for part in parts),
        parameter_bytes=parameter_bytes,
        activation_bytes=activation_bytes,
        training_bytes=parameter_bytes + trainable_bytes * (1 + slots) + 2 * batch_size * activation_bytes,
    )


def description_table(description: Description, *, title: str = "") -> Table:
    """The layers as a table, with the totals as its last row and the memory below."""
    table = Table(title=title, caption=_memory(description), show_footer=True, box=box.SIMPLE, show_edge=False)
    table.pad_edge, table.collapse_padding = False, True  # fits 80 columns
    table.add_column("layer", "total")
    table.add_column("kind")
    table.add_column("output", justify="right")
    table.add_column("parameters", f"{description.parameters:,}", justify="right")
    table.add_column("multiply-adds", f"{description.multiply_adds:,}", justify="right")
    for layer in description.layers:
        shape = "x".join(map(str, layer.output_shape))
        table.add_row(layer.name, layer.kind, shape, f"{layer.parameters:,}", f"{layer.multiply_adds:,}")
    return table


def multiply_adds(layer: keras.Layer) -> int:
    """Multiplications with a weight, for one image at inference.

    Each weight of a kernel (those of two or more dimensions) is used once at each place of the output, in a transposed
    convolution at each place of the input:

        convolution: h_out * w_out * kernel_h * kernel_w * c_in / groups * c_out
        dense:       d_in * d_out

    Biases, BatchNorm, activations and pools are not counted.
    """
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    places = prod(_shape(layer.input if transposed else layer.output)[:-1])
    kernels: list[tuple[int, ...]] = [weight.shape for weight in layer.weights if len(weight.shape) > 1]
    return places * sum(map(prod, kernels))


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    """All layers that compute something, in order; models among them are opened."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def _layer(layer: keras.Layer) -> LayerDescription:
    return LayerDescription(
        name=layer.name,
        kind=type(layer).__name__,
        output_shape=_shape(layer.output),
        parameters=layer.count_params(),
        multiply_adds=multiply_adds(layer),
    )


def _shape(tensor: keras.KerasTensor) -> tuple[int, ...]:
    """Of one image, without the batch."""
    return tuple(tensor.shape[1:])


def _output_bytes(layer: keras.Layer) -> int:
    if isinstance(layer, keras.layers.Flatten | keras.layers.Reshape):  # another view of the same numbers
        return 0
    return prod(_shape(layer.output)) * _itemsize(layer.output)


def _variable_bytes(variable: keras.Variable) -> int:
    shape: tuple[int, ...] = variable.shape
    return prod(shape) * _itemsize(variable)


def _itemsize(tensor: keras.KerasTensor | keras.Variable) -> int:
    return int(np.dtype(tensor.dtype).itemsize)


def _memory(description: Description) -> str:
    weights, image, training = (
        f"{size / 2**20:,.1f} MiB"
        for size in (description.parameter_bytes, description.activation_bytes, description.training_bytes)
    )
    return f"weights {weights}, activations an image {image}, training about {training}"

"""Networks of `keras.applications`, rebuilt so that they keep this package's promises."""

import random
import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cnn.errors import ConfigError
from cnn.models.blocks import Layers
from cnn.runtime import derived_seed

_COUNTED = re.compile(
    r"(activation|add|average_pooling2d|batch_normalization|concatenate|conv2d|max_pooling2d|multiply|re_lu)(?:_(\d+))?"
)
"""Names that Keras counts up over a process where a network gives none."""


def application(
    network: Callable[..., keras.Model],
    images: keras.KerasTensor,
    layers: Layers,
    *,
    momentum: float,
    min_side: int = 32,
    **options: Any,
) -> keras.KerasTensor:
    """Feature maps (n, h, w, c) of a network of `keras.applications` without its top.

    Each layer is made anew from its own configuration: with its name, in the precision of `layers`, with seeds that
    are a function of (seed, name) and BatchNorm of the given momentum. The layers become part of the model around
    them. Names that Keras counts up (`conv2d_94`) start from the beginning, as in a process of their own.

    Args:
        images: Preprocessed as the network was published.
        options: Further ones of the network.

    Raises:
        ConfigError: The images are smaller than `min_side` pixels.
    """
    shape = images.shape[1:]
    if min(shape[:2]) < min_side:
        received, expected = f"images of {shape[0]} x {shape[1]}", f"at least {min_side} x {min_side}"
        raise ConfigError("model: network", received=received, expected=expected, change="take network small")
    template = _template(network, input_shape=shape, **options)
    names = _names_from_the_beginning([operation.name for operation in template.operations])
    made: dict[str, keras.Operation] = {}

    def remade(operation: keras.Operation) -> keras.Operation:
        config = operation.get_config() | {"name": names[operation.name]}
        if isinstance(operation, keras.Layer):
            config = _with_our_promises(config, layers, momentum)
        made[operation.name] = type(operation).from_config(config)
        return made[operation.name]

    keras.models.clone_model(template, input_tensors=images, clone_function=remade)
    return made[template.operations[-1].name].output


def published_weights(network: Callable[..., keras.Model], **options: Any) -> dict[str, npt.NDArray[np.float32]]:
    """ImageNet weights of a network of `keras.applications` without its top, by `layer/variable`, with the names that
    `application` gives. Keras downloads them from their official place, unless they lie in its cache.
    """
    template = _template(network, weights="imagenet", **options)
    names = _names_from_the_beginning([operation.name for operation in template.operations])
    return {
        f"{names[layer.name]}/{variable.name}": variable.numpy()
        for layer in template.layers
        for variable in layer.weights
    }


def _template(network: Callable[..., keras.Model], *, weights: str | None = None, **options: Any) -> keras.Model:
    """The network as Keras makes it. Its seedless initializers draw from Python's generator, which is put back."""
    state = random.getstate()
    try:
        return network(include_top=False, weights=weights, **options)
    finally:
        random.setstate(state)


def _with_our_promises(config: dict[str, Any], layers: Layers, momentum: float) -> dict[str, Any]:
    """A layer's configuration with this model's precision, seeds and momentum, where the layer has such a thing."""
    name = config["name"]
    config["dtype"] = layers.dtype
    for key, value in config.items():
        if key.endswith("_initializer") and value is not None and "seed" in value["config"]:
            value["config"]["seed"] = derived_seed(layers.seed, name, key.removesuffix("_initializer"))
    if "seed" in config:
        config["seed"] = derived_seed(layers.seed, name, "dropout")
    if "momentum" in config:
        config["momentum"] = momentum
    return config


def _names_from_the_beginning(names: list[str]) -> dict[str, str]:
    """The counted names without what other networks of the process have counted before, the others as they are.

    Example:
        >>> _names_from_the_beginning(["conv2d_7", "mixed0", "conv2d_9", "conv2d_8"])
        {'conv2d_7': 'conv2d', 'mixed0': 'mixed0', 'conv2d_9': 'conv2d_2', 'conv2d_8': 'conv2d_1'}
    """
    counted = {name: (found[1], int(found[2] or 0)) for name in names if (found := _COUNTED.fullmatch(name))}
    first: dict[str, int] = {}
    for kind, number in counted.values():
        first[kind] = min(first.get(kind, number), number)
    renamed = {name: (kind, number - first[kind]) for name, (kind, number) in counted.items()}
    fresh = {name: f"{kind}_{number}" if number else kind for name, (kind, number) in renamed.items()}
    return {name: fresh.get(name, name) for name in names}

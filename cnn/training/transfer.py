"""Starting from another model: its weights into a new network, and which of them move when.

A source is the published network of `keras.applications`, or a model like those that `build_model` makes. Only the
classifier is new: all else must agree by name, shape and function, or nothing is taken.

References:
    Yosinski, Clune, Bengio and Lipson, "How transferable are features in deep neural networks?", NIPS 2014.
    Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithm 2: what BatchNorm computes in inference mode, where
    the few images of a fine-tuning cannot spoil its statistics.
"""

from collections.abc import Mapping
from itertools import takewhile

import keras
import numpy as np
import numpy.typing as npt

from cnn.config.transfer import IMAGENET, TransferRecipe
from cnn.errors import ConfigError
from cnn.models.heads import CLASSIFIERS
from cnn.models.stages import stages
from cnn.training.backbone import Weights

_COMPUTES = ("activation", "dilation_rate", "epsilon", "offset", "padding", "pool_size", "scale", "strides")
"""What a layer does beside its weights."""

_MEND = "give the recipe the source's model section, and images of its shape, or name another source"


def backbone_weights(model: keras.Model) -> dict[str, npt.NDArray[np.generic]]:
    """A model's weights without its classifier's, in the order of its layers."""
    return {name: variable.numpy() for name, variable in _variables(model).items()}


def start_from(model: keras.Model, weights: Weights | None, transfer: TransferRecipe) -> None:
    """Put the source's weights into a new model and freeze the layers of the first phase.

    Raises:
        ConfigError: A layer is missing on either side or has another shape, there are fewer stages than are to be
            frozen, or whoever trains here resolves no source. The model is left as it was.
    """
    if weights is None:
        received, expected = (
            f"a start from {transfer.from_}",
            "a recipe that starts from nothing, all that is done here",
        )
        raise ConfigError("transfer", received=received, expected=expected, change="set transfer: null in the recipe")
    variables, frozen = _fitting(model, weights, transfer)
    for name, variable in variables.items():
        variable.assign(weights[name])
    for layer in model.layers:
        layer.trainable = layer.name not in frozen


def check_start(model: keras.Model, weights: Weights, transfer: TransferRecipe, source: keras.Model | None) -> None:
    """Whether a recipe's network can start from a source, before any trial tries.

    Args:
        model: Of the recipe, with any classifier.
        source: Where the weights come from, if it is a model whose layers may compute something else with them: the
            weights of a network with `relu` are worth nothing in one with `tanh`.

    Raises:
        ConfigError: As `start_from`, or a layer has another function in the source.
    """
    _fitting(model, weights, transfer)
    if source is not None:
        _check_same(_functions(model), _functions(source))


def fine_tune(model: keras.Model) -> None:
    """All layers move from now on but BatchNorm, which keeps its statistics and computes as in inference."""
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)


def _fitting(
    model: keras.Model, weights: Weights, transfer: TransferRecipe
) -> tuple[dict[str, keras.Variable], set[str]]:
    """The variables that the weights are for, and the layers of the first phase that stay as they come."""
    variables = _variables(model)
    if transfer.from_ == IMAGENET:  # published without what is between its feature maps and its classifier
        published = stages(model)
        variables = {name: variable for name, variable in variables.items() if _layer(name) in published}
    _check_same(_shapes(variables), _shapes(weights))
    return variables, _frozen(model, {_layer(name) for name in weights}, transfer)


def _check_same(ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
    for name in [*ours, *theirs]:
        wanted, given = (of.get(name, "none") for of in (ours, theirs))
        if wanted != given:
            received = f"layer {_layer(name)}: {given} in the source"
            expected = f"{wanted}, as in the recipe's network"
            raise ConfigError("transfer.from", received=received, expected=expected, change=_MEND)


def _shapes(weights: Mapping[str, keras.Variable] | Weights) -> dict[str, str]:
    return {name: f"{name.partition('/')[2]} {tuple(weight.shape)}" for name, weight in weights.items()}


def _functions(model: keras.Model) -> dict[str, str]:
    """What the layers below the classifier compute, but for dropout, which is another recipe's own matter."""
    below = takewhile(lambda layer: layer.name not in CLASSIFIERS, model.layers)
    without = keras.layers.Dropout | keras.layers.InputLayer
    return {layer.name: _function(layer) for layer in below if not isinstance(layer, without)}


def _function(layer: keras.Layer) -> str:
    config = layer.get_config()
    return ", ".join([type(layer).__name__, *(f"{key} {config[key]}" for key in _COMPUTES if key in config)])


def _frozen(model: keras.Model, taken: set[str], transfer: TransferRecipe) -> set[str]:
    if transfer.freeze == "all":
        return taken
    if transfer.freeze == "none":
        return set()
    known = stages(model)
    n_stages = max(known.values(), default=0)
    if transfer.freeze > n_stages:
        expected, change = f"all, none or 1 to {n_stages}, its stages", "edit the recipe"
        raise ConfigError("transfer.freeze", received=transfer.freeze, expected=expected, change=change)
    return {layer for layer in taken if known.get(layer, n_stages + 1) <= transfer.freeze}


def _variables(model: keras.Model) -> dict[str, keras.Variable]:
    layers = [layer for layer in model.layers if layer.name not in CLASSIFIERS]
    return {f"{layer.name}/{variable.name}": variable for layer in layers for variable in layer.weights}


def _layer(name: str) -> str:
    return name.partition("/")[0]


def thaw(model: keras.Model) -> None:
    """Leave no trace of the phases in a model that is handed on."""
    for layer in model.layers:
        layer.trainable = True

"""Optimizers from their recipe."""

from collections.abc import Callable

import keras

from cnn.config.recipe import OptimizerRecipe
from cnn.training.schedules import Schedule

OPTIMIZERS: dict[str, Callable[..., keras.optimizers.Optimizer]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.Adam,  # Keras's weight decay is decoupled in all of them: Adam with decay is AdamW
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
}

_UNDECAYED = ["bias", "gamma", "beta"]


def make_optimizer(recipe: OptimizerRecipe, schedule: Schedule) -> keras.optimizers.Optimizer:
    """The recipe's optimizer at the schedule's rates; `momentum` is that of `sgd` (Nesterov) alone.

    Weight decay is decoupled from the gradient, `w <- w - rate * decay * w`, and leaves biases and BatchNorm alone:
    to pull those to zero regularizes nothing.

    References:
        Loshchilov and Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithm 2.
    """
    settings = {"momentum": recipe.momentum, "nesterov": True} if recipe.name == "sgd" else {}
    decay = recipe.weight_decay or None  # at 0.0 Keras would still compute it
    optimizer = OPTIMIZERS[recipe.name](learning_rate=schedule, weight_decay=decay, **settings)
    optimizer.exclude_from_weight_decay(var_names=_UNDECAYED)
    return optimizer

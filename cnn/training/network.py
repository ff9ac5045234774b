"""A recipe's network, compiled, with every variable in place before the first step."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from cnn.config.recipe import Recipe
from cnn.models.build import build_model
from cnn.records import Head
from cnn.training.optimizers import make_optimizer
from cnn.training.schedules import Schedule

Loss = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]

STEPS_PER_EXECUTION = 16
"""Steps between two returns to Python: small networks gain most, large ones lose nothing."""


def compiled_model(
    recipe: Recipe, image_shape: tuple[int, int, int], head: Head, *, seed: int, schedule: Schedule
) -> keras.Model:
    """The network, ready for `fit`; without XLA, which is slower on processors.

    Its metrics are `accuracy` and `cross_entropy`, the latter without label smoothing whatever the loss has.
    """
    model = build_model(recipe.model, image_shape, head, seed=seed, mixed_precision=recipe.training.mixed_precision)
    model.compile(
        optimizer=make_optimizer(recipe.optimizer, schedule),
        loss=smoothed_cross_entropy(recipe.training.label_smoothing),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy"),
        ],
        jit_compile=False,
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    _create_variables(model, head.n_classes)
    return model


def smoothed_cross_entropy(label_smoothing: float) -> str | Loss:
    """Cross-entropy against (1 - s) onehot(label) + s / k, s being `label_smoothing` in [0, 1).

    References:
        Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7.
    """
    if not label_smoothing:
        return "sparse_categorical_crossentropy"

    def loss(labels: keras.KerasTensor, probs: keras.KerasTensor) -> keras.KerasTensor:
        targets = ops.one_hot(ops.reshape(labels, (-1,)), probs.shape[-1])
        return keras.losses.categorical_crossentropy(targets, probs, label_smoothing=label_smoothing)

    return loss


def _create_variables(model: keras.Model, n_classes: int) -> None:
    """Those of the optimizer and the metrics, which would else be made in the first step, and that be traced twice.

    It takes a third off the start of a trial. A checkpoint needs them here, too.
    """
    model.optimizer.build(model.trainable_variables)
    model.compute_metrics(None, np.zeros(1, np.int32), np.full((1, n_classes), 1 / n_classes, np.float32))

"""A recipe's network, compiled, with every variable in place before the first step."""

import keras
import numpy as np

from cnn.config.recipe import Recipe
from cnn.models.build import build_model
from cnn.records import Head, Task
from cnn.training.backbone import Weights
from cnn.training.losses import make_loss, running_metrics
from cnn.training.optimizers import make_optimizer
from cnn.training.schedules import Schedule
from cnn.training.transfer import start_from

STEPS_PER_EXECUTION = 16
"""Steps between two returns to Python: small networks gain most, large ones lose nothing."""


def compiled_model(
    recipe: Recipe,
    image_shape: tuple[int, int, int],
    head: Head,
    *,
    seed: int,
    schedule: Schedule,
    backbone: Weights | None = None,
) -> keras.Model:
    """The network, ready for `fit`; without XLA, which is slower on processors.

    Its metrics are `accuracy` and `cross_entropy`, the latter without label smoothing whatever the loss has.

    Args:
        backbone: What a recipe with `transfer` starts from.

    Raises:
        ConfigError: The recipe cannot be built for such images, or does not fit what it is to start from.
    """
    model = build_model(recipe.model, image_shape, head, seed=seed, mixed_precision=recipe.training.mixed_precision)
    if recipe.transfer is not None:
        start_from(model, backbone, recipe.transfer)
    make_ready(model, recipe, head, schedule)
    return model


def make_ready(model: keras.Model, recipe: Recipe, head: Head, schedule: Schedule) -> None:
    """Compile a network with a new optimizer for the layers that are trainable now."""
    model.compile(
        optimizer=make_optimizer(recipe.optimizer, schedule),
        loss=make_loss(head, recipe.training.label_smoothing),
        metrics=running_metrics(head),
        jit_compile=False,
        steps_per_execution=STEPS_PER_EXECUTION,
    )
    _create_variables(model, head)


def _create_variables(model: keras.Model, head: Head) -> None:
    """Those of the optimizer and the metrics, which would else be made in the first step, and that be traced twice.

    It takes a third off the start of a trial. A checkpoint needs them here, too.
    """
    model.optimizer.build(model.trainable_variables)
    probs = np.full((1, head.n_classes), 1 / head.n_classes, np.float32)
    model.compute_metrics(None, np.zeros_like(probs) if head.task is Task.MULTILABEL else np.zeros(1, np.int32), probs)

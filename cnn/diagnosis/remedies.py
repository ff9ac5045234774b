"""From a verdict to what helps against it, in order; each as fields of the recipe and the way they should move.

A remedy names directions as well as values: a search moves its ranges that way, a person takes the value.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cnn.diagnosis.verdict import FEWEST_EPOCHS, Change, Remedy, Verdict
from cnn.records import Scalar

_Figures = Mapping[str, float]
_FEWEST_STEPS = 8  # an epoch
_NewValue = Callable[[Any, _Figures], Scalar | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """How a remedy moves one field.

    Args:
        new: From the field's value and the diagnosis' figures to the value it should have; None: it is right as it is.
        absent: The value of a recipe that has no such part, which nothing makes larger or smaller; None: all have it.
    """

    path: str
    direction: str
    new: _NewValue
    absent: Scalar | None = None


def _times(factor: float, *, low: float = 0.0, high: float = float("inf")) -> _NewValue:
    """The value times a factor; a whole number stays one, and 0, which means there is none, stays 0."""

    def new(value: Any, figures: _Figures) -> Scalar | None:
        if value is None or value == 0:
            return None
        scaled = min(high, max(low, value * factor))
        moved: Scalar = max(1, round(scaled)) if isinstance(value, int) else float(scaled)
        # what lies beyond the bound already is not moved back to it
        return moved if (moved > value) == (factor > 1) and moved != value else None

    return new


def _larger_batch(value: Any, figures: _Figures) -> Scalar | None:
    """Four times as large, up to 1024, and small enough for 8 steps an epoch: one step an epoch is no training."""
    n_train = figures.get("n_train", figures.get("n_clean", math.inf))
    return _times(4.0, high=min(1024, n_train // _FEWEST_STEPS))(value, figures)


def _at_least(bound: float) -> _NewValue:
    return lambda value, figures: None if value is not None and value >= bound else bound


def _at_most(bound: float) -> _NewValue:
    return lambda value, figures: None if value is None or value <= bound else bound


def _instead_of(*old: Scalar, new: Scalar) -> _NewValue:
    return lambda value, figures: new if value in old else None


def _patience(value: Any, figures: _Figures) -> Scalar | None:
    """A third of the epochs until the best one, 5 or more: a run that other remedies slow down needs time to rise."""
    wanted = max(5, round(figures.get("best", 20.0) / 3))
    return None if value is not None and value <= wanted else wanted


def _rate_for_learning(value: Any, figures: _Figures) -> Scalar | None:
    """A rate at which nothing moves is too low, or so high that the network died of it."""
    return float(value * 30 if value < 1e-4 else value / 10)


REMEDIES: Mapping[str, tuple[str, tuple[Move, ...]]] = {
    "early_stopping": (
        "stop when validation accuracy no longer rises, and keep the best epoch's weights.",
        (Move(path="training.patience", direction="down", new=_patience),),
    ),
    "dropout": (
        "raise dropout, which keeps units from leaning on one another.",
        (
            Move(path="model.dropout", direction="up", new=_at_least(0.25)),
            Move(path="model.head_dropout", direction="up", new=_at_least(0.4)),
        ),
    ),
    "batch_norm": (
        "put BatchNorm into the blocks.",
        (Move(path="model.batch_norm", direction="to", new=_instead_of("none", new="before_activation")),),
    ),
    "augmentation": (
        "show changed images: flipped, where a mirror image is the same class, and shifted.",
        (
            Move(path="augment.flip", direction="to", new=_instead_of(False, new=True)),
            Move(path="augment.shift", direction="up", new=_at_least(0.1)),
        ),
    ),
    "smaller_model": (
        "take a smaller network.",
        (
            Move(path="model.filters", direction="down", new=_times(0.5)),
            Move(path="model.dense_units", direction="down", new=_times(0.5, low=16), absent=0),
        ),
    ),
    "weight_decay": (
        "raise weight decay.",
        (Move(path="optimizer.weight_decay", direction="up", new=_at_least(0.01)),),
    ),
    "more_data": ("get more images; `cnn diagnose --data-curve` says what twice as many would bring.", ()),
    "bigger_model": (
        "take a larger network.",
        (
            Move(path="model.filters", direction="up", new=_times(2.0, high=2048)),
            Move(path="model.dense_units", direction="up", new=_times(2.0, high=8192), absent=0),
        ),
    ),
    "less_dropout": (
        "lower dropout.",
        (
            Move(path="model.dropout", direction="down", new=_at_most(0.1)),
            Move(path="model.head_dropout", direction="down", new=_at_most(0.1)),
        ),
    ),
    "less_weight_decay": (
        "lower weight decay.",
        (Move(path="optimizer.weight_decay", direction="down", new=_at_most(1e-3)),),
    ),
    "learning_rate_up": (
        "raise the learning rate.",
        (Move(path="optimizer.learning_rate", direction="up", new=_times(3.0, high=10.0)),),
    ),
    "learning_rate_down": (
        "lower the learning rate.",
        (Move(path="optimizer.learning_rate", direction="down", new=_times(0.3)),),
    ),
    "learning_rate_tenth": (
        "lower the learning rate tenfold.",
        (Move(path="optimizer.learning_rate", direction="down", new=_times(0.1)),),
    ),
    "learning_rate_other": (
        "change the learning rate by more than tenfold.",
        (Move(path="optimizer.learning_rate", direction="to", new=_rate_for_learning),),
    ),
    "cosine": (
        "let the learning rate fall to nothing over the run.",
        (Move(path="optimizer.schedule", direction="to", new=_instead_of("constant", new="cosine")),),
    ),
    "warmup": (
        "let the learning rate rise slowly at first.",
        (Move(path="optimizer.warmup_fraction", direction="up", new=_at_least(0.1)),),
    ),
    "larger_batch": (
        "take larger batches.",
        (Move(path="training.batch_size", direction="up", new=_larger_batch),),
    ),
    "more_epochs": (
        "train longer.",
        (Move(path="training.epochs", direction="up", new=_times(2.0, high=10_000)),),
    ),
    "check_labels": ("look at the images with their labels: nothing in them can be learnt so far.", ()),
    "check_data": (
        "look for what sets training images apart: wrong labels, unreadable images, a validation set of easy classes.",
        (),
    ),
    "more_validation_images": ("hold out more images: raise prepare.validation_fraction.", ()),
}
"""What each remedy says and moves. A field that a recipe does not have, or that is right already, is left alone."""

ORDER: Mapping[Verdict, tuple[str, ...]] = {
    Verdict.HEALTHY: (),
    Verdict.OVERFITTING: (
        # changed images before dropout: measured on CIFAR-10, they close more of the gap and cost no accuracy
        *("early_stopping", "augmentation", "dropout", "batch_norm"),
        *("weight_decay", "smaller_model", "more_data"),
    ),
    Verdict.UNDERFITTING: ("less_dropout", "less_weight_decay", "bigger_model", "batch_norm", "more_epochs"),
    Verdict.STILL_LEARNING: ("more_epochs", "learning_rate_up", "batch_norm"),
    Verdict.PLATEAU: ("early_stopping", "cosine", "learning_rate_down", "bigger_model"),
    Verdict.UNSTABLE: ("learning_rate_down", "cosine", "larger_batch", "warmup"),
    Verdict.DIVERGED: ("learning_rate_tenth", "warmup", "batch_norm"),
    Verdict.NOT_LEARNING: (
        *("check_labels", "learning_rate_other", "batch_norm"),
        *("less_dropout", "less_weight_decay"),
    ),
    Verdict.DATA_SUSPECT: ("check_data",),
    Verdict.UNDECIDED: ("more_validation_images", "more_epochs"),
}
"""Which remedies a verdict has, in the order in which to try them."""


def remedies(verdict: Verdict, recipe: Mapping[str, Any] | None, figures: _Figures) -> tuple[Remedy, ...]:
    """What helps against a verdict, in order. With a recipe, those that would change nothing in it are left out.

    Example:
        >>> recipe = {"training": {"epochs": 10}, "optimizer": {"learning_rate": 0.001}}
        >>> [(remedy.name, remedy.values) for remedy in remedies(Verdict.STILL_LEARNING, recipe, {})]
        [('more_epochs', {'training.epochs': 20}), ('learning_rate_up', {'optimizer.learning_rate': 0.003})]
    """
    found = []
    for name in _order(verdict, figures):
        sentence, moves = REMEDIES[name]
        changes = tuple(change for move in moves if (change := _change(move, recipe, figures)))
        if recipe is None or changes or not moves:
            found.append(Remedy(name=name, sentence=sentence, changes=changes))
    return tuple(found)


def _order(verdict: Verdict, figures: _Figures) -> tuple[str, ...]:
    """What was left open for want of epochs is no matter of images; where no epoch was finished, none helps."""
    n_epochs = figures.get("n_epochs", math.inf)
    if verdict is not Verdict.UNDECIDED or n_epochs >= FEWEST_EPOCHS:
        return ORDER[verdict]
    return ("more_epochs",) if n_epochs else ()


def _change(move: Move, recipe: Mapping[str, Any] | None, figures: _Figures) -> Change | None:
    section, _, field = move.path.partition(".")
    fields = (recipe or {}).get(section, {})
    if field not in fields:
        return None
    value = move.new(fields[field], figures)
    return None if value is None else Change(path=move.path, direction=move.direction, value=value)

"""What a test says, in one form for all kinds of classification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cnn.evaluation.metrics.intervals import wilson_interval

Matrix = tuple[tuple[int, ...], ...]
"""A confusion matrix: rows are the actual classes, columns the predicted ones, entries counts of images."""

NONE = "(none)"
"""With several labels an image: the row of those predicted though absent, and the column of those missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMetrics:
    """How one class fares; all but `support` are in [0, 1].

    Args:
        precision: Right ones among the images predicted as this class; 0 when there are none.
        recall: Right ones among the images of this class; 0 when there are none.
        f1: Harmonic mean of the two.
        support: Images of this class.
        average_precision: With several labels an image; None when no image bears this one.
        threshold: With several labels an image: from which probability on it is predicted.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int
    average_precision: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What a test says.

    Args:
        accuracy: Images answered entirely right, in [0, 1], with its interval `accuracy_low` to `accuracy_high`.
        loss: The task's, in nats.
        macro_precision: Unweighted mean over the classes, as are the other two.
        per_class: One entry a class, in the order of the labels.
        confusion: A row and a column a class; with several labels an image one more of each, for `NONE`.
        own: The figures of the task itself, by name.
    """

    n: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    loss: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    per_class: tuple[ClassMetrics, ...]
    confusion: Matrix
    own: Mapping[str, float] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """The single numbers, by name."""
        names = ("accuracy", "accuracy_low", "accuracy_high", "loss", "macro_precision", "macro_recall", "macro_f1")
        return {name: getattr(self, name) for name in names} | dict(self.own)


def assembled(
    right: Any, loss: float, per_class: tuple[ClassMetrics, ...], confusion: Any, *, confidence: float, **own: float
) -> Metrics:
    """The figures that all tasks have, and a task's own.

    Args:
        right: (n,) booleans, which images are answered entirely right.
        confusion: (k, k) counts.
    """
    n_right = int(np.sum(right))
    low, high = wilson_interval(n_right, len(right), confidence=confidence)
    return Metrics(
        n=len(right),
        accuracy=n_right / len(right),
        accuracy_low=low,
        accuracy_high=high,
        loss=loss,
        macro_precision=float(np.mean([entry.precision for entry in per_class])),
        macro_recall=float(np.mean([entry.recall for entry in per_class])),
        macro_f1=float(np.mean([entry.f1 for entry in per_class])),
        per_class=per_class,
        confusion=tuple(tuple(map(int, row)) for row in confusion),
        own=own,
    )


def checked(labels: Any, probs: Any, n_classes: int) -> tuple[Any, Any]:
    """Labels (n,) in [0, k) and probabilities (n, k) as arrays.

    Raises:
        ValueError: They are none, or do not fit.
    """
    labels, probs = np.asarray(labels), np.asarray(probs)
    if labels.ndim != 1 or not len(labels) or probs.shape != (len(labels), n_classes):
        raise ValueError(
            f"Invalid shapes. Expected labels (n,) and probs (n, {n_classes}). Received {labels.shape}, {probs.shape}."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"Invalid labels. Expected [0, {n_classes}). Received {labels.min()} to {labels.max()}.")
    _check_finite(probs)
    return labels, probs


def checked_columns(labels: Any, probs: Any, n_classes: int) -> tuple[Any, Any]:
    """Labels (n, k) of 0 and 1 and probabilities (n, k) as arrays.

    Raises:
        ValueError: They are none, or do not fit.
    """
    labels, probs = np.asarray(labels), np.asarray(probs)
    if labels.ndim != 2 or not len(labels) or labels.shape[1] != n_classes or probs.shape != labels.shape:
        raise ValueError(
            f"Invalid shapes. Expected (n, {n_classes}) for labels and probs. Received {labels.shape}, {probs.shape}."
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"Invalid labels. Expected 0 and 1. Received {labels.min()} to {labels.max()}.")
    _check_finite(probs)
    return labels, probs


def class_table(labels: Any, predicted: Any, class_names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    """Precision, recall and F1 of each class: of (n,) class numbers, or of (n, k) columns of 0 and 1."""
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, predicted, labels=range(len(class_names)), average=None, zero_division=0.0
    )
    return tuple(
        ClassMetrics(name=name, precision=float(precision), recall=float(recall), f1=float(f1), support=int(support))
        for name, precision, recall, f1, support in zip(class_names, *columns, strict=True)
    )


def class_confusion(labels: Any, predicted: Any, n_classes: int) -> Any:
    """(k, k) counts of images, actual class down, predicted class across."""
    from sklearn.metrics import confusion_matrix

    return confusion_matrix(labels, predicted, labels=range(n_classes))


def _check_finite(probs: Any) -> None:
    if not np.isfinite(probs).all():
        raise ValueError("Invalid probs. Expected finite numbers. Received NaN or infinity.")

"""Test figures of a classifier, each with what is needed to believe it.

Shapes: `labels` (n,) integers in [0, k), `probs` (n, k) with rows that sum to 1, `class_names` k names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn.training.cross_entropy import cross_entropy

Matrix = tuple[tuple[int, ...], ...]
"""A confusion matrix: rows are the actual classes, columns the predicted ones, entries counts of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassMetrics:
    """How one class fares; all but `support` are in [0, 1].

    Args:
        precision: Right ones among the images predicted as this class; 0 when there are none.
        recall: Right ones among the images of this class; 0 when there are none.
        f1: Harmonic mean of the two.
        support: Images of this class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """What a test says.

    Args:
        accuracy: In [0, 1], with its interval `accuracy_low` to `accuracy_high`.
        loss: Mean cross-entropy in nats.
        macro_precision: Unweighted mean over the classes, as are the other two.
        per_class: One entry a class, in the order of the labels.
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

    def figures(self) -> dict[str, float]:
        """The single numbers, by name."""
        names = ("accuracy", "accuracy_low", "accuracy_high", "loss", "macro_precision", "macro_recall", "macro_f1")
        return {name: getattr(self, name) for name in names}


def multiclass_metrics(labels: Any, probs: Any, class_names: Sequence[str], *, confidence: float) -> Metrics:
    """Score predictions of n images over k classes.

    Args:
        labels: (n,) integers in [0, k), n at least 1.
        probs: (n, k) in [0, 1]; the class of the largest is the prediction, the first one among equals.
        confidence: Of the accuracy's interval, in (0, 1).

    Raises:
        ValueError: The shapes do not fit, or a label is out of range.

    Example:
        >>> metrics = multiclass_metrics([0, 1], [[0.8, 0.2], [0.6, 0.4]], ["cat", "dog"], confidence=0.95)
        >>> metrics.accuracy, metrics.confusion
        (0.5, ((1, 0), (1, 0)))
    """
    labels, probs = _checked(labels, probs, len(class_names))
    predicted = probs.argmax(axis=1)
    n_right = int((predicted == labels).sum())
    low, high = wilson_interval(n_right, len(labels), confidence=confidence)
    per_class = _per_class(labels, predicted, class_names)
    return Metrics(
        n=len(labels),
        accuracy=n_right / len(labels),
        accuracy_low=low,
        accuracy_high=high,
        loss=cross_entropy(labels, probs),
        macro_precision=float(np.mean([entry.precision for entry in per_class])),
        macro_recall=float(np.mean([entry.recall for entry in per_class])),
        macro_f1=float(np.mean([entry.f1 for entry in per_class])),
        per_class=per_class,
        confusion=_confusion(labels, predicted, len(class_names)),
    )


def wilson_interval(n_right: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion: good coverage also near 0 and 1, and never outside them.

    References:
        Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.

    Example:
        >>> low, high = wilson_interval(7000, 10000, confidence=0.95)
        >>> round(low, 4), round(high, 4)
        (0.6909, 0.7089)
    """
    from scipy.stats import binomtest

    interval = binomtest(n_right, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def _checked(labels: Any, probs: Any, n_classes: int) -> tuple[Any, Any]:
    labels, probs = np.asarray(labels), np.asarray(probs)
    if labels.ndim != 1 or not len(labels) or probs.shape != (len(labels), n_classes):
        raise ValueError(
            f"Invalid shapes. Expected labels (n,) and probs (n, {n_classes}). Received {labels.shape}, {probs.shape}."
        )
    if labels.min() < 0 or labels.max() >= n_classes:
        raise ValueError(f"Invalid labels. Expected [0, {n_classes}). Received {labels.min()} to {labels.max()}.")
    if not np.isfinite(probs).all():
        raise ValueError("Invalid probs. Expected finite numbers. Received NaN or infinity.")
    return labels, probs


def _per_class(labels: Any, predicted: Any, class_names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(labels, predicted, labels=range(len(class_names)), zero_division=0.0)
    return tuple(
        ClassMetrics(name=name, precision=float(precision), recall=float(recall), f1=float(f1), support=int(support))
        for name, precision, recall, f1, support in zip(class_names, *columns, strict=True)
    )


def _confusion(labels: Any, predicted: Any, n_classes: int) -> Matrix:
    from sklearn.metrics import confusion_matrix

    matrix = confusion_matrix(labels, predicted, labels=range(n_classes))
    return tuple(tuple(map(int, row)) for row in matrix)

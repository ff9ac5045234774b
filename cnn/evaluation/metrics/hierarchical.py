"""Test figures where an image shows one of k classes that are the leaves of a tree."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.evaluation.metrics.figures import Metrics, assembled, checked, class_confusion, class_table
from cnn.evaluation.metrics.intervals import bootstrap_interval
from cnn.records import Head, Task
from cnn.training.answers import Thresholds, predictions
from cnn.training.cross_entropy import hierarchical_cross_entropy
from cnn.training.tree import depths, overlap, shared


def hierarchical_metrics(labels: Any, probs: Any, head: Head, thresholds: Thresholds, confidence: float) -> Metrics:
    """Accuracy of the class and of each level above it, and hierarchical precision, recall and F1.

    `accuracy_level_1` is that of the nodes nearest the top, and so on. A level is measured on the images whose class
    lies at it or deeper; the prediction is right there when the two ways from the top agree that far.

    Args:
        labels: (n,) integers in [0, k), n at least 1.
        probs: (n, k) whose rows sum to 1; the most probable class is the prediction, with the nodes above it.
        thresholds: None are needed.
        confidence: Of all intervals, in (0, 1).

    Raises:
        ValueError: The shapes do not fit, or a label is out of range.

    References:
        As `cnn.training.tree.overlap`.

    Example:
        >>> head = Head(class_names=("cat", "dog"), task=Task.HIERARCHICAL, ancestors=(("animal",), ("animal",)))
        >>> metrics = hierarchical_metrics([0, 1], [[0.8, 0.2], [0.6, 0.4]], head, (), 0.95)
        >>> metrics.accuracy, metrics.own["accuracy_level_1"], metrics.own["hierarchical_f1"]
        (0.5, 1.0, 0.75)
    """
    labels, probs = checked(labels, probs, head.n_classes)
    predicted = predictions(probs, Task.HIERARCHICAL)
    precision, recall, f1 = overlap(labels, predicted, head)
    low, high = _f1_interval(labels, predicted, head, confidence)
    levels = {f"accuracy_level_{level}": value for level, value in enumerate(_levels(labels, predicted, head), start=1)}
    return assembled(
        predicted == labels,
        hierarchical_cross_entropy(labels, probs, head),
        class_table(labels, predicted, head.class_names),
        class_confusion(labels, predicted, head.n_classes),
        confidence=confidence,
        hierarchical_precision=precision,
        hierarchical_recall=recall,
        hierarchical_f1=f1,
        hierarchical_f1_low=low,
        hierarchical_f1_high=high,
        **levels,
    )


def _levels(labels: Any, predicted: Any, head: Head) -> list[float]:
    """The accuracy of each level that has images, from the top."""
    length, common = depths(head)[labels], shared(head)[labels, predicted]
    return [float((common[length >= level] >= level).mean()) for level in range(1, int(length.max()) + 1)]


def _f1_interval(labels: Any, predicted: Any, head: Head, confidence: float) -> tuple[float, float]:
    common, length = shared(head)[labels, predicted], depths(head)
    both = length[labels] + length[predicted]

    def f1(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return np.asarray(2 * (counts @ common) / (counts @ both))

    return bootstrap_interval(f1, len(labels), confidence=confidence)

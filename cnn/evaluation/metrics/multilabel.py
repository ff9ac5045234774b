"""Test figures where an image shows any of k labels, none and all included."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.evaluation.metrics.figures import ClassMetrics, Metrics, assembled, checked_columns, class_table
from cnn.evaluation.metrics.intervals import Counts, bootstrap_interval, drawn_average_precision
from cnn.records import Head, Task
from cnn.training.answers import EVEN, Thresholds, average_precisions, mean_average_precision, predictions
from cnn.training.cross_entropy import binary_cross_entropy


def multilabel_metrics(labels: Any, probs: Any, head: Head, thresholds: Thresholds, confidence: float) -> Metrics:
    """Subset accuracy, micro and macro F1 at the thresholds, and the mean average precision, which needs none.

    Args:
        labels: (n, k) of 0 and 1, n at least 1.
        probs: (n, k) in [0, 1].
        thresholds: One a label; empty for 0.5.
        confidence: Of all intervals, in (0, 1).

    Raises:
        ValueError: The shapes do not fit, or a label is neither 0 nor 1.

    Example:
        >>> head = Head(class_names=("cat", "dog"), task=Task.MULTILABEL)
        >>> metrics = multilabel_metrics([[1, 0], [1, 1]], [[0.9, 0.2], [0.8, 0.3]], head, (), 0.95)
        >>> metrics.accuracy, metrics.own["micro_recall"], metrics.confusion[1]
        (0.5, 0.6666666666666666, (0, 0, 1))
    """
    from sklearn.metrics import precision_recall_fscore_support

    labels, probs = checked_columns(labels, probs, head.n_classes)
    predicted = predictions(probs, Task.MULTILABEL, thresholds)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, average="micro", zero_division=0.0)
    low, high = bootstrap_interval(
        lambda counts: _drawn_mean(labels, probs, counts), len(labels), confidence=confidence
    )
    return assembled(
        (predicted == labels).all(axis=1),
        binary_cross_entropy(labels, probs),
        _table(labels, probs, predicted, head, thresholds),
        label_confusion(labels, predicted),
        confidence=confidence,
        mean_average_precision=mean_average_precision(labels, probs, head),
        mean_average_precision_low=low,
        mean_average_precision_high=high,
        micro_precision=float(precision),
        micro_recall=float(recall),
        micro_f1=float(f1),
    )


def label_confusion(labels: Any, predicted: Any) -> npt.NDArray[np.int64]:
    """(k + 1, k + 1): found labels on the diagonal, missed ones in the last column, invented ones in the last row.

    Args:
        labels: (n, k) of 0 and 1; so is `predicted`.
    """
    n_classes = labels.shape[1]
    matrix = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    np.fill_diagonal(matrix[:-1, :-1], (labels & predicted).sum(axis=0))
    matrix[:-1, -1] = (labels & ~predicted & 1).sum(axis=0)
    matrix[-1, :-1] = (~labels & predicted & 1).sum(axis=0)
    return matrix


def _table(labels: Any, probs: Any, predicted: Any, head: Head, thresholds: Thresholds) -> tuple[ClassMetrics, ...]:
    columns = zip(
        class_table(labels, predicted, head.class_names),
        average_precisions(labels, probs),
        thresholds or [EVEN] * head.n_classes,
        strict=True,
    )
    return tuple(replace(entry, average_precision=value, threshold=float(cut)) for entry, value, cut in columns)


def _drawn_mean(labels: Any, probs: Any, counts: Counts) -> npt.NDArray[np.float64]:
    """(b,) the mean over the labels that a draw has; 0 where it has none."""
    total, occurring = np.zeros(len(counts)), np.zeros(len(counts))
    for held, given in zip(labels.T, probs.T, strict=True):
        values = drawn_average_precision(held, given, counts)
        total += np.nan_to_num(values)
        occurring += np.isfinite(values)
    mean: npt.NDArray[np.float64] = total / np.maximum(occurring, 1)
    return mean

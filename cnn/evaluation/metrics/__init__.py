"""Test figures of a classifier, each with what is needed to believe it: one module a kind of classification."""

from collections.abc import Callable
from typing import Any

from cnn.evaluation.metrics.binary import binary_metrics
from cnn.evaluation.metrics.figures import ClassMetrics, Matrix, Metrics
from cnn.evaluation.metrics.hierarchical import hierarchical_metrics
from cnn.evaluation.metrics.intervals import wilson_interval
from cnn.evaluation.metrics.multiclass import multiclass_metrics
from cnn.evaluation.metrics.multilabel import multilabel_metrics
from cnn.evaluation.predictions import Predictions
from cnn.records import Head, Task
from cnn.training.answers import Thresholds

__all__ = ["METRICS", "ClassMetrics", "Matrix", "Metrics", "metrics_of", "multiclass_metrics", "wilson_interval"]

METRICS: dict[Task, Callable[[Any, Any, Head, Thresholds, float], Metrics]] = {
    Task.MULTICLASS: lambda labels, probs, head, thresholds, confidence: multiclass_metrics(
        labels, probs, head.class_names, confidence=confidence
    ),
    Task.BINARY: binary_metrics,
    Task.MULTILABEL: multilabel_metrics,
    Task.HIERARCHICAL: hierarchical_metrics,
}


def metrics_of(predictions: Predictions, *, confidence: float) -> Metrics:
    """What predictions are worth, by the kind of classification they are of.

    Args:
        confidence: Of all intervals, in (0, 1).

    Raises:
        ValueError: Labels and probabilities do not fit, or are none.
    """
    head = predictions.head
    return METRICS[head.task](predictions.labels, predictions.probs, head, predictions.thresholds, confidence)

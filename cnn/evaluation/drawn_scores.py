"""The task's own score on test sets drawn from one, many draws at once: what a paired bootstrap is made of."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.evaluation.metrics.intervals import Counts, drawn_average_precision
from cnn.evaluation.predictions import Predictions
from cnn.records import Task
from cnn.training.tree import depths, shared

Scores = npt.NDArray[np.float64]


def drawn_score(predictions: Predictions, counts: Counts) -> Scores:
    """(b,) the score of `cnn.training.answers.score` in each draw; NaN where a draw has no such figure.

    Args:
        counts: (b, n) how often each image was drawn.
    """
    return _DRAWN[predictions.head.task](predictions, counts)


def drawn_roc_auc(held: Any, given: Any, counts: Counts) -> Scores:
    """(b,) the area under the ROC curve in each draw, ties by half; NaN where it has not both kinds of images.

    Args:
        held: (n,) of 0 and 1.
        given: (n,) probabilities.

    Example:
        >>> drawn_roc_auc([0, 1, 1], [0.2, 0.2, 0.9], np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1]])).tolist()
        [0.75, 0.5, nan]
    """
    order = np.argsort(given, kind="stable")
    ranked, positive = np.asarray(given)[order], np.asarray(held)[order]
    starts = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
    drawn = counts[:, order]
    positives = np.add.reduceat(drawn * positive, starts, axis=1)
    negatives = np.add.reduceat(drawn * (1 - positive), starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    ranked_right = (positives * (below + negatives / 2)).sum(axis=1)
    return np.where(pairs > 0, ranked_right / np.maximum(pairs, 1), np.nan)


def _accuracy(predictions: Predictions, counts: Counts) -> Scores:
    return np.asarray(counts @ predictions.correct / counts.sum(axis=1))


def _roc_auc(predictions: Predictions, counts: Counts) -> Scores:
    return drawn_roc_auc(predictions.labels, predictions.probs[:, 1], counts)


def _mean_average_precision(predictions: Predictions, counts: Counts) -> Scores:
    """The mean over the labels that a draw has; 0 where it has none."""
    columns = zip(predictions.labels.T, predictions.probs.T, strict=True)
    values = np.stack([drawn_average_precision(held, given, counts) for held, given in columns])
    occurring = np.isfinite(values).sum(axis=0)
    return np.asarray(np.nan_to_num(values).sum(axis=0) / np.maximum(occurring, 1))


def _hierarchical_f1(predictions: Predictions, counts: Counts) -> Scores:
    length = depths(predictions.head)
    common = shared(predictions.head)[predictions.labels, predictions.predicted]
    both = length[predictions.labels] + length[predictions.predicted]
    return np.asarray(2 * (counts @ common) / (counts @ both))


_DRAWN: dict[Task, Callable[[Predictions, Counts], Scores]] = {
    Task.MULTICLASS: _accuracy,
    Task.BINARY: _roc_auc,
    Task.MULTILABEL: _mean_average_precision,
    Task.HIERARCHICAL: _hierarchical_f1,
}

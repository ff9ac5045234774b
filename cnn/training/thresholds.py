"""From which probability on a label is predicted, chosen on validation images after training; numpy.

Never on the test images, nor on those that were trained on, whose probabilities are too sure.
"""

from typing import Any

import numpy as np

from cnn.records import Task
from cnn.training.answers import EVEN


def chosen_thresholds(labels: Any, probs: Any, task: Task) -> tuple[float, ...]:
    """The thresholds of a task: one for `BINARY`, one a label for `MULTILABEL`, none for the others.

    Args:
        labels: Of validation images, (n,) or (n, k).
        probs: (n, k) in [0, 1].
    """
    if task is Task.BINARY:
        return (best_threshold(labels, np.asarray(probs)[:, 1]),)
    if task is Task.MULTILABEL:
        return tuple(best_threshold(*column) for column in zip(np.asarray(labels).T, np.asarray(probs).T, strict=True))
    return ()


def best_threshold(held: Any, given: Any) -> float:
    """The threshold with the highest F1.

    Only where it lies between two neighbouring probabilities matters, so it is put half-way between them (below the
    lowest: half-way to 0). Among those of equal F1 the one nearest to 0.5 is taken, of two as near the lower one. A
    label that no image bears keeps 0.5.

    Args:
        held: (n,) of 0 and 1.
        given: (n,) in [0, 1].

    References:
        Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure", ECML 2014.

    Example:
        >>> best_threshold(np.array([0, 1, 1]), np.array([0.1, 0.3, 0.8]))
        0.2
    """
    from sklearn.metrics import precision_recall_curve

    held, given = np.asarray(held), np.asarray(given, dtype=np.float64)
    if not held.any():
        return EVEN
    precision, recall, lowest = precision_recall_curve(held, given)
    precision, recall = precision[:-1], recall[:-1]  # the last stands for no prediction at all
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    between = (lowest + np.concatenate([[0.0], lowest[:-1]])) / 2
    best = between[np.isclose(f1, f1.max(), rtol=1e-12, atol=0.0)]
    return float(min(best, key=lambda threshold: (abs(threshold - EVEN), threshold)))

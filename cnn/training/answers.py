"""Which answers are right, and how good they are on the whole: each kind of classification in its own way; numpy.

Shapes as in `cross_entropy`. `thresholds` holds one number for `BINARY`, k for `MULTILABEL`, and is empty for tasks
that need none; empty also stands for 0.5 throughout.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.records import Head, Task
from cnn.training.tree import overlap

Thresholds = Sequence[float]

EVEN = 0.5
"""The threshold where none was chosen."""


def predictions(probs: Any, task: Task, thresholds: Thresholds = ()) -> npt.NDArray[np.int64]:
    """What the probabilities say: (n,) the class, the first one among equals; with several labels (n, k) of 0 and 1.

    A label, or the positive one of two classes, is predicted from its threshold on.

    Example:
        >>> predictions(np.array([[0.7, 0.3]]), Task.BINARY, (0.25,)).tolist()
        [1]
    """
    if task in (Task.MULTICLASS, Task.HIERARCHICAL):
        return np.asarray(np.argmax(probs, axis=1), dtype=np.int64)
    given = np.asarray(probs, dtype=np.float64)  # a float32 would round the threshold, too
    held = given[:, 1] if task is Task.BINARY else given
    return np.asarray(held >= np.asarray(thresholds or EVEN), dtype=np.int64)


def right(labels: Any, probs: Any, task: Task, thresholds: Thresholds = ()) -> npt.NDArray[np.bool_]:
    """(n,) where an image is answered entirely right: the class, or all labels and no other."""
    equal = np.equal(predictions(probs, task, thresholds), labels)
    return np.asarray(equal.all(axis=1) if equal.ndim == 2 else equal)


def score(labels: Any, probs: Any, head: Head) -> float:
    """The task's own score, larger is better; NaN when a probability is.

    `MULTICLASS` the accuracy, `BINARY` the area under the ROC curve, `MULTILABEL` the mean over the labels that occur
    of the average precision, `HIERARCHICAL` the hierarchical F1 of `tree.overlap`. None depends on a threshold.
    """
    return _SCORES[head.task](labels, probs, head) if np.isfinite(probs).all() else float("nan")


def roc_auc(labels: Any, probs: Any, head: Head) -> float:
    """Chance that a positive image is given more than a negative one, ties by half; 0.5 unless there are both."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, probs[:, 1])) if np.ptp(labels) else 0.5


def mean_average_precision(labels: Any, probs: Any, head: Head) -> float:
    """Mean of the labels' average precisions; labels that no image bears are left out; 0 when none occurs."""
    return float(np.mean([value for value in average_precisions(labels, probs) if value is not None] or [0.0]))


def average_precisions(labels: Any, probs: Any) -> list[float | None]:
    """(k,) of each label the sum of (R_i - R_{i-1}) P_i, surest answers first; None when no image bears it."""
    from sklearn.metrics import average_precision_score

    columns = zip(np.asarray(labels).T, np.asarray(probs).T, strict=True)
    return [float(average_precision_score(held, given)) if held.any() else None for held, given in columns]


_SCORES: dict[Task, Callable[[Any, Any, Head], float]] = {
    Task.MULTICLASS: lambda labels, probs, head: float(right(labels, probs, head.task).mean()),
    Task.BINARY: roc_auc,
    Task.MULTILABEL: mean_average_precision,
    Task.HIERARCHICAL: lambda labels, probs, head: overlap(labels, predictions(probs, head.task), head)[2],
}

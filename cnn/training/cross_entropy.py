"""The losses of probabilities, the same in a learning curve and in a test; plain numpy, in nats.

`labels` is (n,) integers in [0, k), with several labels an image (n, k) of 0 and 1; `probs` is (n, k) in [0, 1]; n is
at least 1. No probability is taken for smaller than 1e-7, and a NaN stays one.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.records import Head, Task
from cnn.training.tree import membership

_SMALLEST = 1e-7  # as Keras clips, so that one sure and wrong answer does not make the mean infinite


def cross_entropy(labels: Any, probs: Any) -> float:
    """Mean of -ln p(label).

    Example:
        >>> round(cross_entropy(np.array([0, 1]), np.array([[1.0, 0.0], [0.5, 0.5]])), 4)
        0.3466
    """
    given = probs[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(given, _SMALLEST, 1.0)).mean())


def binary_cross_entropy(labels: Any, probs: Any) -> float:
    """Mean over images and labels of -ln p where a label holds and of -ln(1 - p) where it does not.

    Example:
        >>> round(binary_cross_entropy(np.array([[1, 0]]), np.array([[1.0, 0.5]])), 4)
        0.3466
    """
    p = probs.astype(np.float64)
    return float(-np.log(np.clip(np.where(labels == 1, p, 1 - p), _SMALLEST, 1.0)).mean())


def hierarchical_cross_entropy(labels: Any, probs: Any, head: Head) -> float:
    """Mean over images of -1/d * sum of ln P(a) over the d nodes a on the way to the label, itself included.

    P(a) is the sum of the probabilities of the classes under a. By P(a) = P(a | parent) P(parent) this is a weighted
    sum of the conditional cross-entropies of all levels, in which a level counts once for itself and once for each
    level below: Bertinetto et al.'s loss with weights that grow towards the top, so that the worse mistake costs more.
    Without a tree (d = 1) it is the cross-entropy.

    References:
        Bertinetto, Mueller, Tertikas, Samangooei and Lord, "Making better mistakes: leveraging class hierarchies with
        deep networks", CVPR 2020, equation 3.

    Example:
        >>> head = Head(class_names=("cat", "dog", "car"), ancestors=(("animal",), ("animal",), ("vehicle",)))
        >>> round(hierarchical_cross_entropy(np.array([0]), np.array([[0.25, 0.25, 0.5]]), head), 4)
        1.0397
    """
    of_nodes = np.clip(probs.astype(np.float64) @ membership(head), _SMALLEST, 1.0)
    return float(-(level_weights(head)[labels] * np.log(of_nodes)).sum(axis=1).mean())


def level_weights(head: Head) -> npt.NDArray[np.float32]:
    """(k, m) what each node counts in the loss of a class: 1/d for the d nodes on the way to it, else 0."""
    under = membership(head)
    weights: npt.NDArray[np.float32] = under / under.sum(axis=1, keepdims=True)
    return weights


def loss(labels: Any, probs: Any, head: Head) -> float:
    """The loss of a head's own task."""
    return _LOSSES[head.task](labels, probs, head)


_LOSSES: dict[Task, Callable[[Any, Any, Head], float]] = {
    Task.MULTICLASS: lambda labels, probs, head: cross_entropy(labels, probs),
    Task.BINARY: lambda labels, probs, head: cross_entropy(labels, probs),
    Task.MULTILABEL: lambda labels, probs, head: binary_cross_entropy(labels, probs),
    Task.HIERARCHICAL: hierarchical_cross_entropy,
}

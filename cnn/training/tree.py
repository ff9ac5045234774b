"""A tree of classes as arrays: which nodes each class lies under, and how far two classes go together.

A node is its way from the top, the root left out, so that two nodes of one name in different branches stay apart. A
class is the last node of its own way.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.records import Head

Node = tuple[str, ...]


def nodes(head: Head) -> tuple[Node, ...]:
    """All nodes, classes included: those near the top first, then in the order of the classes.

    Example:
        >>> nodes(Head(class_names=("cat", "car"), ancestors=(("animal",), ("vehicle",))))
        (('animal',), ('vehicle',), ('animal', 'cat'), ('vehicle', 'car'))
    """
    known = dict.fromkeys(path[:depth] for path in head.paths for depth in range(1, len(path) + 1))
    return tuple(sorted(known, key=len))  # stable: within a level they stay in the order of the classes


def membership(head: Head) -> npt.NDArray[np.float32]:
    """(k, m) 1 where a class lies under a node, or is it, else 0; the nodes in the order of `nodes`."""
    all_nodes = nodes(head)
    rows = [[path[: len(node)] == node for node in all_nodes] for path in head.paths]
    return np.array(rows, dtype=np.float32)


def depths(head: Head) -> npt.NDArray[np.int64]:
    """(k,) nodes on the way to each class, itself included."""
    return np.array([len(path) for path in head.paths], dtype=np.int64)


def shared(head: Head) -> npt.NDArray[np.int64]:
    """(k, k) nodes that the ways to two classes have in common; the diagonal is `depths`."""
    under = membership(head).astype(np.int64)
    common: npt.NDArray[np.int64] = under @ under.T
    return common


def overlap(labels: Any, predicted: Any, head: Head) -> tuple[float, float, float]:
    """Hierarchical precision, recall and F1: hP = sum |P & T| / sum |P|, hR = sum |P & T| / sum |T|.

    P and T are the sets of nodes on the ways to the predicted and to the actual class, both included, the root left
    out; the sums run over the images. F1 is the harmonic mean of the two.

    Args:
        labels: (n,) integers in [0, k), n at least 1; so is `predicted`.

    References:
        Kiritchenko, Matwin, Nock and Famili, "Learning and evaluation in the presence of class hierarchies", Canadian
        AI 2006; Silla and Freitas, "A survey of hierarchical classification across different application domains",
        Data Mining and Knowledge Discovery 22, 2011, section 6.

    Example:
        >>> head = Head(class_names=("cat", "dog", "car"), ancestors=(("animal",), ("animal",), ("vehicle",)))
        >>> overlap([0, 0], [1, 2], head)
        (0.25, 0.25, 0.25)
    """
    length = depths(head)
    common = shared(head)[labels, predicted].sum()
    precision, recall = common / length[predicted].sum(), common / length[labels].sum()
    f1 = 2 * common / (length[predicted].sum() + length[labels].sum())
    return float(precision), float(recall), float(f1)

"""Test figures where an image shows one of two classes, the second of which is the positive one."""

from typing import Any

from cnn.evaluation.metrics.figures import Metrics, assembled, checked, class_confusion, class_table
from cnn.evaluation.metrics.intervals import auc_interval, bootstrap_interval, drawn_average_precision
from cnn.records import Head, Task
from cnn.training.answers import EVEN, Thresholds, predictions, roc_auc
from cnn.training.cross_entropy import cross_entropy


def binary_metrics(labels: Any, probs: Any, head: Head, thresholds: Thresholds, confidence: float) -> Metrics:
    """Accuracy, precision, recall and F1 at the threshold, and what does not depend on it: the areas under the curves.

    `pr_auc` is the average precision, sum of (R_i - R_{i-1}) P_i, which unlike trapezoids promises nothing between two
    thresholds.

    Args:
        labels: (n,) of 0 and 1, both of which must occur.
        probs: (n, 2) whose rows sum to 1.
        thresholds: The one from which on an image is predicted positive; empty for 0.5.
        confidence: Of all intervals, in (0, 1).

    Raises:
        ValueError: The shapes do not fit, or a label is out of range.

    References:
        Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006.

    Example:
        >>> head = Head(class_names=("no", "yes"), task=Task.BINARY)
        >>> metrics = binary_metrics([0, 1], [[0.9, 0.1], [0.7, 0.3]], head, (0.2,), 0.95)
        >>> metrics.accuracy, metrics.own["roc_auc"], metrics.own["f1"]
        (1.0, 1.0, 1.0)
    """
    from sklearn.metrics import average_precision_score

    labels, probs = checked(labels, probs, 2)
    predicted, positive = predictions(probs, Task.BINARY, thresholds), probs[:, 1]
    table, auc, n_positive = (
        class_table(labels, predicted, head.class_names),
        roc_auc(labels, probs, head),
        labels.sum(),
    )
    auc_low, auc_high = auc_interval(auc, int(n_positive), int(len(labels) - n_positive), confidence=confidence)
    pr_low, pr_high = bootstrap_interval(
        lambda counts: drawn_average_precision(labels, positive, counts), len(labels), confidence=confidence
    )
    return assembled(
        predicted == labels,
        cross_entropy(labels, probs),
        table,
        class_confusion(labels, predicted, 2),
        confidence=confidence,
        roc_auc=auc,
        roc_auc_low=auc_low,
        roc_auc_high=auc_high,
        pr_auc=float(average_precision_score(labels, positive)),
        pr_auc_low=pr_low,
        pr_auc_high=pr_high,
        precision=table[1].precision,
        recall=table[1].recall,
        f1=table[1].f1,
        threshold=float(thresholds[0]) if thresholds else EVEN,
    )

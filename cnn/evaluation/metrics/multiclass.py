"""Test figures where an image shows one of k classes.

Shapes: `labels` (n,) integers in [0, k), `probs` (n, k) with rows that sum to 1, `class_names` k names.
"""

from collections.abc import Sequence
from typing import Any

from cnn.evaluation.metrics.figures import Metrics, assembled, checked, class_confusion, class_table
from cnn.training.cross_entropy import cross_entropy


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
    labels, probs = checked(labels, probs, len(class_names))
    predicted = probs.argmax(axis=1)
    return assembled(
        predicted == labels,
        cross_entropy(labels, probs),
        class_table(labels, predicted, class_names),
        class_confusion(labels, predicted, len(class_names)),
        confidence=confidence,
    )

"""The loss of probabilities, the same in a learning curve and in a test; plain numpy."""

from typing import Any

import numpy as np

_SMALLEST = 1e-7  # as Keras clips, so that one sure and wrong answer does not make the mean infinite


def cross_entropy(labels: Any, probs: Any) -> float:
    """Mean of -ln p(label) in nats, p no smaller than 1e-7; NaN when a probability is.

    Args:
        labels: (n,) integers in [0, k), n at least 1.
        probs: (n, k) in [0, 1].

    Example:
        >>> round(cross_entropy(np.array([0, 1]), np.array([[1.0, 0.0], [0.5, 0.5]])), 4)
        0.3466
    """
    given = probs[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.clip(given, _SMALLEST, 1.0)).mean())

"""Whether a classifier is as sure as it is right."""

from dataclasses import dataclass
from typing import Any

import numpy as np

N_BINS = 15
"""As in the paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The images whose confidence lies in (low, high].

    Args:
        confidence: Their mean confidence, in [0, 1].
        accuracy: The fraction of them that is right, in [0, 1].
        n: How many they are, 1 or more.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Confidence against accuracy.

    Args:
        bins: Those that hold images, in order.
        n_bins: Bins of equal width that [0, 1] was cut into.
        ece: Expected calibration error, in [0, 1]: the mean over images of |accuracy - confidence| of their bin.
        mean_confidence: In [0, 1]; above `accuracy` the classifier is surer than it is right.
    """

    bins: tuple[Bin, ...]
    n_bins: int
    ece: float
    mean_confidence: float
    accuracy: float


def calibration(confidence: Any, correct: Any, *, n_bins: int = N_BINS) -> Calibration:
    """Expected calibration error and what it is made of: ECE = sum over bins of n_bin / n * |accuracy - confidence|.

    Args:
        confidence: (n,) the probability given to the predicted class, in [0, 1]; n at least 1.
        correct: (n,) booleans, True where the prediction is right.
        n_bins: Bins of equal width, 1 or more. More bins show more and are noisier.

    Raises:
        ValueError: The shapes do not fit, or a confidence is outside [0, 1].

    References:
        Guo, Pleiss, Sun and Weinberger, "On calibration of modern neural networks", ICML 2017, equations 2 to 5;
        Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.

    Example:
        >>> result = calibration([0.9, 0.9, 0.6, 0.6], [True, True, True, False], n_bins=10)
        >>> round(result.ece, 3)
        0.1
    """
    confidence, correct = np.asarray(confidence, dtype=float), np.asarray(correct, dtype=bool)
    if confidence.ndim != 1 or not len(confidence) or confidence.shape != correct.shape:
        raise ValueError(f"Expected two arrays of one shape (n,). Received {confidence.shape} and {correct.shape}.")
    if not ((confidence >= 0) & (confidence <= 1 + 1e-6)).all():
        raise ValueError("Invalid confidence. Expected numbers in [0, 1].")
    edges = np.linspace(0.0, 1.0, n_bins + 1)
    place = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, n_bins - 1)
    bins = tuple(
        Bin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            confidence=float(confidence[place == index].mean()),
            accuracy=float(correct[place == index].mean()),
            n=int((place == index).sum()),
        )
        for index in np.unique(place)
    )
    return Calibration(
        bins=bins,
        n_bins=n_bins,
        ece=sum(part.n * abs(part.accuracy - part.confidence) for part in bins) / len(confidence),
        mean_confidence=float(confidence.mean()),
        accuracy=float(correct.mean()),
    )

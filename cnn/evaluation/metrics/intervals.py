"""How far a figure of one test set can be trusted: intervals of proportions, of rankings, of what has no formula."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.runtime import derived_seed

Counts = npt.NDArray[np.int64]

N_RESAMPLES = 1000
_CHUNK = 1 << 20  # numbers held at once: a chunk of resamples of a large test set
_NEXT_TO = 1e-12  # at 0 and 1 themselves the equation has a second, empty solution
_SEED = 0  # the same images are drawn for all models on the same test set


def wilson_interval(n_right: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion: good coverage also near 0 and 1, and never outside them.

    References:
        Wilson (1927), Probable inference, the law of succession, and statistical inference, JASA 22.

    Example:
        >>> low, high = wilson_interval(7000, 10000, confidence=0.95)
        >>> round(low, 4), round(high, 4)
        (0.6909, 0.7089)
    """
    from scipy.stats import binomtest

    interval = binomtest(n_right, n).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)


def auc_interval(auc: float, n_positive: int, n_negative: int, *, confidence: float) -> tuple[float, float]:
    """Newcombe's score interval of an area under the ROC curve: of some width also where all are ranked right.

    The ends are those A with |A - auc| = z sqrt(V(A)), where V is Hanley and McNeil's variance with both sample sizes
    replaced by their mean: V(A) = A (1 - A) (1 + s (1 - A) / (2 - A) + s A / (1 + A)) / (m n), s = (m + n) / 2 - 1.

    Args:
        auc: In [0, 1].
        n_positive: m, 1 or more; so is `n_negative`, n.

    References:
        Newcombe (2006), Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2,
        Statistics in Medicine 25, method 5; Hanley and McNeil (1982), Radiology 143.

    Example:
        >>> low, high = auc_interval(1.0, 20, 20, confidence=0.95)
        >>> round(low, 2), high
        (0.9, 1.0)
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z, s, pairs = float(norm.ppf((1 + confidence) / 2)), (n_positive + n_negative) / 2 - 1, n_positive * n_negative

    def beyond(a: float) -> float:
        variance = a * (1 - a) * (1 + s * (1 - a) / (2 - a) + s * a / (1 + a)) / pairs
        return float((a - auc) ** 2 - z**2 * variance)

    low = 0.0 if auc == 0 else float(brentq(beyond, 0.0, min(auc, 1 - _NEXT_TO)))
    high = 1.0 if auc == 1 else float(brentq(beyond, max(auc, _NEXT_TO), 1.0))
    return low, high


def bootstrap_interval(
    figure: Callable[[Counts], npt.NDArray[np.float64]], n: int, *, confidence: float
) -> tuple[float, float]:
    """Percentile interval of a figure over test sets drawn from the n images, with replacement, always the same ones.

    Args:
        figure: Takes (b, n) how often each image was drawn, gives (b,); NaN where a draw has no such figure.

    References:
        Efron (1979), Bootstrap methods: another look at the jackknife, Annals of Statistics 7.
    """
    values = np.concatenate([figure(counts) for counts in resamples(n)])
    tail = (1 - confidence) / 2
    low, high = np.quantile(values[np.isfinite(values)], [tail, 1 - tail])
    return float(low), float(high)


def drawn_average_precision(held: Any, given: Any, counts: Counts) -> npt.NDArray[np.float64]:
    """(b,) average precision in each draw; NaN where it has no positive image.

    Args:
        held: (n,) of 0 and 1.
        given: (n,) probabilities; images of equal ones come in together.
        counts: (b, n) how often each image was drawn.
    """
    order = np.argsort(-np.asarray(given), kind="stable")
    ranked = np.asarray(given)[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    drawn = counts[:, order]
    hits = np.cumsum(drawn * np.asarray(held)[order], axis=1)[:, ends]
    seen = np.cumsum(drawn, axis=1)[:, ends]
    steps = np.diff(hits, axis=1, prepend=0)
    positives = hits[:, -1]
    sums = (steps * hits / np.maximum(seen, 1)).sum(axis=1)
    return np.where(positives > 0, sums / np.maximum(positives, 1), np.nan)


def resamples(n: int) -> Iterator[Counts]:
    """(b, n) how often each image is drawn, `N_RESAMPLES` draws in all, always the same ones for the same n."""
    generator = np.random.default_rng(derived_seed(_SEED, "bootstrap"))
    size = max(1, _CHUNK // n)
    for start in range(0, N_RESAMPLES, size):
        draws = generator.integers(n, size=(min(size, N_RESAMPLES - start), n))
        yield np.stack([np.bincount(draw, minlength=n) for draw in draws])

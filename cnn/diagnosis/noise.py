"""How far figures move by chance alone: intervals for what images decide, noise and trends for what epochs show."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.stats import binomtest, kendalltau, theilslopes

Series = npt.NDArray[np.float64]

_MOST_POINTS = 200  # a longer curve is thinned out: no verdict needs more
_NORMAL_MEDIAN = 0.6745  # the median of |z| of a standard normal z


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """How a series moves.

    Args:
        slope: Theil-Sen, a step.
        p_rising: One-sided, of Kendall's test: how probable so much rising is in a series without trend.
        p_falling: The same for falling.
    """

    slope: float
    p_rising: float
    p_falling: float


def fraction_interval(fraction: float, n: int, *, confidence: float) -> Interval:
    """Wilson's score interval of a fraction of `n` images, both in [0, 1].

    Example:
        >>> interval = fraction_interval(1.0, 20, confidence=0.95)
        >>> round(interval.low, 3), interval.high
        (0.839, 1.0)
    """
    found = binomtest(round(fraction * n), n).proportion_ci(confidence, method="wilson")
    return Interval(estimate=fraction, low=min(float(found.low), fraction), high=max(float(found.high), fraction))


def difference_interval(first: float, n_first: int, second: float, n_second: int, *, confidence: float) -> Interval:
    """Of `first - second`, two fractions on different images.

    References:
        Newcombe, "Interval estimation for the difference between independent proportions", 1998, method 10.

    Example:
        >>> interval = difference_interval(56 / 70, 70, 48 / 80, 80, confidence=0.95)
        >>> round(interval.low, 4), round(interval.high, 4)
        (0.0524, 0.3339)
    """
    one = fraction_interval(first, n_first, confidence=confidence)
    other = fraction_interval(second, n_second, confidence=confidence)
    difference = first - second
    down = math.hypot(first - one.low, other.high - second)
    up = math.hypot(one.high - first, second - other.low)
    return Interval(estimate=difference, low=difference - down, high=difference + up)


def beyond_chance(fraction: float, n: int, chance: float) -> float:
    """How probable `fraction` of `n` or more is, when each image is right with probability `chance`."""
    return float(binomtest(round(fraction * n), n, chance, alternative="greater").pvalue)


def epoch_noise(values: Sequence[float]) -> float:
    """Standard deviation from epoch to epoch, whatever smooth course the series takes; 0 below three epochs.

    From the median of the second differences, which a straight line has none of: (x[t-1] - 2 x[t] + x[t+1]) has
    6 times the variance of the noise.

    Example:
        >>> epoch_noise([1.0, 0.9, 0.8, 0.7]) < 1e-12
        True
    """
    if len(values) < 3:
        return 0.0
    return float(np.median(np.abs(np.diff(values, 2))) / (_NORMAL_MEDIAN * math.sqrt(6)))


def trend(values: Sequence[float]) -> Trend:
    """The trend of a series; below three points, or where nothing moves, none."""
    if len(values) < 3 or len(set(values)) == 1:
        return Trend(slope=0.0, p_rising=1.0, p_falling=1.0)
    series = thinned(values)
    tested = kendalltau(np.arange(len(series)), series, alternative="greater")
    p_rising = float(tested.pvalue)
    p_falling = float(kendalltau(np.arange(len(series)), -series, alternative="greater").pvalue)
    slope = float(theilslopes(series)[0]) * (len(series) - 1) / (len(values) - 1)
    return Trend(slope=slope, p_rising=p_rising, p_falling=p_falling)


def turning_point(values: Sequence[float]) -> int:
    """Where a series stops falling and begins to rise: the lowest point of the falling, then rising, curve nearest it.

    One epoch that is low by chance is no turn: all points before and after it have a say.

    Args:
        values: At least one.

    Returns:
        A position in `values`; the last when it falls to its end.

    Example:
        >>> turning_point([5.0, 3.0, 2.0, 1.0, 1.5, 2.5, 3.5])
        3
    """
    series = thinned(values)
    n = len(series)
    falling = [_misfit(series[: turn + 1][::-1]) for turn in range(n)]
    rising = [_misfit(series[turn:]) for turn in range(n)]
    turn = int(np.argmin(np.add(falling, rising)))
    return round(turn * (len(values) - 1) / max(1, n - 1))


def thinned(values: Sequence[float]) -> Series:
    """At most 200 points of a series, evenly spread, first and last among them."""
    series = np.asarray(values, np.float64)
    if len(series) <= _MOST_POINTS:
        return series
    kept: Series = series[np.linspace(0, len(series) - 1, _MOST_POINTS).round().astype(int)]
    return kept


def _misfit(series: Series) -> float:
    """Squared distance to the nearest rising curve."""
    return float(((isotonic_regression(series).x - series) ** 2).sum())

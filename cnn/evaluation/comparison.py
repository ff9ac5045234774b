"""Whether the challenger is better than the champion on the same images, beyond luck.

Only the images on which exactly one of the two is right say anything; the images both get right or wrong cancel out.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """A comparison of two classifiers on the same n images.

    Args:
        wins: Images only the challenger gets right.
        losses: Images only the champion gets right.
        difference: Accuracy of the challenger minus that of the champion, in [-1, 1].
        low: Lower end of the difference's interval; `high` is its upper end.
        p_value: Chance of as many wins or more if the two were equally good.
    """

    wins: int
    losses: int
    n: int
    difference: float
    low: float
    high: float
    p_value: float


def mcnemar(challenger_correct: Any, champion_correct: Any, *, confidence: float = 0.95) -> PairedTest:
    """Exact one-sided McNemar test, and an interval of the accuracy difference.

    Given w wins among d = w + l discordant images, p = P(X >= w) with X ~ Binomial(d, 1/2); p = 1 when d = 0.

    Args:
        challenger_correct: (n,) booleans, True where the challenger is right; n at least 1.
        champion_correct: (n,) booleans, for the same images in the same order.
        confidence: Of the two-sided interval, in (0, 1).

    Raises:
        ValueError: The two do not have one shape (n,).

    References:
        McNemar (1947), Psychometrika 12; Dietterich (1998), Neural Computation 10, on comparing classifiers with it.

    Example:
        >>> result = mcnemar([True] * 9 + [False], [False] * 6 + [True] * 4)
        >>> result.wins, result.losses, result.p_value
        (6, 1, 0.0625)
    """
    challenger, champion = np.asarray(challenger_correct, dtype=bool), np.asarray(champion_correct, dtype=bool)
    if challenger.ndim != 1 or not len(challenger) or challenger.shape != champion.shape:
        raise ValueError(f"Expected two arrays of one shape (n,). Received {challenger.shape} and {champion.shape}.")
    wins, losses = int((challenger & ~champion).sum()), int((champion & ~challenger).sum())
    low, high = paired_interval(wins, losses, len(challenger), confidence=confidence)
    return PairedTest(
        wins=wins,
        losses=losses,
        n=len(challenger),
        difference=(wins - losses) / len(challenger),
        low=low,
        high=high,
        p_value=_one_sided_p(wins, losses),
    )


def paired_interval(wins: int, losses: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Agresti and Min's interval of a difference of paired proportions, cut to [-1, 1].

    Wald's interval after adding 1/2 to each of the four cells: with b = wins + 1/2, c = losses + 1/2, m = n + 2,
    (b - c) / m +- z * sqrt(b + c - (b - c)**2 / m) / m.

    References:
        Agresti and Min (2005), Simple improved confidence intervals for comparing matched proportions,
        Statistics in Medicine 24.

    Example:
        >>> low, high = paired_interval(340, 260, 10_000, confidence=0.95)
        >>> round(low, 4), round(high, 4)
        (0.0032, 0.0128)
    """
    from scipy.stats import norm

    b, c, m = wins + 0.5, losses + 0.5, n + 2
    half_width = float(norm.ppf((1 + confidence) / 2)) * math.sqrt(b + c - (b - c) ** 2 / m) / m
    middle = (b - c) / m
    return max(middle - half_width, -1.0), min(middle + half_width, 1.0)


def _one_sided_p(wins: int, losses: int) -> float:
    from scipy.stats import binomtest

    if wins + losses == 0:
        return 1.0
    return float(binomtest(wins, wins + losses, alternative="greater").pvalue)

"""Whether the challenger is better than the champion on the same images, beyond luck.

Where the score is the accuracy, only the images on which exactly one of the two is right say anything; other scores are
compared over test sets drawn from the one there is, the same images for both.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn.evaluation.drawn_scores import drawn_score
from cnn.evaluation.metrics.intervals import resamples
from cnn.evaluation.predictions import Predictions
from cnn.records import Task
from cnn.training.answers import score


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """A comparison of two classifiers on the same n images.

    Args:
        wins: Images only the challenger gets entirely right.
        losses: Images only the champion gets entirely right.
        difference: Score of the challenger minus that of the champion, in [-1, 1]; of `mcnemar` the accuracy.
        low: Lower end of the difference's interval; `high` is its upper end.
        p_value: Chance of such a difference or a larger one if the challenger were no better; with a margin, if it
            were worse by the margin.
    """

    wins: int
    losses: int
    n: int
    difference: float
    low: float
    high: float
    p_value: float


def paired_test(challenger: Predictions, champion: Predictions, *, margin: float = 0.0) -> PairedTest:
    """By the task's own score: `mcnemar` where that is the accuracy, `paired_bootstrap` elsewhere.

    Args:
        margin: By how much the challenger may be worse, in [0, 1).

    Raises:
        ValueError: The two are not about the same images.
    """
    if not np.array_equal(challenger.labels, champion.labels):
        raise ValueError("Expected predictions of the same images. Received other labels.")
    if challenger.head.task is Task.MULTICLASS:
        return mcnemar(challenger.correct, champion.correct, margin=margin)
    return paired_bootstrap(challenger, champion, margin=margin)


def mcnemar(
    challenger_correct: Any, champion_correct: Any, *, confidence: float = 0.95, margin: float = 0.0
) -> PairedTest:
    """Exact one-sided McNemar test, and an interval of the accuracy difference; with a margin Tango's score test.

    Given w wins among d = w + l discordant images, p = P(X >= w) with X ~ Binomial(d, 1/2); p = 1 when d = 0.

    Args:
        challenger_correct: (n,) booleans, True where the challenger is right; n at least 1.
        champion_correct: (n,) booleans, for the same images in the same order.
        confidence: Of the two-sided interval, in (0, 1).
        margin: By how much the challenger may be worse, in [0, 1).

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
    wins, losses, n = int((challenger & ~champion).sum()), int((champion & ~challenger).sum()), len(challenger)
    low, high = paired_interval(wins, losses, n, confidence=confidence)
    return PairedTest(
        wins=wins,
        losses=losses,
        n=n,
        difference=(wins - losses) / n,
        low=low,
        high=high,
        p_value=tango_p(wins, losses, n, margin) if margin else sign_p(wins, losses),
    )


def paired_bootstrap(challenger: Predictions, champion: Predictions, *, margin: float = 0.0) -> PairedTest:
    """The difference of the task's own scores, over test sets drawn from the n images with replacement.

    p is the larger of two: the part of the draws in which the challenger is worse by the margin or more, and the normal
    tail beyond (difference + margin) / s, with s the standard deviation over the draws. The draws alone could not tell
    a p below one in their number, the tail alone would trust the bell shape where the draws contradict it.

    References:
        Efron and Tibshirani, An introduction to the bootstrap, 1993, chapters 13 and 16.
    """
    from scipy.special import ndtr

    n = len(challenger.labels)
    drawn = np.concatenate([drawn_score(challenger, counts) - drawn_score(champion, counts) for counts in resamples(n)])
    drawn = drawn[np.isfinite(drawn)]
    both = (score(one.labels, one.probs, one.head) for one in (challenger, champion))
    difference = next(both) - next(both)
    low, high = np.quantile(drawn, [0.025, 0.975])
    beyond, spread = difference + margin, float(np.std(drawn, ddof=1))
    tail = float(ndtr(-beyond / spread)) if spread else float(beyond <= 0)
    return PairedTest(
        wins=int((challenger.correct & ~champion.correct).sum()),
        losses=int((champion.correct & ~challenger.correct).sum()),
        n=n,
        difference=difference,
        low=float(low),
        high=float(high),
        p_value=max(tail, float(np.mean(drawn <= -margin))),
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
    from scipy.special import ndtri

    b, c, m = wins + 0.5, losses + 0.5, n + 2
    half_width = float(ndtri((1 + confidence) / 2)) * math.sqrt(b + c - (b - c) ** 2 / m) / m
    middle = (b - c) / m
    return max(middle - half_width, -1.0), min(middle + half_width, 1.0)


def sign_p(wins: int, losses: int) -> float:
    """P(X >= wins), X ~ Binomial(wins + losses, 1/2): 1 without a discordant image.

    Example:
        >>> sign_p(5, 1)
        0.109375
    """
    from scipy.special import betainc  # the same as scipy.stats has, without what that does around it

    return float(betainc(wins, losses + 1, 0.5)) if wins else 1.0


def tango_p(wins: int, losses: int, n: int, margin: float) -> float:
    """Chance of such a difference or a larger one, were the challenger worse by exactly the margin.

    The score test of H: p_w - p_l = -margin: z = (w - l + n margin) / sqrt(n (2 q - margin - margin**2)), where q is
    the estimate of p_l under H, the larger root of 2 n q**2 - (w + l + (2 n - w + l) margin) q
    + l margin (1 + margin) = 0.

    Args:
        margin: Above 0, below 1.

    References:
        Tango (1998), Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design, Statistics in Medicine 17, equations 12 and 13.

    Example:
        >>> round(tango_p(30, 30, 10_000, margin=0.005), 4)
        0.0
        >>> round(tango_p(30, 80, 10_000, margin=0.005), 2)
        0.5
    """
    from scipy.special import ndtr

    b = wins + losses + (2 * n - wins + losses) * margin
    q = (b + math.sqrt(max(b**2 - 8 * n * losses * margin * (1 + margin), 0.0))) / (4 * n)
    return float(ndtr(-(wins - losses + n * margin) / math.sqrt(n * (2 * q - margin - margin**2))))

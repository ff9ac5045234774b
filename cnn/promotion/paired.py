"""Rules that hold a challenger against the champion, image by image."""

from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.evaluation.comparison import PairedTest
from cnn.evaluation.predictions import Predictions
from cnn.promotion.ruling import Ruling
from cnn.records import Task

_MOST_NAMED = 3


def better(test: PairedTest, *, level: float, margin: float, look: int) -> Ruling:
    """The challenger is better beyond luck; with a margin, not worse by more than that.

    Args:
        level: At which this look is tested.
        margin: 0 or more, of the score.
        look: Its number, 1 or more.
    """
    within = test.p_value <= level and level > 0  # a p-value too small for a float is 0, and is not within nothing
    passed = within and test.difference > -margin
    relation = "within" if within else "not within"
    wins = f"right where the champion is wrong on {test.wins} of {test.n} images"
    counts = f"{wins}, wrong where it is right on {test.losses}"
    tested = f"p = {test.p_value:.2g}, {relation} the {level:.2g} of look {look} at these images"
    points = 100 * test.difference
    if margin:
        sentence = f"{points:+.2f} points, to be above -{100 * margin:g}: {counts}; {tested}"
    elif test.difference <= 0:
        sentence = f"not better: {counts}"
    else:
        sentence = f"better by {points:.2f} points: {counts}; {tested}"
    return Ruling(rule="better", passed=passed, sentence=sentence, figure=test.p_value, limit=level)


def classes(challenger: Predictions, champion: Predictions, *, limit: float, alpha: float) -> Ruling:
    """No class has lost more of its recall than is allowed, beyond luck.

    A class fails when its recall fell by more than `limit` and an exact McNemar test on its images, the other way
    round, has p <= alpha / k over k classes. With several labels an image a class is the images that bear the label.

    Example:
        >>> labels, sure = np.repeat([0, 1], 100), np.eye(2, dtype=np.float32)
        >>> champion = Predictions(labels=labels, probs=sure[labels])
        >>> challenger = Predictions(labels=labels, probs=sure[np.where(np.arange(200) < 10, 1, labels)])
        >>> classes(challenger, champion, limit=0.03, alpha=0.05).sentence
        'class 0 lost 10.0 points of recall, more than 3 beyond luck'
    """
    n, wins, losses = class_counts(challenger, champion)
    occurring = n > 0
    lost = np.where(occurring, (losses - wins) / np.maximum(n, 1), 0.0)
    worse = (lost > limit) & (_sign_ps(losses, wins) <= alpha / max(1, int(occurring.sum())))
    names = challenger.class_names or tuple(f"class {number}" for number in range(len(n)))
    most = int(np.argmax(lost))
    if worse.any():
        order = [int(number) for number in np.argsort(-lost) if worse[number]]
        said = ", ".join(f"{names[number]} lost {100 * lost[number]:.1f}" for number in order[:_MOST_NAMED])
        rest = f" (and {len(order) - _MOST_NAMED} more classes)" if len(order) > _MOST_NAMED else ""
        sentence = f"{said} points of recall, more than {100 * limit:g} beyond luck{rest}"
    elif lost[most] > 0:
        sentence = f"the class that lost most is {names[most]}, {100 * lost[most]:.1f} points of its recall"
    else:
        sentence = "no class lost any of its recall"
    return Ruling(rule="classes", passed=not worse.any(), sentence=sentence, figure=float(lost[most]), limit=limit)


def class_counts(challenger: Predictions, champion: Predictions) -> tuple[Any, Any, Any]:
    """(k,) each: images of a class, those only the challenger finds, those only the champion finds."""
    labels = challenger.labels
    if challenger.head.task is Task.MULTILABEL:
        held = labels == 1
        found, found_before = (held & (one.predicted == 1) for one in (challenger, champion))
        return held.sum(axis=0), (found & ~found_before).sum(axis=0), (found_before & ~found).sum(axis=0)
    k, right, right_before = challenger.probs.shape[1], challenger.correct, champion.correct
    only, only_before = labels[right & ~right_before], labels[right_before & ~right]
    return tuple(np.bincount(part, minlength=k) for part in (labels, only, only_before))  # type: ignore[return-value]


def calibration(challenger: Predictions, champion: Predictions, *, limit: float, alpha: float) -> Ruling:
    """The probabilities are not worse: the Brier score has not grown by more than is allowed, beyond luck.

    It fails when the mean of the images' differences is above `limit` and a one-sided paired t-test has p <= alpha.

    References:
        Brier (1950), Verification of forecasts expressed in terms of probability, Monthly Weather Review 78.
    """
    before, now = (brier(one) for one in (champion, challenger))
    grown = now - before
    mean = float(grown.mean())
    error = float(grown.std(ddof=1)) / len(grown) ** 0.5 if len(grown) > 1 else 0.0
    worse = mean > limit and _t_p(mean, error, len(grown)) <= alpha
    change = f"the Brier score went from {before.mean():.4f} to {now.mean():.4f}"
    sentence = f"{change}, worse by more than {limit:g} beyond luck" if worse else change
    return Ruling(rule="calibration", passed=not worse, sentence=sentence, figure=mean, limit=limit)


def brier(predictions: Predictions) -> npt.NDArray[np.float64]:
    """(n,) the squared distance of an image's probabilities (k,) from the truth, 0 to 2; with several labels the mean
    over them, 0 to 1.

    Example:
        >>> brier(Predictions(labels=np.array([0]), probs=np.float32([[0.5, 0.5]]))).tolist()
        [0.5]
    """
    probs = predictions.probs.astype(np.float64)
    if predictions.head.task is Task.MULTILABEL:
        return np.asarray(((probs - predictions.labels) ** 2).mean(axis=1))
    own = np.take_along_axis(probs, predictions.labels[:, None], axis=1)[:, 0]
    return np.asarray((probs**2).sum(axis=1) - 2 * own + 1)


def _sign_ps(wins: Any, losses: Any) -> Any:
    """(k,) P(X >= wins), X ~ Binomial(wins + losses, 1/2)."""
    from scipy.special import betainc

    return np.where(wins > 0, betainc(np.maximum(wins, 1), losses + 1, 0.5), 1.0)


def _t_p(mean: float, error: float, n: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(n - 1, -mean / error)) if error else float(mean <= 0)

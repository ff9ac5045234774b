"""From a curve to its diagnosis: the rules, in the order in which they are asked."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cnn.diagnosis.noise import beyond_chance
from cnn.diagnosis.reading import Reading, Sizes, read_curve
from cnn.diagnosis.remedies import remedies
from cnn.diagnosis.verdict import FEWEST_EPOCHS, Diagnosis, Verdict
from cnn.records import Curve

_SURER = 1.3  # widens an interval of 95 % to one of 99 %: the best epoch was chosen for its validation accuracy
_WASTE_EPOCHS = 15  # fewer idle ones than that are no loss
_GRASPED = 0.03  # in accuracy: a network that is held down learns something all the same
_SHORT = 12  # epochs: until then a schedule that has ended may have ended too early
_ENDED = 0.1  # of the highest learning rate
_CLEARLY = 2.0  # times what the images give by chance
_FEW_JUMPS = 3.5  # over the root of the epochs: noise measured on few of them is itself beyond 1 + this once in 20
_STILL = 1e-4  # a change of the gap in accuracy, an epoch, that nobody would see


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the rules count as enough. The defaults were chosen on the tuning part of the labelled runs.

    Args:
        confidence: Of the intervals, in (0, 1).
        gap: A gap in accuracy that matters.
        noise: Noise from epoch to epoch that is too much, as a part of the way from guessing to 1.
        learnt: What a network that can hold its task reaches on training images, as a part of that way.
        noise_loss: The same for the clean loss, over that of guessing.
        pace: Of the last third, as a part of the mean pace, from which on a run is still learning.
        idle: The part of a run's epochs that may bring nothing.
        rise: A rise of the validation loss that matters, as a part of its lowest level.
        alpha: Level of the tests of trends.
        suspect: By how much validation must be better than clean training to be suspect.
        blown_up: A clean loss, at the end, that is no learning any more, over that of guessing.
        peak: The same for the highest of all epochs.
    """

    confidence: float = 0.95
    gap: float = 0.05
    noise: float = 0.015
    noise_loss: float = 0.045
    learnt: float = 0.85
    pace: float = 0.2
    idle: float = 0.6
    rise: float = 0.15
    alpha: float = 0.05
    suspect: float = 0.02
    blown_up: float = 2.0
    peak: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A curve with its numbers, as the rules see it."""

    reading: Reading
    sizes: Sizes
    limits: Limits


def diagnose(
    curve: Curve,
    sizes: Sizes,
    *,
    reason: str = "",
    recipe: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> Diagnosis:
    """What a curve shows, why, and what to do about it.

    Args:
        sizes: Of what it was scored on.
        reason: Why the run ended, as an outcome has it: `NaN loss at epoch 2` is no row of the curve.
        recipe: What was trained, for remedies with values; None: remedies in words.

    Example:
        >>> from cnn.diagnosis.reading import Sizes
        >>> from cnn.records import EpochRow
        >>> row = dict(train_loss=0, train_accuracy=0, learning_rate=0.1, seconds=1.0)
        >>> curve = tuple(
        ...     EpochRow(epoch=t, clean_train_loss=2 / (t + 2), clean_train_accuracy=1 - 1 / (t + 2),
        ...              val_loss=0.7 + 0.02 * abs(t - 5), val_accuracy=0.75 - 0.001 * abs(t - 5),
        ...              val_score=0.75 - 0.001 * abs(t - 5), **row)
        ...     for t in range(20)
        ... )
        >>> diagnose(curve, Sizes(n_clean=5000, n_val=5000, n_classes=10)).verdict
        <Verdict.OVERFITTING: 'overfitting'>
    """
    figures = sizes.figures()
    if "NaN" in reason:
        return _diagnosis(Verdict.DIVERGED, [f"the loss stopped being a number ({reason})."], figures, recipe)
    if not curve:
        said = [f"no epoch was finished ({reason or 'no reason given'})."]
        return _diagnosis(Verdict.UNDECIDED, said, figures | {"n_epochs": 0.0}, recipe)
    limits = limits or Limits()
    case = Case(reading=read_curve(curve, sizes, confidence=limits.confidence), sizes=sizes, limits=limits)
    verdict, evidence = next((verdict, said) for verdict, rule in _RULES if (said := rule(case)))
    return _diagnosis(verdict, [*evidence, *_context(case, evidence)], figures | case.reading.figures(), recipe)


# ---- the rules: each gives its evidence, or nothing


def _diverged(case: Case) -> list[str]:
    reading = case.reading
    times = max(reading.blown_up, reading.peak if reading.peak >= case.limits.peak else 0.0)
    if times < case.limits.blown_up:
        return []
    return [f"clean training loss reaches {times * case.sizes.chance_loss:.3g}, {times:.1f} times what guessing has."]


def _not_learning(case: Case) -> list[str]:
    reading, sizes = case.reading, case.sizes
    p = beyond_chance(reading.clean_accuracy.estimate, sizes.n_clean, sizes.chance) * reading.n_epochs
    unlearnt = reading.loss_learnt < 0.02 and reading.learnt < 0.15
    at_chance = p > 0.001 and reading.clean_accuracy.high < sizes.chance + 0.1
    if reading.n_epochs < FEWEST_EPOCHS or reading.grasped >= _GRASPED or not (unlearnt or at_chance):
        return []
    return [
        f"after {_epochs(reading.n_epochs)} clean training accuracy is {reading.clean_accuracy.estimate:.3f}, where "
        f"guessing gives {sizes.chance:.3f}, and the loss has fallen by {max(0.0, reading.loss_learnt):.1%} below "
        f"that of guessing."
    ]


def _data_suspect(case: Case) -> list[str]:
    reading, limits = case.reading, case.limits
    surely = reading.gap.estimate + _SURER * (reading.gap.high - reading.gap.estimate) < 0
    if not (surely and reading.gap.estimate <= -limits.suspect and reading.gap_typical < limits.suspect):
        return []
    return [
        f"validation is better than clean training by {-reading.gap.estimate:.3f} ({-reading.gap.high:.3f} to "
        f"{-reading.gap.low:.3f}), which two samples of {case.sizes.n_val} and {case.sizes.n_clean} images of the same "
        f"kind do not show."
    ]


def _unstable(case: Case) -> list[str]:
    reading = case.reading
    loud = reading.noise >= case.limits.noise and reading.noise_loss >= case.limits.noise_loss
    clearly = max(_CLEARLY, 1 + _FEW_JUMPS / math.sqrt(reading.noisy_epochs))
    if reading.n_epochs < 2 * FEWEST_EPOCHS or not loud or reading.jumps < clearly * reading.jumps_chance:
        return []
    return [
        f"accuracy jumps by {reading.jumps:.3f} from epoch to epoch, on training and validation images at once, where "
        f"chance with so many images gives {reading.jumps_chance:.3f} at most."
    ]


def _overfitting(case: Case) -> list[str]:
    reading, limits = case.reading, case.limits
    wide = reading.gap.low > 0 and reading.gap.estimate >= limits.gap
    beyond = reading.gap_typical > max(limits.gap / 2, reading.gap.high - reading.gap.estimate)
    turned = _turned(case) and beyond
    if not (wide or turned):
        return []
    return [*([_turn_words(case)] if _turned(case) else []), _gap_words(case)]


def _still_learning(case: Case) -> list[str]:
    reading, last, limits = case.reading, case.reading.last, case.limits
    if reading.n_epochs < FEWEST_EPOCHS or last.p > limits.alpha:
        return []
    falls = f"validation loss still falls by {-last.slope:.3g} an epoch over the last {last.n_epochs} epochs"
    if last.pace >= limits.pace:
        return [f"{falls}, {last.pace:.2f} of its mean pace."]
    if reading.n_epochs < _SHORT and reading.annealed < _ENDED and _poor(case):
        return [f"{falls}, and slower only because the learning rate has ended after {_epochs(reading.n_epochs)}."]
    return []


def _underfitting(case: Case) -> list[str]:
    reading, clean = case.reading, case.reading.clean_accuracy
    if reading.n_epochs < FEWEST_EPOCHS or not _poor(case):
        return []
    return [
        f"the network no longer improves, and is right on only {clean.estimate:.3f} ({clean.low:.3f} to "
        f"{clean.high:.3f}) of its own training images."
    ]


def _unborne(case: Case) -> list[str]:
    """What the sizes of the samples, or the epochs, can't bear."""
    reading, limits, sizes = case.reading, case.limits, case.sizes
    if reading.n_epochs < FEWEST_EPOCHS:
        are = "is" if reading.n_epochs == 1 else "are"
        return [f"{_epochs(reading.n_epochs)} {are} too few to tell a trend from chance."]
    if reading.gap.high >= 2 * limits.gap or reading.gap.high - reading.gap.low >= 4 * limits.gap:
        return [
            f"with {sizes.n_clean} of the training images, scored cleanly, and {sizes.n_val} validation images the gap "
            f"is {_signed(reading.gap)}: it may be none, and it may be one that matters."
        ]
    return []


def _plateau(case: Case) -> list[str]:
    reading = case.reading
    idle = reading.n_epochs - reading.improved_until
    if idle < _WASTE_EPOCHS or idle < case.limits.idle * reading.n_epochs:
        return []
    return [
        f"validation loss has stayed at one level, within its own noise, since epoch {reading.improved_until + 1} of "
        f"{reading.n_epochs}."
    ]


def _healthy(case: Case) -> list[str]:
    return [f"the network learns what it is shown, and it holds for other images: {_gap_words(case)}"]


_RULES: tuple[tuple[Verdict, Callable[[Case], list[str]]], ...] = (
    (Verdict.DIVERGED, _diverged),
    (Verdict.NOT_LEARNING, _not_learning),
    (Verdict.UNSTABLE, _unstable),
    (Verdict.OVERFITTING, _overfitting),
    (Verdict.DATA_SUSPECT, _data_suspect),
    (Verdict.STILL_LEARNING, _still_learning),
    (Verdict.UNDERFITTING, _underfitting),
    (Verdict.UNDECIDED, _unborne),
    (Verdict.PLATEAU, _plateau),
    (Verdict.HEALTHY, _healthy),
)


# ---- what they are made of


def _poor(case: Case) -> bool:
    """Whether the network has surely not learnt its own training images."""
    clean = case.reading.clean_accuracy
    most = case.reading.learnt + (clean.high - clean.estimate) / (1 - case.sizes.chance)
    return most < case.limits.learnt


def _turned(case: Case) -> bool:
    """Whether validation loss rises: beyond the curve's noise, beyond its images' chance, and enough to matter."""
    rise, limits = case.reading.rise, case.limits
    return rise.p < limits.alpha / 5 and rise.images_z > 2 and rise.share > limits.rise


def _turn_words(case: Case) -> str:
    rise = case.reading.rise
    clean = "falls" if rise.clean_slope < 0 else "does not fall"
    return (
        f"validation loss rises from epoch {rise.epoch + 1} on, by {rise.slope:.3g} an epoch, while clean training "
        f"loss {clean}."
    )


def _gap_words(case: Case) -> str:
    reading = case.reading
    moves = f"{'widens' if reading.gap_slope > 0 else 'narrows'} by {abs(reading.gap_slope):.2g} an epoch"
    if abs(reading.gap_slope) < _STILL:
        moves = "stays as it is"
    return f"the gap in accuracy at the best epoch, {reading.best + 1}, is {_signed(reading.gap)}, and {moves}."


def _context(case: Case, said: list[str]) -> list[str]:
    reading = case.reading
    gap = [] if any("gap" in sentence for sentence in said) else [_gap_words(case)]
    moves = (
        f"Accuracy moves by {reading.jumps:.3f} from epoch to epoch; chance with so many images gives "
        f"{reading.jumps_chance:.3f} at most."
    )
    return [*gap, *([] if any("jumps" in sentence for sentence in said) else [moves])]


def _signed(interval: Any) -> str:
    return f"{interval.estimate:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})"


def _epochs(n: int) -> str:
    return "1 epoch" if n == 1 else f"{n} epochs"


def _diagnosis(
    verdict: Verdict, evidence: list[str], figures: dict[str, float], recipe: Mapping[str, Any] | None
) -> Diagnosis:
    finite = {name: value for name, value in figures.items() if math.isfinite(value)}
    return Diagnosis(
        verdict=verdict, evidence=tuple(evidence), figures=finite, remedies=remedies(verdict, recipe, finite)
    )

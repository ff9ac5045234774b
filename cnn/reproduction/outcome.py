"""Whether what was made again is what it was: bit for bit, within what another seed changes, or another model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cnn.durable import read_sealed
from cnn.evaluation.comparison import mcnemar
from cnn.evaluation.predictions import Predictions, read_predictions
from cnn.records import Task

_Z = 1.959964  # two-sided 95 %


class Sameness(StrEnum):
    """How much alike two models are."""

    IDENTICAL = "bit-identical"
    ALIKE = "within the spread of seeds"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureChange:
    """A figure then and now; NaN where it did not exist."""

    name: str
    then: float
    now: float

    @property
    def difference(self) -> float:
        return self.now - self.then


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The verdict on what was made again.

    Args:
        reason: What it rests on, in a sentence.
        figures: All of them, equal ones too.
    """

    sameness: Sameness
    reason: str
    figures: tuple[FigureChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a training and its evaluation gave: `train.json`, `evaluate.json`, the predictions."""

    trained: Mapping[str, Any]
    evaluated: Mapping[str, Any]
    predictions: Predictions

    @property
    def figures(self) -> dict[str, float]:
        """Its numbers by name; those of training and validation beside those of the test."""
        of_training = {name: value for name, value in self.trained.items() if _is_number(value)}
        of_test = {
            name: value for name, value in self.evaluated.items() if _is_number(value) and name not in of_training
        }
        return {**{f"test {name}": float(value) for name, value in of_test.items()}, **of_training}


def read_result(trained: Path, evaluated: Path) -> Result:
    """A result from the folders of its two steps, or twice the folder where all was kept.

    Raises:
        IntegrityError: A file is missing or damaged.
    """
    figures = read_sealed(evaluated / "evaluate.json", made_by="cnn evaluate")
    predictions = read_predictions(evaluated / "predictions.npz", figures["predictions_sha256"])
    return Result(
        trained=read_sealed(trained / "train.json", made_by="cnn train"), evaluated=figures, predictions=predictions
    )


def outcome_of(then: Result, now: Result, *, spread: float = 0.0) -> Outcome:
    """Compare a result with the one it should give again.

    Bit-identical: the digests of the model and of the predictions are equal. Within the spread of seeds: the accuracy
    on the same test images differs by at most w = sqrt(a**2 + b**2), with a half the 95 % interval of the paired
    difference (Agresti and Min) and b = 1.96 * sqrt(2) * s: two runs of one recipe with other seeds, of which s is the
    standard deviation over the winner's seeds in the search, differ by more in one case of twenty.

    Args:
        spread: s, in accuracy; 0 where it is not known, which leaves a alone.
    """
    figures = _changes(then.figures, now.figures)
    if _digests(then) == _digests(now):
        reason = "the model's file and the predictions have the digests that they had"
        return Outcome(sameness=Sameness.IDENTICAL, reason=reason, figures=figures)
    if then.evaluated["test_hash"] != now.evaluated["test_hash"]:
        return Outcome(sameness=Sameness.DIFFERENT, reason="the test images are others", figures=figures)
    test = mcnemar(now.predictions.correct, then.predictions.correct)
    width = math.hypot((test.high - test.low) / 2, _Z * math.sqrt(2) * spread)
    sameness = Sameness.ALIKE if abs(test.difference) <= width else Sameness.DIFFERENT
    relation = "at most" if sameness is Sameness.ALIKE else "more than"
    known = f"their spread in the search was {100 * spread:.2f}" if spread else "their spread is not known"
    reason = (
        f"accuracy on the same {test.n:,} test images {100 * test.difference:+.2f} points, {relation} the "
        f"{100 * width:.2f} that luck and another seed explain ({known}); {_what_differs(then, now)}"
    )
    return Outcome(sameness=sameness, reason=reason, figures=figures)


def other_data(then: str, now: str) -> Outcome:
    """The verdict where not even the data are the same: training on them would say nothing."""
    reason = f"the data are others: hash {now[:12]}…, they were {then[:12]}…"
    return Outcome(sameness=Sameness.DIFFERENT, reason=reason, figures=())


def seed_spread(winner: Path, task: Task) -> float:
    """Standard deviation of the winner's accuracy over the seeds it was trained with in the search; 0 if unknown."""
    if task is not Task.MULTICLASS or not winner.exists():
        return 0.0
    return float(read_sealed(winner, made_by="cnn search").get("spread", 0.0))


def _digests(result: Result) -> tuple[str, str]:
    return result.trained["model_sha256"], result.evaluated["predictions_sha256"]


def _what_differs(then: Result, now: Result) -> str:
    n = int(
        (then.predictions.predicted != now.predictions.predicted).reshape(len(then.predictions.labels), -1).any(1).sum()
    )
    return f"the answers differ on {n:,} images"


def _changes(then: Mapping[str, float], now: Mapping[str, float]) -> tuple[FigureChange, ...]:
    names = dict.fromkeys([*then, *now])
    nan = float("nan")
    return tuple(FigureChange(name=name, then=then.get(name, nan), now=now.get(name, nan)) for name in names)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

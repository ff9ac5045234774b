"""What is said of a learning curve: a verdict, its evidence, and what to do about it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from cnn.records import Scalar

FEWEST_EPOCHS = 4  # with three, a fall in each of them still comes by chance once in six


class Verdict(StrEnum):
    """What a curve shows. `UNDECIDED`: too few images, or too few epochs, to say any of the others."""

    HEALTHY = "healthy"
    OVERFITTING = "overfitting"
    UNDERFITTING = "underfitting"
    STILL_LEARNING = "still_learning"
    PLATEAU = "plateau"
    UNSTABLE = "unstable"
    DIVERGED = "diverged"
    NOT_LEARNING = "not_learning"
    DATA_SUSPECT = "data_suspect"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field of a recipe that a remedy moves.

    Args:
        path: The field's dotted path, as a search space names it.
        direction: `up`, `down`, or `to` for a value that has no order.
        value: The value it would get in the diagnosed recipe.
    """

    path: str
    direction: str
    value: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """Something to try.

    Args:
        name: `early_stopping`, `dropout`, ...: a key of `cnn.diagnosis.remedies.REMEDIES`.
        changes: What it would change in the recipe; empty when nothing in a recipe can do it, or no recipe is known.
    """

    name: str
    sentence: str
    changes: tuple[Change, ...] = ()

    @property
    def values(self) -> dict[str, Scalar]:
        """The changed fields, as `cnn.config.reading.recipe_with` takes them."""
        return {change.path: change.value for change in self.changes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A verdict with what it rests on.

    Args:
        evidence: Sentences, the weightiest first; epochs count from 1.
        figures: The numbers in them, by name.
        remedies: In the order in which to try them.
    """

    verdict: Verdict
    evidence: tuple[str, ...]
    figures: Mapping[str, float]
    remedies: tuple[Remedy, ...]

    @property
    def sentence(self) -> str:
        """Verdict, its first piece of evidence, and the first remedy, in a line."""
        advice = f" First remedy: {self.remedies[0].sentence}" if self.remedies else ""
        return f"{self.verdict.value.replace('_', ' ')}: {self.evidence[0]}{advice}"

    def document(self) -> dict[str, Any]:
        """As it stands in JSON files."""
        remedies = [asdict(remedy) for remedy in self.remedies]
        return {
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "evidence": list(self.evidence),
            "figures": {name: float(f"{value:.6g}") for name, value in self.figures.items()},
            "remedies": [remedy | {"changes": list(remedy["changes"])} for remedy in remedies],
        }

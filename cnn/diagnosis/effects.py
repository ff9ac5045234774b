"""What remedies have been measured to do on one data set: `HOME/remedies/DATA_HASH.jsonl`, a line a pair of runs.

A pair is two runs with the same seed, images and epochs, of which one has the remedy. The run without it was chosen for
being good, and owes a part of that to luck which the other may lack: measured effects are a little too low.
"""

import fcntl
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cnn.diagnosis.remedies import ORDER
from cnn.diagnosis.verdict import Verdict
from cnn.durable import storage_errors

GAP_WEIGHT = 0.1
"""What a point of gap less is worth, in points of score."""

_FIRST_GAIN = 0.01
_PRIOR_SPREAD = 0.02
_PAIR_SPREAD = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one remedy did to one run.

    Args:
        trial: Number of the run with the remedy.
        verdict: Of the run without it.
        score: By how much the best score rose; negative: it fell.
        gap: By how much the gap in accuracy at the best epoch grew; negative: it shrank.
    """

    study: str
    trial: int
    verdict: str
    remedy: str
    score: float
    gap: float

    @property
    def gain(self) -> float:
        """Score gained, and a tenth of the gap lost."""
        return self.score - GAP_WEIGHT * self.gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What is expected of a remedy against a verdict: the gain's mean and standard deviation, after n pairs."""

    mean: float
    spread: float
    n: int


def belief(verdict: Verdict, remedy: str, effects: Sequence[Effect]) -> Belief:
    """The mean gain, shrunk towards what the remedies' order says.

    Normal prior, normal noise: mean = (m0 / s0^2 + sum(gains) / s^2) / (1 / s0^2 + n / s^2). m0 falls evenly from 0.01
    for the first remedy of `ORDER` towards 0; s0 = s = 0.02, the size of an effect that matters and of the noise of a
    pair of short runs on a few thousand images.

    Example:
        >>> belief(Verdict.OVERFITTING, "early_stopping", ()).mean
        0.01
        >>> bad = Effect(study="a", trial=7, verdict="overfitting", remedy="dropout", score=-0.05, gap=0.0)
        >>> belief(Verdict.OVERFITTING, "dropout", (bad,)).mean < 0
        True
    """
    order = ORDER[verdict]
    prior = _FIRST_GAIN * (1 - order.index(remedy) / len(order))
    gains = [one.gain for one in effects if (one.verdict, one.remedy) == (verdict.value, remedy)]
    weight = 1 / _PRIOR_SPREAD**2 + len(gains) / _PAIR_SPREAD**2
    mean = (prior / _PRIOR_SPREAD**2 + sum(gains) / _PAIR_SPREAD**2) / weight
    return Belief(mean=mean, spread=math.sqrt(1 / weight), n=len(gains))


class RemedyMemory:
    """The lines of one data set: effects, and the focus with which each study ended.

    Args:
        path: Read now; whoever else appends to it meanwhile is heard of by the next search.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = list(_read(path))

    @property
    def effects(self) -> tuple[Effect, ...]:
        """All that have been measured, the oldest first."""
        return tuple(Effect(**line["effect"]) for line in self._lines if "effect" in line)

    def keep(self, effect: Effect) -> None:
        """Write an effect down; one that is known already is not written again."""
        self._append({"effect": asdict(effect)})

    def keep_focus(self, study: str, space: str, focus: Mapping[str, Any]) -> None:
        """Write down with which focus a study ended.

        Args:
            space: A digest of the space.
            focus: As JSON.
        """
        self._append({"focus": {"study": study, "space": space, "focus": dict(focus)}})

    def last_focus(self, space: str) -> tuple[str, Mapping[str, Any]] | None:
        """The study that ended last on this space, and its focus; None if there was none."""
        found = [line["focus"] for line in self._lines if "focus" in line and line["focus"]["space"] == space]
        return (found[-1]["study"], found[-1]["focus"]) if found else None

    def _append(self, line: dict[str, Any]) -> None:
        if line in self._lines:
            return
        self._lines.append(line)
        text = json.dumps(line)
        with storage_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                # a line that a kill has torn must not swallow this one
                torn = file.seek(0, os.SEEK_END) and not _ends_a_line(file)
                file.write(f"{os.linesep if torn else ''}{text}\n".encode())
                file.flush()
                os.fsync(file.fileno())


def _read(path: Path) -> list[dict[str, Any]]:
    """All whole lines. One that a kill or a flipped bit has spoiled was never measured: it is worth no search."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text)
            Effect(**line["effect"]) if "effect" in line else line["focus"]["space"]
        except (ValueError, TypeError, KeyError):
            continue
        lines.append(line)
    return lines


def _ends_a_line(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")

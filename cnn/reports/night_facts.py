"""What a night's page is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cnn.diagnosis.effects import Effect
from cnn.nights import Night
from cnn.records import Task
from cnn.reports.study_facts import StudyFacts
from cnn.search.focus import Focus
from cnn.search.ledger import LedgerRow

PROMOTED, STAYS, FAILED, INTERRUPTED, UNDER_WAY = "promoted", "stays", "failed", "interrupted", "under way"


@dataclass(frozen=True, kw_only=True)
class NightFacts:
    """What is known of a night, good or bad.

    Args:
        earlier: The nights of the same checkout before it, oldest first.
        runs: Whether a process runs it now.
        rows: The ledger of its search; empty when it did not come to that.
        study: Its search, when that has a winner.
        ended_early: Why the search ended before its budget, in a sentence; empty when it did not.
        n_remembered: How many earlier searches it began with what they know.
        focus: With which ranges the next search of this space begins, where they are narrower than declared.
        effects: What remedies did in its pairs of trials.
        known_effects: How many pairs there are on these images, this night's included.
        confidence: Level of the intervals, in (0, 1).
        resumable: Whether the next start goes on with it.
        places: What else there is to look at: what, and where.
        unreadable: What could not be read for this page, a sentence each.
    """

    night: Night
    earlier: Sequence[Night] = ()
    runs: bool = False
    rows: Sequence[LedgerRow] = ()
    study: StudyFacts | None = None
    ended_early: str = ""
    n_remembered: int = 0
    focus: Focus = field(default_factory=dict)
    effects: Sequence[Effect] = ()
    known_effects: int = 0
    task: Task = Task.MULTICLASS
    confidence: float = 0.95
    resumable: bool = False
    places: Mapping[str, str] = field(default_factory=dict)
    unreadable: Sequence[str] = ()

    @property
    def state(self) -> str:
        """One of the five words above."""
        night = self.night
        if night.finished and night.decision:
            return PROMOTED if night.decision.get("promoted") else STAYS
        if night.reason or night.finished:
            return FAILED
        return UNDER_WAY if self.runs else INTERRUPTED

    @property
    def score(self) -> tuple[float, float, float] | None:
        """The task's score on the test images with its interval."""
        return score_of(self.night, self.task)

    @property
    def rules(self) -> tuple[Mapping[str, Any], ...]:
        """What each rule of the gate said, those that were tried."""
        return tuple(rule for rule in self.night.decision.get("rules", ()) if rule.get("passed") is not None)

    @property
    def against(self) -> Mapping[str, float] | None:
        """The paired comparison with the champion; None where none was made."""
        figures: Mapping[str, float] = self.night.decision.get("figures") or {}
        return figures if {"difference", "low", "high", "p_value"} <= figures.keys() else None

    @property
    def before(self) -> Night | None:
        """The night before."""
        return self.earlier[-1] if self.earlier else None

    @cached_property
    def changed_settings(self) -> tuple[tuple[str, str, str], ...]:
        """Settings that are not those of the night before: key, then, now."""
        if self.before is None or not self.before.settings or not self.night.settings:
            return ()
        then, now = self.before.settings, self.night.settings
        keys = [key for key in dict.fromkeys([*now, *then]) if then.get(key) != now.get(key)]
        return tuple((key, str(then.get(key, "")), str(now.get(key, ""))) for key in keys)


def score_of(night: Night, task: Task) -> tuple[float, float, float] | None:
    """A night's score on the test images with its interval; None when it was not tested."""
    name = task.score_name
    names = (name, f"{name}_low", f"{name}_high")
    if not all(one in night.figures for one in names):
        return None
    value, low, high = (float(night.figures[one]) for one in names)
    return value, low, high

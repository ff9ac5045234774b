"""Rounds of a search and the pairs of trials within them, as they stand in the study's ledger."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cnn.config.space import dimensions_document, dimensions_from
from cnn.records import Outcome, TrialState, best_row
from cnn.search.finalists import finalists
from cnn.search.focus import Focus
from cnn.search.ledger import Ledger, LedgerRow

FEWEST_VOTERS = 3
"""Fewer completed trials have no say."""

_MOST_LOST = 0.1  # of the score in one pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A stretch of a search with one focus.

    Args:
        part: Which part of the budget it began in, from 0.
        first_trial: Number of its first trial.
        changes: What became of the space and why, a sentence each.
    """

    part: int
    first_trial: int
    focus: Focus = field(default_factory=dict)
    changes: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        focus = dimensions_document(self.focus)
        return {"part": self.part, "first_trial": self.first_trial, "focus": focus, "changes": list(self.changes)}


def read_rounds(ledger: Ledger) -> list[Round]:
    """The rounds of a study, in order; none of a plain search."""
    return [
        Round(
            part=one["part"],
            first_trial=one["first_trial"],
            focus=dimensions_from(one["focus"]),
            changes=tuple(one["changes"]),
        )
        for one in json.loads(ledger.read("rounds", "[]"))
    ]


def rounds_text(rounds: Sequence[Round]) -> str:
    """The ledger's fact `rounds`."""
    return json.dumps([one.document() for one in rounds])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A trial that is another one with exactly one remedy, on the same seed and images.

    Args:
        origin: Number of the trial without the remedy.
        verdict: The origin's.
    """

    origin: int
    remedy: str
    verdict: str


def read_pairs(ledger: Ledger) -> dict[int, Pair]:
    """The pairs of a study, by the number of the trial with the remedy."""
    return {int(number): Pair(**body) for number, body in json.loads(ledger.read("pairs", "{}")).items()}


def pairs_text(pairs: Mapping[int, Pair]) -> str:
    """The ledger's fact `pairs`."""
    bodies = {n: {"origin": one.origin, "remedy": one.remedy, "verdict": one.verdict} for n, one in pairs.items()}
    return json.dumps(bodies)


def effect(treated: Outcome, origin: Outcome) -> tuple[float, float] | None:
    """What a remedy did in a pair: the change of the best score, and of the gap in accuracy at the best epoch.

    A treated run that diverged has lost the whole score, of which at most 0.1 is counted: one run must not outweigh
    all others on these images. One that was cut off, or failed for the machine's sake, says nothing.
    """
    if treated.state is TrialState.FAILED and treated.reason.startswith("NaN loss"):
        return -min(origin.score or 0.0, _MOST_LOST), 0.0
    if treated.state is not TrialState.COMPLETED or not (treated.curve and origin.curve):
        return None
    after, before = best_row(treated.curve), best_row(origin.curve)
    changes = after.val_score - before.val_score, after.gap_accuracy - before.gap_accuracy
    return changes if all(map(math.isfinite, changes)) else None


def completed(trials: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Those that ran to their end."""
    return [row for row in trials if row.outcome is not None and row.outcome.state is TrialState.COMPLETED]


def voters(trials: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Whose verdicts count: the best quarter of the completed trials, at least three; the best first."""
    ended = completed(trials)
    return finalists(ended, max(FEWEST_VOTERS, len(ended) // 4)) if len(ended) >= FEWEST_VOTERS else []

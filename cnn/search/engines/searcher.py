"""The role of an engine: ask for a proposal, report each epoch, tell how it ended.

An engine is called from one thread of one process, the coordinator. It trains nothing and logs nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from cnn.records import Curve, Outcome, Proposal, Scalar, Values


class Pause(Enum):
    """Why there is no proposal now."""

    WAIT = "wait"  # ask again after the next tell
    EXHAUSTED = "exhausted"  # everything this engine would ever try has been proposed


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrial:
    """A trial as the ledger knows it when a search goes on.

    Args:
        curve: The epochs reported so far; those of the outcome when there is one.
        outcome: None for a trial that was under way.
    """

    proposal: Proposal
    curve: Curve = ()
    outcome: Outcome | None = None


class Known(Protocol):
    """A trial of an earlier search."""

    @property
    def values(self) -> Values: ...
    @property
    def score(self) -> float | None:
        """Larger is better; None where it diverged, which is worse than any score."""
        ...

    @property
    def gap(self) -> float:
        """The overfitting gap in accuracy, 0 or more."""
        ...


Adjust = Callable[[str, Scalar | None], Scalar]
"""From a dimension and what an engine proposes for it (None: nothing) to the value that is tried."""


class Searcher(Protocol):
    """Proposes recipes. Same seed and same answers, same proposals."""

    @property
    def steerable(self) -> bool:
        """Whether it takes trials with other values than it proposes: `adjust` and `enter`."""
        ...

    @property
    def learns(self) -> bool:
        """Whether its proposals follow from scores, and it can be told of trials that it never asked for."""
        ...

    def remember(self, known: "Sequence[Known]") -> None:
        """Trials of earlier searches, from which it goes on; called before `restore`, at each start with the same."""
        ...

    def restore(self, trials: Sequence[StoredTrial], state: str) -> None:
        """Go on from a ledger; called once, before anything else, also on a new study (no trials, empty state).

        Afterwards the trials without outcome are under way again: they will be reported and told, not asked for.

        Args:
            trials: All trials of the study, by number.
            state: What `state()` gave when the newest of these trials was asked for or told.
        """
        ...

    def ask(self, number: int, adjust: Adjust | None = None) -> Proposal | Pause:
        """The next proposal, which bears `number` (0, 1, 2, ... in the order of asking).

        Args:
            adjust: Has the last word on each active dimension, parents first; the engine knows what is really tried.
        """
        ...

    def enter(self, proposal: Proposal) -> None:
        """A trial that the engine did not propose takes the place of the next `ask`; it is reported and told alike."""
        ...

    def report(self, number: int, epoch: int, score: float) -> bool:
        """Score after an epoch (larger is better); True when the trial should be pruned. Repeating one is harmless."""
        ...

    def tell(self, outcome: Outcome) -> None:
        """How a trial ended. A failed one is never a reason to stop, nor proposed again."""
        ...

    def state(self) -> str:
        """Whatever must be kept between `ask` and `tell` calls to go on after a kill, as text; empty for nothing.

        The coordinator writes it in the same transaction as the trial it belongs to.
        """
        ...

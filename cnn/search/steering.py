"""A search that learns between its rounds: what its best runs suffer from moves the ranges that trials come from.

What helps against what is somebody else's knowledge, the adviser's. Here it is decided when it is asked, what becomes
of its advice, and which trials measure whether it is any good. All of it is in the ledger before anything depends on
it, so that a search that goes on after a kill has the same rounds and the same pairs.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from cnn.records import Outcome, Proposal, Scalar
from cnn.runtime import derived_seed
from cnn.search.engines.searcher import Pause, Searcher
from cnn.search.focus import Focus, adjuster
from cnn.search.ledger import LedgerRow
from cnn.search.rounds import Pair, Round, completed, effect, pairs_text, read_pairs, read_rounds, rounds_text, voters
from cnn.search.space import Space
from cnn.search.study import Study

log = logging.getLogger(__name__)

PAIRS = 6
"""From the second round on one trial in so many, on average, measures a remedy."""


class Advice(Protocol):
    """A focus with what led to it, a sentence a change."""

    @property
    def focus(self) -> Focus: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...


class Treatment(Protocol):
    """A remedy for one trial: the values that it would then have."""

    @property
    def origin(self) -> int: ...
    @property
    def remedy(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def values(self) -> Mapping[str, Scalar]: ...


Seen = tuple[Proposal, Outcome]


class Adviser(Protocol):
    """Knows what helps against what. It never leaves the ranges that the user declared."""

    def opening(self) -> Advice:
        """Where a new search of this space on these images begins."""
        ...

    def advise(self, focus: Focus, best: Sequence[Seen], ended: Sequence[Seen]) -> Advice:
        """Where it goes on, after the best runs so far, the best first, and all that ran to their end."""
        ...

    def treatments(self, best: Sequence[Seen], *, seed: int) -> Sequence[Treatment]:
        """Remedies for these runs, each alone, the one most worth measuring first."""
        ...

    def learn(self, study: str, number: int, verdict: str, remedy: str, *, score: float, gap: float) -> None:
        """What a remedy did in a trial; hearing it again changes nothing."""
        ...

    def close(self, study: str, focus: Focus) -> None:
        """The search is over; the next one may begin where it ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A proposal and what the ledger must write down with it.

    Args:
        seed: Of the trial; None for its own.
    """

    proposal: Proposal | Pause
    seed: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


class Steering:
    """The rounds and pairs of one study.

    Args:
        seed: Of the search.
        n_rounds: Into how many parts the budget is divided.
    """

    def __init__(self, space: Space, study: Study, adviser: Adviser, *, seed: int, n_rounds: int) -> None:
        self._space, self._study, self._adviser = space, study, adviser
        self._seed, self._n_rounds = seed, n_rounds
        self.rounds = read_rounds(study.ledger)
        self._pairs = read_pairs(study.ledger)

    def restore(self, trials: Sequence[LedgerRow]) -> None:
        """Tell the adviser what a kill may have kept from it."""
        for number in self._pairs:
            self.ended(number, trials)

    def turn(self, trials: Sequence[LedgerRow], progress: float) -> Round | None:
        """Begin the next round if it is time, for good; None if not.

        Args:
            trials: All so far, by number.
            progress: The part of the budget that is used up, in [0, 1].
        """
        part = min(self._n_rounds - 1, int(progress * self._n_rounds + 1e-9))
        if self.rounds and (part <= self.rounds[-1].part or not voters(trials)):
            return None  # with many workers half of the budget may be given out before anybody can vote
        focus, reasons = self._advised(trials)
        opened = Round(part=part, first_trial=len(trials), focus=focus, changes=reasons)
        self.rounds.append(opened)
        self._study.ledger.write(rounds=rounds_text(self.rounds))
        return opened

    def ask(self, searcher: Searcher, trials: Sequence[LedgerRow]) -> Asked:
        """The next trial: a pair's, or one of the engine's, moved into the focus or not."""
        number = len(trials)
        treated = self._treated(trials)
        if treated is not None:
            pair, values, origin = treated
            proposal = replace(origin.proposal, number=number, values=values)
            searcher.enter(proposal)
            self._pairs[number] = pair
            return Asked(proposal=proposal, seed=origin.seed, facts={"pairs": pairs_text(self._pairs)})
        adjust = adjuster(self._space, self.rounds[-1].focus, seed=self._seed, number=number)
        return Asked(proposal=searcher.ask(number, adjust))

    def is_pair(self, number: int) -> bool:
        """Whether a trial is compared with another, epoch by epoch, and so must not be pruned."""
        return number in self._pairs

    def ended(self, number: int, trials: Sequence[LedgerRow]) -> None:
        """A trial is over; if it is a pair's, its effect is kept."""
        pair = self._pairs.get(number)
        if pair is None:
            return
        outcomes = {row.id.number: row.outcome for row in trials}
        treated, origin = outcomes.get(number), outcomes[pair.origin]
        measured = effect(treated, origin) if treated and origin else None
        if measured is not None:
            score, gap = measured
            self._adviser.learn(self._study.name, number, pair.verdict, pair.remedy, score=score, gap=gap)

    def close(self) -> None:
        """The search is over."""
        if self.rounds:
            self._adviser.close(self._study.name, self.rounds[-1].focus)

    def _advised(self, trials: Sequence[LedgerRow]) -> tuple[Focus, tuple[str, ...]]:
        focus, best = self.rounds[-1].focus if self.rounds else {}, _seen(voters(trials))
        try:
            first = not self.rounds
            advice = self._adviser.opening() if first else self._adviser.advise(focus, best, _seen(completed(trials)))
        except Exception as error:  # bad advice is no reason to lose a search
            log.exception("no advice for round %d", len(self.rounds) + 1)
            return focus, (f"nothing: no advice could be had ({type(error).__name__}).",)
        return advice.focus, advice.reasons

    def _treated(self, trials: Sequence[LedgerRow]) -> tuple[Pair, Mapping[str, Scalar], LedgerRow] | None:
        """The pair that this trial is to measure, its values, and the trial they come from; None for most trials."""
        number, rows = len(trials), {row.id.number: row for row in trials}
        if len(self.rounds) < 2 or derived_seed(self._seed, "pair", number) % PAIRS:
            return None
        tried = [dict(row.proposal.values) for row in trials]
        seed = derived_seed(self._seed, "treatment", number)
        try:
            treatments = self._adviser.treatments(_seen(voters(trials)), seed=seed)
        except Exception:
            log.exception("no remedy to measure in trial %d", number)
            return None
        for treatment in treatments:
            origin = rows[treatment.origin]
            values = dict(origin.proposal.values) | dict(treatment.values)
            if values not in tried and self._space.contains(values):
                pair = Pair(origin=treatment.origin, remedy=treatment.remedy, verdict=treatment.verdict)
                return pair, values, origin
        return None


def _seen(rows: Sequence[LedgerRow]) -> list[Seen]:
    return [(row.proposal, row.outcome) for row in rows if row.outcome is not None]

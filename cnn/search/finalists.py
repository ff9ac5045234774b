"""From the best few trials to one winner.

The best of many looks better than it is: its score is the largest of many noisy ones. So the best few are trained
again with fresh seeds, and the mean of these fresh runs decides: the run that made a trial a finalist has no say.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from cnn.records import Outcome, TrialState
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A finalist with its runs.

    Args:
        score: Best validation score of the trial itself; too good by the luck of being chosen.
        fresh_scores: The same of each completed run with a fresh seed.
        n_failed: Runs with a fresh seed that failed: the recipe diverges, or is more than the machine can hold.
    """

    row: LedgerRow
    score: float
    fresh_scores: tuple[float, ...]
    n_failed: int = 0

    @property
    def mean(self) -> float:
        """Mean of the fresh runs; the trial's own score when there are none."""
        return statistics.fmean(self.fresh_scores) if self.fresh_scores else self.score

    @property
    def mean_of_all(self) -> float:
        """Mean of all runs, the lucky one included."""
        return statistics.fmean((self.score, *self.fresh_scores))

    @property
    def spread(self) -> float:
        """Sample standard deviation over all runs; 0 for a single one."""
        return statistics.stdev((self.score, *self.fresh_scores)) if self.fresh_scores else 0.0


def finalists(trials: Sequence[LedgerRow], n: int) -> list[LedgerRow]:
    """The `n` completed trials with the best score; among equals the earlier one. Pruned ones if none completed."""
    scored = [row for row in trials if _score(row) is not None]
    completed = [row for row in scored if _completed(row)]
    return sorted(completed or scored, key=lambda row: (-(_score(row) or 0.0), row.id.number))[:n]


def standings(rows: Sequence[LedgerRow], n: int) -> list[Standing]:
    """The finalists with their runs, best first: by the mean of their fresh runs when each has one.

    When the budget ended before that, by the mean of all their runs: an unconfirmed finalist is then taken at its word,
    rather than beaten by a weaker one that happened to be confirmed. A fresh run that was cut off does not count; one
    that failed puts its finalist behind all that can be relied on.
    """
    chosen = []
    for row in finalists([row for row in rows if row.id.repeat == 0], n):
        repeats = [other for other in rows if other.id.number == row.id.number and other.id.repeat > 0]
        fresh = tuple(score for run in repeats if _completed(run) and (score := _score(run)) is not None)
        n_failed = sum(run.outcome is not None and run.outcome.state is TrialState.FAILED for run in repeats)
        chosen.append(Standing(row=row, score=_score(row) or 0.0, fresh_scores=fresh, n_failed=n_failed))
    confirmed = all(standing.fresh_scores for standing in chosen if not standing.n_failed)
    figure = attrgetter("mean" if confirmed else "mean_of_all")
    return sorted(chosen, key=lambda standing: (standing.n_failed, -figure(standing), standing.row.id.number))


def pending_repeats(rows: Sequence[LedgerRow], n: int, n_seeds: int) -> list[JobId]:
    """The finalists' runs that have not begun: every finalist's first fresh seed before anyone's second."""
    begun = {row.id for row in rows}
    chosen = finalists([row for row in rows if row.id.repeat == 0], n)
    wanted = [JobId(row.id.number, repeat) for repeat in range(1, n_seeds + 1) for row in chosen]
    return [run for run in wanted if run not in begun]


def _score(row: LedgerRow) -> float | None:
    outcome: Outcome | None = row.outcome
    return None if outcome is None else outcome.score


def _completed(row: LedgerRow) -> bool:
    return row.outcome is not None and row.outcome.state is TrialState.COMPLETED

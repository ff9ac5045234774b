"""From the best few trials to one winner.

The best of many looks better than it is: its score is the largest of many noisy ones. So the best few are trained
again with fresh seeds, and the mean of these fresh runs decides: the run that made a trial a finalist has no say.

Where the objective weighs the gap, the finalists come from the Pareto front, and the winner is the one with the
smallest gap among those whose score is at most `score_slack` below the best finalist's; both are means of fresh runs.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from cnn.config.objective import ObjectiveParams
from cnn.records import Curve, TrialState
from cnn.search import pareto
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A finalist with its runs.

    Args:
        score: Best validation score of the trial itself; too good by the luck of being chosen.
        fresh_scores: The same of each completed run with a fresh seed.
        fresh_gaps: The overfitting gap of each of these, at its best epoch.
        n_failed: Runs with a fresh seed that failed: the recipe diverges, or is more than the machine can hold.
    """

    row: LedgerRow
    score: float
    fresh_scores: tuple[float, ...]
    fresh_gaps: tuple[float, ...] = ()
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

    @property
    def gap(self) -> float:
        """The trial's own gap, 0 or more."""
        return pareto.overfitting(_curve(self.row))

    @property
    def mean_gap(self) -> float:
        """Mean of the fresh runs' gaps; the trial's own when there are none."""
        return statistics.fmean(self.fresh_gaps) if self.fresh_gaps else self.gap

    @property
    def mean_gap_of_all(self) -> float:
        """Mean over all runs, the trial itself included."""
        return statistics.fmean((self.gap, *self.fresh_gaps))


_BY_SCORE = ObjectiveParams()


def finalists(trials: Sequence[LedgerRow], n: int, objective: ObjectiveParams = _BY_SCORE) -> list[LedgerRow]:
    """The `n` completed trials with the best score; among equals the earlier one. Pruned ones if none completed.

    Where the gap counts, those of the front: the one that would win, the one with the best score, then by the same
    rule.
    """
    if not objective.weighs_gap:
        return sorted(contenders(trials), key=lambda row: (-_figures(row)[0], row.id.number))[:n]
    by_gap = front(trials)
    ordered = pareto.preferred(by_gap, _figures, slack=objective.score_slack)
    return list({row.id: row for row in (*ordered[:1], *by_gap[-1:], *ordered[1:])}.values())[:n]


def contenders(trials: Sequence[LedgerRow]) -> list[LedgerRow]:
    """Those that can win: the ones with a score that ran to their end; all with a score if none did."""
    scored = [row for row in trials if _score(row) is not None]
    return [row for row in scored if _completed(row)] or scored


def front(trials: Sequence[LedgerRow]) -> list[LedgerRow]:
    """The completed trials that no other beats in both score and gap, by gap. Of pruned ones if none completed."""
    return pareto.front(contenders(trials), _figures)


def standings(rows: Sequence[LedgerRow], n: int, objective: ObjectiveParams = _BY_SCORE) -> list[Standing]:
    """The finalists with their runs, best first: by the mean of their fresh runs when each has one.

    When the budget ended before that, by the mean of all their runs: an unconfirmed finalist is then taken at its word,
    rather than beaten by a weaker one that happened to be confirmed. A fresh run that was cut off does not count; one
    that failed puts its finalist behind all that can be relied on.
    """
    chosen = [_standing(row, rows) for row in finalists([row for row in rows if row.id.repeat == 0], n, objective)]
    confirmed = all(standing.fresh_scores for standing in chosen if not standing.n_failed)
    figure = attrgetter("mean" if confirmed else "mean_of_all")
    by_score = sorted(chosen, key=lambda standing: (standing.n_failed, -figure(standing), standing.row.id.number))
    if not objective.weighs_gap or not by_score:
        return by_score
    gap = attrgetter("mean_gap" if confirmed else "mean_gap_of_all")
    fewest = [standing for standing in by_score if standing.n_failed == by_score[0].n_failed]
    chosen_of = pareto.preferred(fewest, lambda one: (figure(one), gap(one)), slack=objective.score_slack)
    return chosen_of + by_score[len(fewest) :]


def _standing(row: LedgerRow, rows: Sequence[LedgerRow]) -> Standing:
    repeats = [other for other in rows if other.id.number == row.id.number and other.id.repeat > 0]
    fresh = [run for run in repeats if _completed(run) and _score(run) is not None]
    return Standing(
        row=row,
        score=_score(row) or 0.0,
        fresh_scores=tuple(_score(run) or 0.0 for run in fresh),
        fresh_gaps=tuple(pareto.overfitting(_curve(run)) for run in fresh),
        n_failed=sum(run.outcome is not None and run.outcome.state is TrialState.FAILED for run in repeats),
    )


def pending_repeats(
    rows: Sequence[LedgerRow], n: int, n_seeds: int, objective: ObjectiveParams = _BY_SCORE
) -> list[JobId]:
    """The finalists' runs that have not begun: every finalist's first fresh seed before anyone's second."""
    begun = {row.id for row in rows}
    chosen = finalists([row for row in rows if row.id.repeat == 0], n, objective)
    wanted = [JobId(row.id.number, repeat) for repeat in range(1, n_seeds + 1) for row in chosen]
    return [run for run in wanted if run not in begun]


def _figures(row: LedgerRow) -> tuple[float, float]:
    return _score(row) or 0.0, pareto.overfitting(_curve(row))


def _score(row: LedgerRow) -> float | None:
    return None if row.outcome is None else row.outcome.score


def _curve(row: LedgerRow) -> Curve:
    return row.outcome.curve if row.outcome else ()


def _completed(row: LedgerRow) -> bool:
    return row.outcome is not None and row.outcome.state is TrialState.COMPLETED

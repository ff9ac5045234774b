"""The runs of a study as its coordinator knows them: what stands in the ledger, and what is under way."""

from collections.abc import Iterable

from cnn.records import Cost, Curve, TrialState
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow
from cnn.search.screen import Progress

MOST_OVER = 100
"""So many infeasible trials in a row, and a search asks for no more: hardly anything in its space fits the limits."""


class Runs:
    """All runs by their id.

    Args:
        rows: As the ledger has them.
    """

    def __init__(self, rows: Iterable[LedgerRow]) -> None:
        self.by_id = {row.id: row for row in rows}
        self.under_way: dict[JobId, Cost] = {}
        self.curves: dict[JobId, Curve] = {}

    def all(self) -> list[LedgerRow]:
        return list(self.by_id.values())

    def trials(self) -> list[LedgerRow]:
        """Without the finalists' repeats, by number."""
        return [row for row in self.by_id.values() if row.id.repeat == 0]

    def n_counted(self) -> int:
        """Trials that count against `budget.trials`: an infeasible one has cost next to nothing."""
        return sum(not _infeasible(row) for row in self.trials())

    def hopeless(self) -> bool:
        """Whether the last `MOST_OVER` trials that are over were all infeasible."""
        last = [row for row in self.trials() if row.outcome is not None][-MOST_OVER:]
        return len(last) == MOST_OVER and all(map(_infeasible, last))

    def unfinished(self) -> list[JobId]:
        return [job for job, row in self.by_id.items() if row.outcome is None]

    def costs(self) -> list[Cost]:
        """Of all runs, those under way with what they have cost so far."""
        return [row.cost + self.under_way.get(job, Cost()) for job, row in self.by_id.items()]

    def progress(self, left_s: float | None, most_trials: int | None) -> Progress:
        """Where the search stands.

        Args:
            left_s: Seconds left on the clock; None without such a bound.
            most_trials: Trials that the budget admits; None without such a bound.
        """
        ended = [row for row in self.trials() if row.outcome]
        n_counted = sum(not _infeasible(row) for row in ended)
        return Progress(
            outcomes=tuple(row.outcome for row in ended if row.outcome),
            running={job: self.curves[job] for job in self.under_way},
            left_s=left_s,
            trials_left=None if most_trials is None else most_trials - n_counted,
        )

    def begin(self, job: JobId) -> None:
        """It is under way, on a worker that has cost nothing yet."""
        self.under_way[job] = Cost()
        self.curves.setdefault(job, ())

    def forget(self, job: JobId) -> None:
        """It is under way no more."""
        self.under_way.pop(job, None)
        self.curves.pop(job, None)


def _infeasible(row: LedgerRow) -> bool:
    return row.outcome is not None and row.outcome.state is TrialState.INFEASIBLE

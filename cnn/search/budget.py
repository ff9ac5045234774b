"""What a search may still use up, and whether one more trial fits into it."""

import statistics
import time
from collections.abc import Mapping, Sequence

from cnn.config.params import BudgetParams
from cnn.records import Cost

_RESERVE = 1.25  # finalists are the better trials, and better networks are often the slower ones


class Budget:
    """Trials, minutes on the clock and minutes of processor time; whichever ends first.

    Part of the time is kept back for the finalists: what as many full trials are expected to take.

    Args:
        limits: From `params.yaml`.
        n_workers: Jobs that run at once.
        n_final_runs: Runs that must still fit in after the last trial.
        epochs: Of a run of full length, all phases together; None: those of `limits`.
        elapsed_s: Seconds that earlier starts of this search have run.
    """

    def __init__(
        self,
        limits: BudgetParams,
        *,
        n_workers: int,
        n_final_runs: int,
        epochs: int | None = None,
        elapsed_s: float = 0.0,
    ) -> None:
        self._limits, self._n_workers, self._n_final_runs = limits, n_workers, n_final_runs
        self._epochs = epochs or limits.epochs
        self._began = time.monotonic() - elapsed_s

    def elapsed_s(self) -> float:
        """Seconds this search has run, over all its starts."""
        return time.monotonic() - self._began

    def left_s(self) -> float | None:
        """Seconds left on the clock; None when there is no such bound."""
        if self._limits.minutes is None:
            return None
        return max(0.0, self._limits.minutes * 60 - self.elapsed_s())

    def progress(self, n_asked: int, costs: Sequence[Cost]) -> float:
        """The part of the budget for trials that is used up, in [0, 1]: of the bound that is nearest to its end."""
        limits = self._limits
        wall, cpu = self._expected(costs)
        n_turns = -(-self._n_final_runs // self._n_workers)
        used = [0.0]
        if limits.trials is not None:
            used.append(n_asked / limits.trials)
        if limits.minutes is not None:
            used.append(_part(self.elapsed_s(), limits.minutes * 60 - wall * _RESERVE * n_turns))
        if limits.cpu_minutes is not None:
            spent = sum(cost.cpu_s for cost in costs)
            used.append(_part(spent, limits.cpu_minutes * 60 - cpu * _RESERVE * self._n_final_runs))
        return min(1.0, max(used))

    def spent(self, costs: Sequence[Cost]) -> bool:
        """Whether the clock or the processor time has run out: what is under way must stop."""
        cpu_left = self._cpu_left_s(costs)
        return self.left_s() == 0.0 or cpu_left == 0.0

    def admits(self, n_asked: int, costs: Sequence[Cost], running: Mapping[int, Cost] | None = None) -> bool:
        """Whether a trial may start that trains as long as trials may.

        Args:
            n_asked: Trials asked for so far, whatever became of them.
            costs: Of all runs so far, those under way included.
            running: Costs of those under way, which will still grow.
        """
        if self._limits.trials is not None and n_asked >= self._limits.trials:
            return False
        return not self.spent(costs) and self._fits(costs, running or {})

    def admits_final(self, costs: Sequence[Cost]) -> bool:
        """Whether one more run of a finalist is expected to end in time."""
        if self.spent(costs):
            return False
        left, cpu_left = self.left_s(), self._cpu_left_s(costs)
        wall, cpu = self._expected(costs)
        return (left is None or wall <= left) and (cpu_left is None or cpu <= cpu_left)

    def _fits(self, costs: Sequence[Cost], running: Mapping[int, Cost]) -> bool:
        wall, cpu = self._expected(costs)
        n_reserved = self._n_final_runs
        left, cpu_left = self.left_s(), self._cpu_left_s(costs)
        turns = 1 + _RESERVE * -(-n_reserved // self._n_workers)
        fits_clock = left is None or wall * turns <= left
        growing = sum(max(0.0, cpu - cost.cpu_s) for cost in running.values())
        fits_cpu = cpu_left is None or growing + cpu * (1 + _RESERVE * n_reserved) <= cpu_left
        return fits_clock and fits_cpu

    def _expected(self, costs: Sequence[Cost]) -> tuple[float, float]:
        """Wall and processor seconds of a trial of full length, from the median epoch so far; 0 before the first."""
        measured = [cost for cost in costs if cost.epochs]
        if not measured:
            return 0.0, 0.0
        wall = statistics.median(cost.wall_s / cost.epochs for cost in measured) * self._epochs
        cpu = statistics.median(cost.cpu_s / cost.epochs for cost in measured) * self._epochs
        return wall, cpu

    def _cpu_left_s(self, costs: Sequence[Cost]) -> float | None:
        if self._limits.cpu_minutes is None:
            return None
        return max(0.0, self._limits.cpu_minutes * 60 - sum(cost.cpu_s for cost in costs))


def _part(used_s: float, whole_s: float) -> float:
    """Of a stretch of time; all of it when nothing of it is left beside the reserve."""
    return used_s / whole_s if whole_s > 0 else 1.0

"""An objective in Optuna's terms: directions, the values of an outcome, and by how much it breaks a limit."""

import math
from collections.abc import Mapping, Sequence

import optuna  # noqa: TID251

from cnn.config.objective import ObjectiveParams
from cnn.records import Outcome, TrialState
from cnn.search.limits import excess
from cnn.search.pareto import overfitting

_WORST = 0.0
"""The worst score there is, whatever the task: a sampler hears it of a network that was too large to be trained."""

Ending = tuple[optuna.trial.TrialState, Sequence[float] | None]


class Goal:
    """What Optuna is told of each trial.

    Args:
        objective: With `accuracy_and_gap` there are two values, the score and the gap, 0 or more; limits are
            constraints, each the part of the limit by which it is exceeded.
    """

    def __init__(self, objective: ObjectiveParams) -> None:
        self._objective = objective

    @property
    def directions(self) -> list[str]:
        return ["maximize", "minimize"] if self._objective.weighs_gap else ["maximize"]

    @property
    def prunes(self) -> bool:
        """Whether a pruner can judge trials: Optuna's go by one value."""
        return not self._objective.weighs_gap

    def told(self, outcome: Outcome) -> Ending:
        """How a trial ended, for a sampler: nothing to learn from one without a finite score.

        With two values, one that the end of the budget cut off is nothing to learn from either.
        """
        if outcome.state is TrialState.INFEASIBLE:
            return optuna.trial.TrialState.COMPLETE, [_WORST]
        state, values = self.shown(outcome)
        if state is optuna.trial.TrialState.PRUNED and self._objective.weighs_gap:
            return optuna.trial.TrialState.FAIL, None
        return state, values

    def known(self, score: float | None, gap: float) -> Sequence[float]:
        """The values of a trial of an earlier search; one that diverged has the worst there are."""
        if score is None:
            return [_WORST, *([1.0] if self._objective.weighs_gap else [])]
        return [score, *([gap] if self._objective.weighs_gap else [])]

    def shown(self, outcome: Outcome) -> Ending:
        """The same for a person: what was not trained has no value, and what was cut off the last one."""
        score = outcome.score
        if outcome.state in (TrialState.PRUNED, TrialState.INFEASIBLE):
            last = [outcome.curve[-1].val_score] if outcome.curve and not self._objective.weighs_gap else None
            return optuna.trial.TrialState.PRUNED, last
        if outcome.state is TrialState.COMPLETED and score is not None and math.isfinite(score):
            gap = [overfitting(outcome.curve)] if self._objective.weighs_gap else []
            return optuna.trial.TrialState.COMPLETE, [score, *gap]
        return optuna.trial.TrialState.FAIL, None

    def constraints(self, outcome: Outcome) -> Mapping[str, float]:
        """Optuna's name of each constraint with its value, 0 or below where it is kept; only what was measured.

        The names are those that `Trial.set_constraint` writes, which needs a trial that a sampler is at work on.
        """
        return {f"constraints:{name}": part for name, part in excess(outcome.size, self._objective.limits).items()}

"""What a study's report is made from: the ledger's trials, each with its score, gap and verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cnn.config.params import SearchParams
from cnn.config.reading import recipe_with
from cnn.config.recipe import Recipe
from cnn.records import Curve, Head, Size, TrialState, Values, best_row
from cnn.reports.verdicts import Reading, reading
from cnn.search import limits, pareto
from cnn.search.engines.optuna_study import RebuiltStudy, ScoredTrial
from cnn.search.finalists import Standing, contenders, standings
from cnn.search.ledger import LedgerRow
from cnn.search.results import front_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A stretch of a search that was steered by what the one before it showed.

    Args:
        first_trial: Number of its first trial.
        changes: What became of the space and why, a sentence each.
    """

    first_trial: int
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial:
    """A trial that is over.

    Args:
        score: Best validation score, larger is better; None when it has none.
        gap: Overfitting gap in accuracy at the best epoch; None without an epoch.
        cpu_s: Processor seconds over all its attempts.
        size: Of its network, in a search with limits.
    """

    number: int
    values: Values
    state: TrialState
    reason: str
    curve: Curve
    score: float | None
    gap: float | None
    cpu_s: float
    reading: Reading
    size: Size | None = None


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What is known of a search that has a winner.

    Args:
        source: The data set's name.
        head: What is to be learnt.
        engine: Engine and sampler.
        rows: The whole ledger.
        n_train: Training images a trial sees.
        n_val: Validation images.
        base: The recipe that the trials vary; None: not known, and remedies are named whether or not they change it.
        rounds: Those that changed the space; empty for a plain search.
    """

    name: str
    source: str
    head: Head
    engine: str
    params: SearchParams
    rows: Sequence[LedgerRow]
    n_train: int
    n_val: int
    base: Recipe | None = None
    rounds: tuple[Round, ...] = ()

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Those that are over, by number."""
        return tuple(self._trial(row) for row in self.rows if row.id.repeat == 0 and row.outcome is not None)

    @cached_property
    def trained(self) -> tuple[Trial, ...]:
        """Those within the limits, by number: all, where there are none."""
        return tuple(trial for trial in self.trials if trial.state is not TrialState.INFEASIBLE)

    @cached_property
    def infeasible(self) -> tuple[Trial, ...]:
        """Those over a limit, which were not trained."""
        return tuple(trial for trial in self.trials if trial.state is TrialState.INFEASIBLE)

    @cached_property
    def scored(self) -> tuple[Trial, ...]:
        """Those with a score, by number."""
        return tuple(trial for trial in self.trials if trial.score is not None)

    @cached_property
    def contenders(self) -> tuple[Trial, ...]:
        """Those that could win, the best first: the ones that ran to their end, or all with a score if none did."""
        numbers = {row.id.number for row in contenders([row for row in self.rows if row.id.repeat == 0])}
        able = [trial for trial in self.scored if trial.number in numbers]
        return tuple(sorted(able, key=lambda one: (-(one.score or 0.0), one.number)))

    @cached_property
    def out_of_race(self) -> tuple[Trial, ...]:
        """Those with a score that could not win, the best first."""
        others = [trial for trial in self.scored if trial not in self.contenders]
        return tuple(sorted(others, key=lambda one: (-(one.score or 0.0), one.number)))

    @cached_property
    def standings(self) -> list[Standing]:
        """The finalists, the winner first."""
        return standings(self.rows, self.params.finalists, self.params.objective)

    @cached_property
    def front(self) -> list[Trial]:
        """The trials that no other beats in both score and gap, by gap.

        With the objective `accuracy_and_gap` those that the finalists came from; else of all, stopped ones included.
        """
        if not self.params.objective.weighs_gap:
            return pareto_front(self.scored)
        numbers = front_numbers(self.rows, self.params.objective)
        return pareto_front([trial for trial in self.trials if trial.number in numbers])

    def measured(self, measure: str) -> list[tuple[Trial, float]]:
        """The trials of which a limited measure is known, with it."""
        known = [(trial, limits.figures(trial.size).get(measure)) for trial in self.trials]
        return [(trial, figure) for trial, figure in known if figure is not None]

    @property
    def winner(self) -> Trial:
        return next(trial for trial in self.trials if trial.number == self.standings[0].row.id.number)

    @cached_property
    def study(self) -> RebuiltStudy:
        """The same trials as Optuna knows them."""
        scored = [ScoredTrial(number=one.number, values=one.values, score=one.score or 0.0) for one in self.scored]
        labels = [label(path) for path in self.params.space]
        names = {
            path: one if labels.count(one) == 1 else path for path, one in zip(self.params.space, labels, strict=True)
        }
        return RebuiltStudy(self.params.space, scored, names=names, target="validation score")

    @cached_property
    def importances(self) -> Mapping[str, float]:
        return self.study.importances()

    def _trial(self, row: LedgerRow) -> Trial:
        outcome = row.outcome
        assert outcome is not None
        curve = outcome.curve
        return Trial(
            number=row.id.number,
            values=row.proposal.values,
            state=outcome.state,
            reason=outcome.reason,
            curve=curve,
            score=outcome.score,
            gap=best_row(curve).gap_accuracy if curve else None,
            cpu_s=row.cost.cpu_s,
            size=row.size,
            reading=reading(
                curve,
                self.head,
                n_train=self.n_train,
                n_val=self.n_val,
                reason=outcome.reason,
                recipe=self._recipe(row),
            ),
        )

    def _recipe(self, row: LedgerRow) -> Mapping[str, Any] | None:
        if self.base is None:
            return None
        values = {**row.proposal.values, "training.epochs": row.proposal.epochs}
        return recipe_with(self.base, values).model_dump(mode="json")


def label(path: str) -> str:
    """`model.filters` is `filters`, but `optimizer.name` is `optimizer`.

    Example:
        >>> label("model.filters"), label("optimizer.name")
        ('filters', 'optimizer')
    """
    section, _, name = path.rpartition(".")
    return section if name == "name" else name


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other beats in both score (larger) and gap (smaller, 0 or more), by gap.

    Example:
        >>> pareto_front([])
        []
    """
    return pareto.front(trials, lambda trial: (trial.score or 0.0, max(0.0, trial.gap or 0.0)))

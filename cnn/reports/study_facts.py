"""What a study's report is made from: the ledger's trials, each with its score, gap and verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from cnn.config.params import SearchParams
from cnn.records import Curve, Head, TrialState, Values, best_row
from cnn.reports.verdicts import Reading, reading
from cnn.search.engines.optuna_study import RebuiltStudy, ScoredTrial
from cnn.search.finalists import Standing, standings
from cnn.search.ledger import LedgerRow


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
    rounds: tuple[Round, ...] = ()

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Those that are over, by number."""
        return tuple(self._trial(row) for row in self.rows if row.id.repeat == 0 and row.outcome is not None)

    @cached_property
    def scored(self) -> tuple[Trial, ...]:
        """Those with a score, by number."""
        return tuple(trial for trial in self.trials if trial.score is not None)

    @cached_property
    def ranked(self) -> tuple[Trial, ...]:
        """Those with a score, the best first; completed ones before those that were stopped."""
        return tuple(
            sorted(self.scored, key=lambda one: (one.state is not TrialState.COMPLETED, -(one.score or 0), one.number))
        )

    @cached_property
    def standings(self) -> list[Standing]:
        """The finalists, the winner first."""
        return standings(self.rows, self.params.finalists)

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
            reading=reading(curve, self.head, n_train=self.n_train, n_val=self.n_val, reason=outcome.reason),
        )


def label(path: str) -> str:
    """`model.filters` is `filters`, but `optimizer.name` is `optimizer`.

    Example:
        >>> label("model.filters"), label("optimizer.name")
        ('filters', 'optimizer')
    """
    section, _, name = path.rpartition(".")
    return section if name == "name" else name


def pareto_front(trials: Sequence[Trial]) -> list[Trial]:
    """Those that no other beats in both score (larger) and gap (smaller), by gap.

    Example:
        >>> pareto_front([])
        []
    """
    front: list[Trial] = []
    for trial in sorted(trials, key=lambda one: (one.gap or 0.0, -(one.score or 0.0))):
        if not front or (trial.score or 0.0) > (front[-1].score or 0.0):
            front.append(trial)
    return front

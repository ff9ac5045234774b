"""Optuna's samplers and pruners behind `Searcher`.

Decisions are made in a study held in memory, whose trials bear our numbers and whose name is fixed: they depend on
the seed and the answers alone, never on a database, a study's name or an earlier kill. `StudyMirror` writes the
same trials to Optuna's storage for optuna-dashboard.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import optuna  # noqa: TID251

from cnn.config.objective import ObjectiveParams
from cnn.config.space import Choice, Dimension, Float
from cnn.records import Outcome, Proposal, Scalar
from cnn.search.engines.optuna_goal import Goal
from cnn.search.engines.optuna_mirror import StudyMirror
from cnn.search.engines.optuna_samplers import check_sampler, make_pruner, make_sampler
from cnn.search.engines.searcher import Adjust, Known, StoredTrial
from cnn.search.space import Space

_STUDY = "search"
_OPTIMIZER = "cma:optimizer"


class OptunaSearcher:
    """Asks Optuna.

    The sampler is made anew for each proposal, from (seed, number), so that a restarted search goes on as if nothing
    had happened. What samplers note for themselves on trials and study is the text of `state()`.

    Args:
        sampler: `tpe` (multivariate, constant liar; by groups where the space has conditions), `nsgaii` (by populations
            of `POPULATION`; trials that it did not propose are in none), `random`, `cmaes` (numbers without
            conditions), `qmc` (scrambled Sobol, no conditions), `gp` (needs torch).
        pruner: `hyperband`, `median`, `none`. A resource is an epoch. The last epoch is never pruned. Where the
            objective weighs the gap nothing is pruned: Optuna's pruners go by one value.
        storage_url: SQLAlchemy URL of Optuna's storage.
        objective: One value or two, and the limits, which samplers hear of as constraints.

    Raises:
        SpaceError: The sampler can't work on this space or isn't installed.
        IntegrityError: The storage's sqlite file is torn.
        ServiceError: The storage doesn't answer.
    """

    steerable = True

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        epochs: int,
        sampler: str,
        pruner: str,
        storage_url: str,
        study_name: str,
        objective: ObjectiveParams | None = None,
    ) -> None:
        check_sampler(sampler, space)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._seed = seed
        self._epochs = epochs
        self._sampler = sampler
        self._goal = Goal(objective or ObjectiveParams())
        self._distributions = {path: distribution(dimension) for path, dimension in space.dimensions.items()}
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=_STUDY,
            directions=self._goal.directions,
            sampler=optuna.samplers.RandomSampler(seed=seed),
            pruner=make_pruner(pruner if self._goal.prunes else "none", epochs),
        )
        self._study_id = self._storage.get_study_id_from_name(_STUDY)
        self._ids: list[int] = []
        self._n_known = 0  # trials of earlier searches, before ours
        self._doomed: set[int] = set()
        self._mirror = StudyMirror(storage_url, study_name, distributions=self._distributions, goal=self._goal)

    @property
    def learns(self) -> bool:
        """Others draw without looking at scores, or from trials that they proposed themselves."""
        return self._sampler in ("tpe", "gp")

    def remember(self, known: Sequence[Known]) -> None:
        for trial in known:
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=dict(trial.values),
                    distributions={path: self._distributions[path] for path in trial.values},
                    values=self._goal.known(trial.score, trial.gap),
                )
            )
        self._n_known = len(known)

    def restore(self, trials: Sequence[StoredTrial], state: str) -> None:
        kept = json.loads(state) if state else {"study": {}, "trials": {}}
        for key, value in kept["study"].items():
            self._storage.set_study_system_attr(self._study_id, key, value)
        for trial in trials:
            self._readd(trial, kept["trials"].get(str(trial.proposal.number), {}))
        self._mirror.restore(trials)

    def ask(self, number: int, adjust: Adjust | None = None) -> Proposal:
        self._study.sampler = make_sampler(self._sampler, self._space, seed=self._seed, number=number)
        trial = self._study.ask()
        self._enter(number, trial.number)
        values: dict[str, Scalar] = {}
        for path, distribution in self._distributions.items():
            if self._space.is_active(path, values):
                proposed = _suggested(trial, path, distribution)
                values[path] = adjust(path, proposed) if adjust else proposed
                if values[path] != proposed:
                    inside = distribution.to_internal_repr(values[path])
                    self._storage.set_trial_param(self._ids[number], path, inside, distribution)
        proposal = Proposal(number=number, values=values, epochs=self._epochs)
        self._mirror.ask(proposal)
        return proposal

    def enter(self, proposal: Proposal) -> None:
        self._readd(StoredTrial(proposal=proposal), {})
        self._mirror.ask(proposal)

    def report(self, number: int, epoch: int, score: float) -> bool:
        doomed = self._judge(number, epoch, score)
        self._mirror.report(number, epoch + 1, score)
        return doomed

    def tell(self, outcome: Outcome) -> None:
        self._end(outcome)
        self._mirror.tell(outcome)

    def state(self) -> str:
        study = self._storage.get_study_system_attrs(self._study_id)
        trials = self._sampler_notes() if self._sampler in ("cmaes", "nsgaii") else {}
        return json.dumps({"study": study, "trials": trials}) if study or trials else ""

    def _enter(self, number: int, optuna_number: int) -> None:
        if optuna_number != number + self._n_known:
            raise ValueError(f"trial {number} was asked for out of order: {optuna_number - self._n_known} is next")
        self._ids.append(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, optuna_number))

    def _readd(self, trial: StoredTrial, notes: Mapping[str, Any]) -> None:
        """A trial of the ledger, its reports judged again so that pruners find the marks they left on it."""
        number = trial.proposal.number
        values = trial.proposal.values
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=dict(values),
            distributions={path: self._distributions[path] for path in values},
            system_attrs=dict(notes),
        )
        self._study.add_trial(template)
        self._enter(number, self._n_known + len(self._ids))
        for row in trial.curve:
            self._judge(number, row.epoch, row.val_score)
        if trial.outcome is not None:
            self._end(trial.outcome)

    def _judge(self, number: int, epoch: int, score: float) -> bool:
        """Record a score; whether the trial is to be pruned, now or since an earlier epoch."""
        trial_id = self._ids[number]
        if epoch + 1 in self._storage.get_trial(trial_id).intermediate_values:
            return number in self._doomed
        self._storage.set_trial_intermediate_value(trial_id, epoch + 1, score)
        # what the storage gave before does not know this score
        if epoch + 1 < self._epochs and self._study.pruner.prune(self._study, self._storage.get_trial(trial_id)):
            self._doomed.add(number)
        return number in self._doomed

    def _end(self, outcome: Outcome) -> None:
        state, values = self._goal.told(outcome)
        self._doomed.discard(outcome.number)
        for name, value in self._goal.constraints(outcome).items():
            self._storage.set_trial_system_attr(self._ids[outcome.number], name, value)
        # A pruned trial's value is its last score: Optuna takes it from the reports.
        number = self._n_known + outcome.number
        self._study.tell(number, values if state is optuna.trial.TrialState.COMPLETE else None, state)

    def _sampler_notes(self) -> dict[int, dict[str, Any]]:
        """Notes on trials: all generations, and of CMA-ES's optimizers those that can still be read."""
        trials = self._study.get_trials(deepcopy=False)
        completed = optuna.trial.TrialState.COMPLETE
        told = [trial.number for trial in trials if trial.state is completed and _has_optimizer(trial)]
        newest = max(told, default=-1)
        return {
            trial.number: {
                key: value
                for key, value in trial.system_attrs.items()
                if trial.number >= newest or not trial.state.is_finished() or not key.startswith(_OPTIMIZER)
            }
            for trial in trials
        }


def distribution(dimension: Dimension) -> optuna.distributions.BaseDistribution:
    """What Optuna draws a dimension's values from."""
    if isinstance(dimension, Choice):
        return optuna.distributions.CategoricalDistribution(dimension.values)
    if isinstance(dimension, Float):
        return optuna.distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    return optuna.distributions.IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def _suggested(trial: optuna.Trial, path: str, distribution: optuna.distributions.BaseDistribution) -> Scalar:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        choice: Scalar = trial.suggest_categorical(path, distribution.choices)
        return choice
    if isinstance(distribution, optuna.distributions.FloatDistribution):
        return float(trial.suggest_float(path, distribution.low, distribution.high, log=distribution.log))
    step = distribution.step
    return int(trial.suggest_int(path, distribution.low, distribution.high, step=step, log=distribution.log))


def _has_optimizer(trial: optuna.trial.FrozenTrial) -> bool:
    return any(key.startswith(_OPTIMIZER) for key in trial.system_attrs)

"""Optuna's samplers and pruners behind `Searcher`.

Decisions are made in a study held in memory, whose trials bear our numbers and whose name is fixed: they depend on
the seed and the answers alone, never on a database, a study's name or an earlier kill. `StudyMirror` writes the
same trials to Optuna's storage for optuna-dashboard.
"""

import importlib.util
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna  # noqa: TID251

from cnn.config.space import Choice, Dimension, Float
from cnn.errors import SpaceError
from cnn.records import Outcome, Proposal, Scalar, TrialState
from cnn.search.engines.optuna_mirror import StudyMirror
from cnn.search.engines.searcher import Adjust, StoredTrial
from cnn.search.space import Space

_STUDY = "search"
_OPTIMIZER = "cma:optimizer"


class OptunaSearcher:
    """Asks Optuna.

    The sampler is made anew for each proposal, from (seed, number), so that a restarted search goes on as if nothing
    had happened. What samplers note for themselves on trials and study is the text of `state()`.

    Args:
        sampler: `tpe` (multivariate, constant liar; by groups where the space has conditions), `random`, `cmaes`
            (numbers without conditions), `qmc` (scrambled Sobol, no conditions), `gp` (needs torch).
        pruner: `hyperband`, `median`, `none`. A resource is an epoch. The last epoch is never pruned.
        storage_url: SQLAlchemy URL of Optuna's storage.

    Raises:
        SpaceError: The sampler can't work on this space or isn't installed.
        IntegrityError: The storage's sqlite file is torn.
        ServiceError: The storage doesn't answer.
    """

    steerable = True

    def __init__(
        self, space: Space, *, seed: int, epochs: int, sampler: str, pruner: str, storage_url: str, study_name: str
    ) -> None:
        _check_sampler(sampler, space)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._seed = seed
        self._epochs = epochs
        self._sampler = sampler
        self._distributions = {path: distribution(dimension) for path, dimension in space.dimensions.items()}
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=_STUDY,
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=seed),
            pruner=_PRUNERS[pruner](epochs),
        )
        self._study_id = self._storage.get_study_id_from_name(_STUDY)
        self._ids: list[int] = []
        self._doomed: set[int] = set()
        self._mirror = StudyMirror(storage_url, study_name, distributions=self._distributions, ending=_ending)

    def restore(self, trials: Sequence[StoredTrial], state: str) -> None:
        kept = json.loads(state) if state else {"study": {}, "trials": {}}
        for key, value in kept["study"].items():
            self._storage.set_study_system_attr(self._study_id, key, value)
        for trial in trials:
            self._readd(trial, kept["trials"].get(str(trial.proposal.number), {}))
        self._mirror.restore(trials)

    def ask(self, number: int, adjust: Adjust | None = None) -> Proposal:
        self._study.sampler = _sampler(self._sampler, self._space, seed=self._seed, number=number)
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
        trials = self._sampler_notes() if self._sampler == "cmaes" else {}
        return json.dumps({"study": study, "trials": trials}) if study or trials else ""

    def _enter(self, number: int, optuna_number: int) -> None:
        if optuna_number != number:
            raise ValueError(f"trial {number} was asked for out of order: {optuna_number} is next")
        self._ids.append(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number))

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
        self._enter(number, len(self._ids))
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
        state, value = _ending(outcome)
        self._doomed.discard(outcome.number)
        # A pruned trial's value is its last score: Optuna takes it from the reports.
        told = value if state is optuna.trial.TrialState.COMPLETE else None
        self._study.tell(outcome.number, told, state)

    def _sampler_notes(self) -> dict[int, dict[str, Any]]:
        """CMA-ES's notes on trials: all generations, and of its optimizers those that can still be read."""
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


def _check_sampler(sampler: str, space: Space) -> None:
    if sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise _unfit(
            sampler, "no torch", "torch installed", "pip install 'cnn-overnight[gp]' or choose another sampler"
        )
    if sampler in ("cmaes", "qmc") and space.has_conditions:
        raise _unfit(sampler, "a space with conditions", "a space without", "remove the `when`s or choose tpe")
    choices = [path for path, dimension in space.dimensions.items() if isinstance(dimension, Choice)]
    if sampler == "cmaes" and choices:
        raise _unfit(sampler, f"choices ({', '.join(choices)})", "floats and ints only", "remove them or choose tpe")


def _unfit(sampler: str, received: str, expected: str, change: str) -> SpaceError:
    return SpaceError(f"search.sampler {sampler}", received=received, expected=expected, change=change)


def _sampler(name: str, space: Space, *, seed: int, number: int) -> optuna.samplers.BaseSampler:
    draw = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=draw, multivariate=True, group=space.has_conditions)
        if name == "qmc":
            independent = optuna.samplers.RandomSampler(seed=draw)
            return optuna.samplers.QMCSampler(seed=seed, scramble=True, independent_sampler=independent)
        return _SAMPLERS[name](seed=draw)


_SAMPLERS: dict[str, Callable[..., optuna.samplers.BaseSampler]] = {
    "random": optuna.samplers.RandomSampler,
    "cmaes": optuna.samplers.CmaEsSampler,
    "gp": optuna.samplers.GPSampler,
}

_PRUNERS: dict[str, Callable[[int], optuna.pruners.BasePruner]] = {
    "hyperband": lambda epochs: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=epochs),
    "median": lambda epochs: optuna.pruners.MedianPruner(),
    "none": lambda epochs: optuna.pruners.NopPruner(),
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


def _ending(outcome: Outcome) -> tuple[optuna.trial.TrialState, float | None]:
    """An outcome in Optuna's terms: nothing to learn from a trial without a finite score."""
    score = outcome.score
    if outcome.state is TrialState.PRUNED:
        return optuna.trial.TrialState.PRUNED, outcome.curve[-1].val_score if outcome.curve else None
    if outcome.state is TrialState.COMPLETED and score is not None and math.isfinite(score):
        return optuna.trial.TrialState.COMPLETE, score
    return optuna.trial.TrialState.FAIL, None


def _has_optimizer(trial: optuna.trial.FrozenTrial) -> bool:
    return any(key.startswith(_OPTIMIZER) for key in trial.system_attrs)

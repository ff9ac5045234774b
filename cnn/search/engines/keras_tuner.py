"""KerasTuner's oracles behind `Searcher`.

An oracle is used for what it is good at, `populate_space`; its files, locks, retries and failure limit are never
reached. What it knows of past trials is given back to it from the ledger, and the few figures it keeps besides are
the text of `state()`. Importing this module imports Keras.
"""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras_tuner  # noqa: TID251
import numpy as np
from keras_tuner.engine import hyperparameters  # noqa: TID251
from keras_tuner.engine.trial import Trial  # noqa: TID251
from keras_tuner.src.engine.conditions import Parent  # noqa: TID251
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from cnn.config.space import Choice, Dimension, Float
from cnn.records import Outcome, Proposal, Scalar, TrialState
from cnn.search.engines.searcher import Adjust, Known, Pause, StoredTrial
from cnn.search.focus import adjusted
from cnn.search.space import Space

N_GRID_POINTS = 5
"""Into how many values, both ends among them, a grid divides a real dimension."""

_EPOCHS = "tuner/epochs"
_KEPT = ("seed_state", "brackets", "current_bracket", "current_iteration")
_WORST = 0.0  # the worst score there is, whatever the task: of an earlier trial that diverged
_FOREVER = 1_000_000_000


class KerasTunerSearcher:
    """Asks a KerasTuner oracle. It never prunes; a failed trial is passed over.

    Args:
        sampler: `random` (no values twice; ends after 20 draws in a row that were tried before), `bayesian` (Gaussian
            process; after 3 random trials a dimension; may repeat values), `hyperband` (bracket after bracket without
            end; a promoted trial is trained again from scratch with the larger `epochs`), `grid` (each point once, a
            real dimension in `N_GRID_POINTS` values).
    """

    def __init__(self, space: Space, *, seed: int, epochs: int, sampler: str) -> None:
        self._space = space
        self._seed = seed
        self._epochs = epochs
        self._sampler = sampler
        self._codes = {path: _Code(dimension, grid=sampler == "grid") for path, dimension in space.dimensions.items()}
        self._oracle = _oracle(sampler, self._hyperparameters(), seed=_draw(seed), epochs=epochs)

    @property
    def steerable(self) -> bool:
        """A grid tries its points, and a bracket promotes what it has drawn itself."""
        return self._sampler in ("random", "bayesian")

    @property
    def learns(self) -> bool:
        """Only the Gaussian process goes by scores; it takes any trial."""
        return self._sampler == "bayesian"

    def remember(self, known: Sequence[Known]) -> None:
        for place, trial in enumerate(known):
            coded = {path: self._codes[path].coded(value) for path, value in trial.values.items()}
            entered = self._enter(f"known-{place}", coded)
            entered.status, entered.score = "COMPLETED", _WORST if trial.score is None else trial.score
            self._oracle.ongoing_trials.pop(entered.trial_id)

    def restore(self, trials: Sequence[StoredTrial], state: str) -> None:
        for trial in trials:
            number = trial.proposal.number
            if self._sampler == "grid":
                self._populate(number)
            self._enter(_id(number), self._coded(trial.proposal))
            if trial.outcome is not None:
                self.tell(trial.outcome)
        if state:
            self._oracle.set_state(self._oracle.get_state() | json.loads(state))

    def ask(self, number: int, adjust: Adjust | None = None) -> Proposal | Pause:
        answer = self._populate(number)
        if answer["status"] != "RUNNING":
            return Pause.WAIT if answer["status"] == "IDLE" else Pause.EXHAUSTED
        coded = answer["values"]
        values = {path: code.decoded(coded[path]) for path, code in self._codes.items() if path in coded}
        proposal = Proposal(number=number, values=values, epochs=int(coded.get(_EPOCHS, self._epochs)))
        if adjust is not None:
            proposal = replace(proposal, values=adjusted(self._space, values, adjust))
            coded = self._coded(proposal)
        self._enter(_id(number), coded)
        return proposal

    def enter(self, proposal: Proposal) -> None:
        self._enter(_id(proposal.number), self._coded(proposal))

    def report(self, number: int, epoch: int, score: float) -> bool:
        return False

    def tell(self, outcome: Outcome) -> None:
        trial = self._oracle.trials[_id(outcome.number)]
        score = outcome.score
        learnt = outcome.state is not TrialState.FAILED and score is not None and np.isfinite(score)
        trial.status = "COMPLETED" if learnt else "FAILED"
        trial.score = score if learnt else None
        self._oracle.ongoing_trials.pop(trial.trial_id, None)

    def state(self) -> str:
        state = self._oracle.get_state()
        return json.dumps({key: state[key] for key in _KEPT if key in state})

    def _populate(self, number: int) -> dict[str, Any]:
        if self._sampler == "grid" and number:
            # The next point follows the newest, whether or not that has ended: no new dimension can turn up.
            self._oracle._populate_next = [_id(number - 1)]
        with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
            # A process of a few dozen points is four times faster on one thread, and the same on every machine.
            # A kernel at the end of its range, in a space where a dimension doesn't matter, is nobody's mistake.
            warnings.simplefilter("ignore", ConvergenceWarning)
            if self._sampler == "bayesian":
                self._begin_afresh(number)
            answer: dict[str, Any] = self._oracle.populate_space(_id(number))
        return answer

    def _begin_afresh(self, number: int) -> None:
        """Make the Gaussian process a function of seed, number and trials: its generator and fit don't outlive an ask.

        It is fitted to the finished trials first, or its guess of how those under way will end is 0 +- 1.
        """
        oracle = self._oracle
        oracle._random_state = np.random.RandomState(_draw(self._seed, number))
        oracle.gpr = oracle._make_gpr()
        trials = oracle.trials
        finished = {key: trial for key, trial in trials.items() if trial.status == "COMPLETED"}
        if oracle.ongoing_trials and len(finished) >= 3 * len(self._codes):
            oracle.trials = finished
            oracle.gpr.fit(*oracle._vectorize_trials())
            oracle.trials = trials

    def _enter(self, trial_id: str, coded: dict[str, Any]) -> Trial:
        space = self._oracle.get_space()
        space.values = dict(coded)
        trial = Trial(space, trial_id=trial_id, status="RUNNING")
        self._oracle.trials[trial.trial_id] = trial
        self._oracle.ongoing_trials[trial.trial_id] = trial
        self._oracle.start_order.append(trial.trial_id)
        self._oracle._record_values(trial)
        return trial

    def _coded(self, proposal: Proposal) -> dict[str, Any]:
        coded: dict[str, Any] = {path: self._codes[path].coded(value) for path, value in proposal.values.items()}
        return coded | ({_EPOCHS: proposal.epochs} if self._sampler == "hyperband" else {})

    def _hyperparameters(self) -> Any:
        """The space in KerasTuner's terms. Its `conditional_scope` knows no two parents at once; its `Parent` does."""
        space = keras_tuner.HyperParameters()
        for path, dimension in self._space.dimensions.items():
            conditions = [
                Parent(parent, [self._codes[parent].coded(value) for value in allowed])
                for parent, allowed in dimension.when.items()
            ]
            space.merge([self._codes[path].hyperparameter(path, conditions)])
        return space


class _Code:
    """A dimension as KerasTuner takes it: choices, and the points of a grid, by their index; numbers as they are."""

    def __init__(self, dimension: Dimension, *, grid: bool) -> None:
        self._dimension = dimension
        self._points: Sequence[Scalar] | None = None
        if isinstance(dimension, Choice):
            self._points = dimension.values
        elif grid:
            self._points = _grid(dimension)

    def coded(self, value: Scalar) -> Scalar:
        return value if self._points is None else self._points.index(value)

    def decoded(self, code: Any) -> Scalar:
        """The value in the dimension's own type and range: KerasTuner may end an ulp, or one, above it."""
        if self._points is not None:
            return self._points[int(code)]
        assert not isinstance(self._dimension, Choice)
        kind = float if isinstance(self._dimension, Float) else int
        return kind(min(max(code, self._dimension.low), self._dimension.high))

    def hyperparameter(self, path: str, conditions: list[Any]) -> Any:
        if self._points is not None:
            codes = list(range(len(self._points)))
            return hyperparameters.Choice(path, codes, ordered=False, conditions=conditions)
        assert not isinstance(self._dimension, Choice)
        low, high, sampling = self._dimension.low, self._dimension.high, "log" if self._dimension.log else "linear"
        if isinstance(self._dimension, Float):
            return hyperparameters.Float(path, low, high, sampling=sampling, conditions=conditions)
        step = None if self._dimension.log else self._dimension.step
        return hyperparameters.Int(path, low, high, step=step, sampling=sampling, conditions=conditions)


def _grid(dimension: Dimension) -> Sequence[Scalar]:
    assert not isinstance(dimension, Choice)
    if isinstance(dimension, Float):
        spaced = np.geomspace if dimension.log else np.linspace
        return [float(point) for point in spaced(dimension.low, dimension.high, N_GRID_POINTS)]
    return range(dimension.low, dimension.high + 1, dimension.step)


def _oracle(sampler: str, space: Any, *, seed: int, epochs: int) -> Any:
    objective = keras_tuner.Objective("score", "max")
    common = {"objective": objective, "hyperparameters": space, "seed": seed}
    if sampler == "random":
        return keras_tuner.oracles.RandomSearchOracle(**common, max_trials=_FOREVER)
    if sampler == "bayesian":
        return keras_tuner.oracles.BayesianOptimizationOracle(**common, max_trials=_FOREVER)
    if sampler == "hyperband":
        return keras_tuner.oracles.HyperbandOracle(**common, max_epochs=epochs, hyperband_iterations=_FOREVER)
    return keras_tuner.oracles.GridSearchOracle(**common, max_trials=_FOREVER)


def _draw(*key: int) -> int:
    """A seed from a key; KerasTuner counts its seeds up, so those of neighbouring searches must lie apart."""
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def _id(number: int) -> str:
    return f"{number:07d}"

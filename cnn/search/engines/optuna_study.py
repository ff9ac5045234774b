"""A finished search as an Optuna study in memory, and what Optuna has to say of it: importances and its own charts."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna  # noqa: TID251

from cnn.config.space import Choice, Dimension
from cnn.records import Values
from cnn.search.engines.optuna import distribution

MIN_TRIALS = 10
"""Fewer say nothing of what matters: the best tenth would be less than one trial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTrial:
    """A trial with a score, whether it ran to its end or was stopped; larger is better."""

    number: int
    values: Values
    score: float


class RebuiltStudy:
    """The trials of a ledger as Optuna knows them; nothing is written anywhere.

    Args:
        dimensions: The space, by dotted path.
        names: What each path is called in charts.
        target: What a score is called there.
    """

    def __init__(
        self,
        dimensions: Mapping[str, Dimension],
        trials: Sequence[ScoredTrial],
        *,
        names: Mapping[str, str],
        target: str,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._dimensions, self._names, self._target = dimensions, names, target
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
        known = {path: distribution(dimension) for path, dimension in dimensions.items()}
        for trial in trials:
            inside = {path: value for path, value in trial.values.items() if _fits(known.get(path), value)}
            self._study.add_trial(
                optuna.trial.create_trial(
                    params={names[path]: value for path, value in inside.items()},
                    distributions={names[path]: known[path] for path in inside},
                    value=trial.score,
                )
            )
        self._trials = trials

    @property
    def common(self) -> tuple[str, ...]:
        """The hyperparameters that every trial has and that take more than one value, in the order of the space."""
        return tuple(
            path
            for path in self._dimensions
            if all(path in trial.values for trial in self._trials)
            and len({trial.values[path] for trial in self._trials}) > 1
        )

    def importances(self) -> dict[str, float]:
        """Of each hyperparameter that every trial has, the largest first; they sum to 1. Empty below `MIN_TRIALS`.

        How much the best tenth of the trials differs in it from all of them: a functional ANOVA of the two densities.

        References:
            Watanabe, Bansal and Hutter, "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary
            subspaces", IJCAI 2023.
        """
        if len(self._trials) < MIN_TRIALS or not self.common:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            found = optuna.importance.get_param_importances(
                self._study, evaluator=evaluator, params=self._named(self.common)
            )
        paths = {name: path for path, name in self._names.items()}
        return {paths[name]: importance for name, importance in found.items()}

    def parallel_coordinates(self) -> Any:
        """A line a trial through its values to its score, as a plotly figure."""
        return optuna.visualization.plot_parallel_coordinate(
            self._study, params=self._named(self.common), target_name=self._target
        )

    def slices(self) -> Any | None:
        """The score over each numeric hyperparameter, as a plotly figure; None when there is none."""
        numeric = [path for path in self.common if not isinstance(self._dimensions[path], Choice)]
        if not numeric:
            return None
        return optuna.visualization.plot_slice(self._study, params=self._named(numeric), target_name=self._target)

    def _named(self, paths: Sequence[str]) -> list[str]:
        return [self._names[path] for path in paths]


def _fits(known: optuna.distributions.BaseDistribution | None, value: object) -> bool:
    """Whether the space, which may have been narrowed since, still has the value."""
    return known is not None and known._contains(known.to_internal_repr(value))

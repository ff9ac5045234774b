"""Optuna's samplers and pruners by their words in `params.yaml`, and on which spaces they work."""

import importlib.util
import warnings
from collections.abc import Callable

import numpy as np
import optuna  # noqa: TID251

from cnn.config.space import Choice
from cnn.errors import SpaceError
from cnn.search.space import Space

POPULATION = 12
"""Of NSGA-II: a night has tens of trials, and Optuna's 50 would make most of them random."""


def check_sampler(sampler: str, space: Space) -> None:
    """Raises SpaceError when the sampler can't work on this space or isn't installed."""
    if sampler == "gp" and importlib.util.find_spec("torch") is None:
        raise _unfit(
            sampler, "no torch", "torch installed", "pip install 'cnn-overnight[gp]' or choose another sampler"
        )
    if sampler in ("cmaes", "qmc") and space.has_conditions:
        raise _unfit(sampler, "a space with conditions", "a space without", "remove the `when`s or choose tpe")
    choices = [path for path, dimension in space.dimensions.items() if isinstance(dimension, Choice)]
    if sampler == "cmaes" and choices:
        raise _unfit(sampler, f"choices ({', '.join(choices)})", "floats and ints only", "remove them or choose tpe")


def make_sampler(name: str, space: Space, *, seed: int, number: int) -> optuna.samplers.BaseSampler:
    """The sampler for one proposal, a function of (seed, number)."""
    draw = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            return optuna.samplers.TPESampler(seed=draw, multivariate=True, group=space.has_conditions)
        if name == "qmc":
            independent = optuna.samplers.RandomSampler(seed=draw)
            return optuna.samplers.QMCSampler(seed=seed, scramble=True, independent_sampler=independent)
        if name == "nsgaii":
            return optuna.samplers.NSGAIISampler(seed=draw, population_size=POPULATION)
        return _SAMPLERS[name](seed=draw)


def make_pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    """The pruner for trials of so many epochs; a resource is an epoch."""
    return _PRUNERS[name](epochs)


def _unfit(sampler: str, received: str, expected: str, change: str) -> SpaceError:
    return SpaceError(f"search.sampler {sampler}", received=received, expected=expected, change=change)


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

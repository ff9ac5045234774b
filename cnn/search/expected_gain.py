"""What going on with a search promises: by how much the next trials together would raise the best score.

A Gaussian process is fitted to the scores so far, its noise with it: the score of a recipe moves with the seed, and the
best of many owes some of its score to that. From its posterior comes the expected gain of a batch of proposals, chosen
by Thompson sampling, over the recipe that is believed to be best now.

References:
    Makarova et al., "Automatic termination for hyperparameter optimization", AutoML 2022, which ends a search when its
    regret bound is below the noise; the gain of a batch by Monte Carlo is that of Wilson, Hutter and Deisenroth,
    "Maximizing acquisition functions for Bayesian optimization", NeurIPS 2018.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cnn.config.space import Choice, Dimension
from cnn.records import Scalar, Values
from cnn.search.space import Space

NEXT = 10
"""Trials whose gain together is asked for."""

_FEWEST = 10
_N_CANDIDATES, _N_NEAR, _N_DRAWS = 256, 64, 256

Scored = tuple[Values, float]
_Array = npt.NDArray[np.float64]


def fewest_trials(space: Space) -> int:
    """Fewer completed trials say nothing of what is left to find: ten, or two a dimension."""
    return max(_FEWEST, 2 * len(space.dimensions))


def expected_gain(space: Space, trials: Sequence[Scored], *, seed: int) -> float:
    """By how much the best score is expected to rise over the next `NEXT` trials, 0 or more.

    Args:
        trials: Values and score (larger is better) of those that ran to their end; `fewest_trials` or more.
        seed: Of the candidates and draws; same arguments, same gain.

    Raises:
        ValueError: There are too few trials.
    """
    if len(trials) < fewest_trials(space):
        raise ValueError(f"Expected {fewest_trials(space)} trials or more. Received {len(trials)}.")
    rng = np.random.default_rng(seed)
    scores = np.array([score for _, score in trials])
    spread = float(scores.std())
    if spread == 0.0:
        return 0.0
    tried = [dict(values) for values, _ in trials]
    best = [tried[place] for place in np.argsort(-scores, kind="stable")[:5]]
    near = [_moved(space, best[place % len(best)], rng) for place in range(_N_NEAR)]
    candidates = [space.sample(rng) for _ in range(_N_CANDIDATES)] + near
    points = np.array([encoded(space, values) for values in [*tried, *candidates]])
    draws = _posterior(points, len(tried), (scores - scores.mean()) / spread, rng)
    means = draws.mean(axis=0)
    incumbent = int(means[: len(tried)].argmax())
    half = len(draws) // 2  # those that choose the batch must not judge it
    batch = np.unique(draws[:half][:NEXT].argmax(axis=1))
    gains = draws[half:, batch].max(axis=1) - draws[half:, incumbent]
    return spread * float(np.maximum(gains, 0.0).mean())


def encoded(space: Space, values: Values) -> list[float]:
    """A point in the unit cube: numbers on their own scale, a choice a corner a value, what is inactive in the middle.

    Example:
        >>> from cnn.config.space import Float
        >>> space = Space({"optimizer.learning_rate": Float(type="float", low=0.0001, high=0.01, log=True)})
        >>> [round(place, 2) for place in encoded(space, {"optimizer.learning_rate": 0.001})]
        [0.5]
    """
    return [place for path, one in space.dimensions.items() for place in _places(one, values.get(path))]


def _places(dimension: Dimension, value: Scalar | None) -> list[float]:
    if isinstance(dimension, Choice):
        if value is None:
            return [1 / len(dimension.values)] * len(dimension.values)
        return [float(one == value and type(one) is type(value)) for one in dimension.values]
    if value is None or dimension.low == dimension.high:
        return [0.5]
    low, high, number = (float(one) for one in (dimension.low, dimension.high, value))
    if dimension.log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return [(number - low) / (high - low)]


def _moved(space: Space, values: Values, rng: np.random.Generator) -> dict[str, Scalar]:
    """A neighbour: one dimension anew; what becomes active by it is drawn, what becomes inactive is dropped."""
    drawn = space.sample(rng)
    path = list(values)[rng.integers(len(values))]
    fresh: dict[str, Scalar] = {}
    for other in space.dimensions:
        if space.is_active(other, fresh):
            kept = other != path and other in values
            fresh[other] = values[other] if kept else drawn.get(other, _any(space, other, rng))
    return fresh


def _any(space: Space, path: str, rng: np.random.Generator) -> Scalar:
    alone = Space({path: space.dimensions[path].model_copy(update={"when": {}})})
    return alone.sample(rng)[path]


def _posterior(points: _Array, n_tried: int, scores: _Array, rng: np.random.Generator) -> _Array:
    """(draws, points): functions that the scores of the first `n_tried` points leave possible."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
    from threadpoolctl import threadpool_limits

    matern = Matern(np.full(points.shape[1], 0.5), (0.05, 20.0), nu=2.5)
    kernel = ConstantKernel(1.0, (0.05, 20.0)) * matern + WhiteKernel(0.1, (1e-4, 2.0))
    process = GaussianProcessRegressor(kernel, n_restarts_optimizer=2, random_state=int(rng.integers(2**31)))
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        # a length at the end of its range, where a dimension does not matter, is nobody's mistake
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points[:n_tried], scores)
        noise = float(process.kernel_.k2.noise_level)
        mean, covariance = process.predict(points, return_cov=True)
        # of the function itself: the noise of its measurement is no gain
        covariance[np.diag_indices_from(covariance)] -= noise
        drawn: _Array = rng.multivariate_normal(mean, covariance, size=_N_DRAWS, method="eigh", check_valid="ignore")
    return drawn

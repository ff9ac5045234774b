"""A focus: narrower ranges for some dimensions, from which most trials are drawn.

It is a prior and no limit: a fifth of the trials is drawn from the whole space, so that a focus that misleads shows.
"""

from collections.abc import Mapping

import numpy as np

from cnn.config.space import Dimension
from cnn.records import Scalar, Values
from cnn.runtime import derived_seed
from cnn.search.engines.searcher import Adjust
from cnn.search.space import Space

Focus = Mapping[str, Dimension]
"""Part of a declared dimension, by its path; a path that is missing has all its values."""

WHOLE = 5
"""One trial in so many, on average, is drawn from the whole space."""


def is_whole(seed: int, number: int) -> bool:
    """Whether a trial is drawn from the whole space: one in five, by its number and the seed."""
    return derived_seed(seed, "whole space", number) % WHOLE == 0


def adjuster(space: Space, focus: Focus, *, seed: int, number: int) -> Adjust | None:
    """What moves a trial's values into the focus; None where nothing is moved.

    A value outside is drawn anew inside, on the dimension's scale, as a function of (seed, number, path).
    """
    if not focus or is_whole(seed, number):
        return None

    def adjust(path: str, value: Scalar | None) -> Scalar:
        dimension = focus.get(path, space.dimensions[path])
        alone = Space({path: dimension.model_copy(update={"when": {}})})
        if value is not None and (path not in focus or alone.contains({path: value})):
            return value
        return alone.sample(np.random.default_rng(derived_seed(seed, "focus", number, path)))[path]

    return adjust


def adjusted(space: Space, values: Values, adjust: Adjust | None) -> dict[str, Scalar]:
    """Values with `adjust` applied, parents first: what they make active gets a value, the rest has none."""
    if adjust is None:
        return dict(values)
    kept: dict[str, Scalar] = {}
    for path in space.dimensions:
        if space.is_active(path, kept):
            kept[path] = adjust(path, values.get(path))
    return kept

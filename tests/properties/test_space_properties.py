"""Rules of the search space that hold for every space."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cnn.config.space import Choice, Dimension, Float, Int
from cnn.search.space import Space

NAMES = ("a", "b", "c", "d", "e")


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    dimensions: dict[str, Dimension] = {}
    for name in draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]:
        when = draw(conditions(dimensions))
        dimensions[name] = draw(st.one_of(floats(when), ints(when), choices(when)))
    # The order in the file doesn't matter.
    return Space(dict(draw(st.permutations(list(dimensions.items())))))


@st.composite
def conditions(draw: st.DrawFn, dimensions: dict[str, Dimension]) -> dict[str, tuple]:
    parents = [name for name, dimension in dimensions.items() if not isinstance(dimension, Float)]
    if not parents or not draw(st.booleans()):
        return {}
    parent = draw(st.sampled_from(parents))
    dimension = dimensions[parent]
    values = dimension.values if isinstance(dimension, Choice) else (dimension.low, dimension.high)
    return {parent: tuple(draw(st.lists(st.sampled_from(values), min_size=1, max_size=2)))}


@st.composite
def floats(draw: st.DrawFn, when: dict) -> Float:
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 10.0) if log else st.floats(-10.0, 10.0))
    return Float(type="float", low=low, high=low + draw(st.floats(1e-3, 100.0)), log=log, when=when)


@st.composite
def ints(draw: st.DrawFn, when: dict) -> Int:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -20, 20))
    step = 1 if log else draw(st.integers(1, 5))
    return Int(type="int", low=low, high=low + step * draw(st.integers(0, 6)), step=step, log=log, when=when)


@st.composite
def choices(draw: st.DrawFn, when: dict) -> Choice:
    values = draw(st.lists(st.sampled_from(["x", "y", "z", 2, 0.5, True]), min_size=1, max_size=4, unique=True))
    return Choice(type="choice", values=tuple(values), when=when)


@given(spaces(), st.integers(0, 2**32))
def test_what_is_drawn_lies_inside(space: Space, seed: int) -> None:
    values = space.sample(np.random.default_rng(seed))
    # A draw is a point of the space, nothing of it is inactive, and JSON keeps it as it is.
    assert space.contains(values)
    assert space.active(values) == values
    assert json.loads(json.dumps(values)) == values
    assert {type(value) for value in values.values()} <= {str, int, float, bool}


@given(spaces(), st.integers(0, 2**32))
def test_the_same_generator_draws_the_same(space: Space, seed: int) -> None:
    assert space.sample(np.random.default_rng(seed)) == space.sample(np.random.default_rng(seed))


@given(spaces())
def test_a_parent_stands_before_its_children(space: Space) -> None:
    order = list(space.dimensions)
    for path, dimension in space.dimensions.items():
        assert all(order.index(parent) < order.index(path) for parent in dimension.when)

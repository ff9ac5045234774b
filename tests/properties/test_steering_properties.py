"""Rules of a search's focus that hold for every range, remedy and run."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cnn.config.space import Choice, Dimension, Float, Int, dimensions_document, dimensions_from
from cnn.diagnosis.ranges import limited, moved, within
from cnn.search.focus import adjusted, adjuster
from cnn.search.space import Space

PATH = "model.x"


@st.composite
def dimensions(draw: st.DrawFn) -> Dimension:
    kind = draw(st.sampled_from(["float", "log", "int", "log int", "choice", "words"]))
    low = draw(st.floats(1e-5, 1.0))
    if kind in ("float", "log"):
        return Float(type="float", low=low, high=low + draw(st.floats(1e-3, 10.0)), log=kind == "log")
    if kind == "int":
        step, n = draw(st.integers(1, 8)), draw(st.integers(0, 9))
        return Int(type="int", low=4, high=4 + n * step, step=step)
    if kind == "log int":
        return Int(type="int", low=draw(st.integers(1, 8)), high=draw(st.integers(8, 99)), log=True)
    values = (0.0, 0.1, 0.2, 0.4) if kind == "choice" else ("none", "before", "after")
    return Choice(type="choice", values=values[: draw(st.integers(2, len(values)))])


def drawn(dimension, seed, n):
    space = Space({PATH: dimension})
    return [space.sample(np.random.default_rng([seed, k]))[PATH] for k in range(n)]


@st.composite
def wishes(draw: st.DrawFn, dimension: Dimension):
    """What runs have, and what a remedy would give them: within the limits or far outside."""
    having = drawn(dimension, draw(st.integers(0, 99)), draw(st.integers(1, 5)))
    if isinstance(having[0], str):
        return having, [draw(st.sampled_from(["none", "after", "elsewhere"]))] * len(having)
    factor = draw(st.floats(0.01, 100.0))
    return having, [type(value)(value * factor) for value in having]


@given(st.data(), dimensions(), st.lists(st.sampled_from(["up", "down", "to"]), min_size=1, max_size=5))
def test_a_focus_never_leaves_the_users_limits(data, declared, directions):
    space = Space({PATH: declared})
    part = declared
    for direction in directions:
        if direction != "to" and isinstance(declared, Choice) and isinstance(declared.values[0], str):
            continue
        having, wanted = data.draw(wishes(declared))
        part = moved(declared, part, direction, having, wanted) or part
        # Whatever is drawn from it, after any number of remedies, the user allowed ...
        assert all(space.contains({PATH: value}) for value in drawn(part, 1, 20))
        # ... and it is in the range, and the range survives the ledger.
        assert all(within(part, value) for value in drawn(part, 2, 5))
        assert dimensions_from(dimensions_document({PATH: part})) == {PATH: part}


@given(st.data(), dimensions())
def test_what_a_pair_changes_never_leaves_the_users_limits(data, declared):
    having, wanted = data.draw(wishes(declared))
    value = limited(declared, wanted[0], having[0])
    # A remedy that the limits leave no room for changes nothing, rather than something else.
    assert value is None or Space({PATH: declared}).contains({PATH: value})
    assert value != having[0]


@given(dimensions(), st.integers(0, 2**31 - 1), st.integers(0, 999))
def test_a_value_inside_the_focus_is_left_alone(declared, seed, number):
    space = Space({PATH: declared})
    adjust = adjuster(space, {PATH: declared}, seed=seed, number=number)
    values = space.sample(np.random.default_rng([seed, number]))
    # The engine knows better than chance where in the focus to look.
    assert adjusted(space, values, adjust) == values


@given(st.integers(0, 2**31 - 1), st.integers(0, 999))
def test_a_condition_holds_for_what_is_really_tried(seed, number):
    name = Choice(type="choice", values=("adam", "sgd"))
    momentum = Float(type="float", low=0.5, high=0.9, when={"name": ("sgd",)})
    space = Space({"name": name, "momentum": momentum})
    focus = {"name": Choice(type="choice", values=("sgd",))}
    adjust = adjuster(space, focus, seed=seed, number=number)
    values = adjusted(space, {"name": "adam"}, adjust)
    # What the focus makes active gets a value of its own.
    assert space.contains(values)
    assert adjust is None or values["name"] == "sgd"

"""The search space: order, conditions, and what it refuses in one line."""

import numpy as np
import pytest

from cnn.config.reading import read_params, read_recipe
from cnn.config.recipe import Recipe
from cnn.config.space import Choice, Float, Int
from cnn.errors import ConfigError, SpaceError
from cnn.search.space import Space

NAME = Choice(type="choice", values=("adam", "sgd", "rmsprop"))
RATE = Float(type="float", low=0.001, high=0.1, log=True)


def test_parents_come_first():
    space = Space(
        {
            "c": Int(type="int", low=0, high=1, when={"b": (2,)}),
            "b": Int(type="int", low=0, high=2, when={"a": ("sgd",)}),
            "a": NAME,
        }
    )
    # Whoever walks the dimensions knows each parent's value before its children.
    assert list(space.dimensions) == ["a", "b", "c"]


def test_inactive_values_are_dropped_down_the_chain():
    space = Space(
        {
            "a": NAME,
            "b": Int(type="int", low=0, high=2, when={"a": ("sgd",)}),
            "c": Int(type="int", low=0, high=1, when={"b": (2,)}),
        }
    )
    # A child falls with its parent, whatever the parent's dropped value was.
    assert space.active({"a": "adam", "b": 2, "c": 1}) == {"a": "adam"}
    assert space.active({"a": "sgd", "b": 2, "c": 1}) == {"a": "sgd", "b": 2, "c": 1}
    assert space.active({"a": "sgd", "b": 1, "c": 1}) == {"a": "sgd", "b": 1}


def test_all_conditions_must_hold():
    child = Int(type="int", low=0, high=1, when={"a": ("sgd",), "flag": (True,)})
    space = Space({"a": NAME, "flag": Choice(type="choice", values=(True, False)), "child": child})
    assert space.is_active("child", {"a": "sgd", "flag": True})
    assert not space.is_active("child", {"a": "sgd", "flag": False})


@pytest.mark.parametrize(
    "values",
    [
        {"name": "adam"},
        {"name": "lion", "rate": 0.01},
        {"name": "adam", "rate": 0.2},
        {"name": "adam", "rate": 1},
        {"name": "adam", "rate": 0.01, "momentum": 4},
        {"name": "sgd", "rate": 0.01},
        {"name": "sgd", "rate": 0.01, "momentum": 3},
        {"name": "sgd", "rate": 0.01, "momentum": True},
        {"name": "adam", "rate": 0.01, "else": 1},
    ],
    ids=["missing", "no choice", "above", "wrong type", "inactive", "active missing", "off step", "bool", "unknown"],
)
def test_values_outside_the_space(values):
    momentum = Int(type="int", low=0, high=8, step=2, when={"name": ("sgd",)})
    space = Space({"name": NAME, "rate": RATE, "momentum": momentum})
    assert not space.contains(values)
    # ... while these lie inside.
    assert space.contains({"name": "adam", "rate": 0.01})
    assert space.contains({"name": "sgd", "rate": 0.1, "momentum": 4})


@pytest.mark.parametrize(
    ("dimensions", "words"),
    [
        ({"a": Int(type="int", low=0, high=1, when={"b": (1,)})}, "b, which is no dimension"),
        (
            {
                "a": Int(type="int", low=0, high=1, when={"b": (1,)}),
                "b": Int(type="int", low=0, high=1, when={"a": (1,)}),
            },
            "circle",
        ),
        ({"a": Int(type="int", low=0, high=1, when={"a": (1,)})}, "circle"),
        ({"rate": RATE, "a": Int(type="int", low=0, high=1, when={"rate": (0.01,)})}, "a real number"),
        ({"name": NAME, "a": Int(type="int", low=0, high=1, when={"name": ("lion",)})}, "lion"),
        ({"name": NAME, "a": Int(type="int", low=0, high=1, when={"name": ()})}, "no values"),
        ({"a": Choice(type="choice", values=(1, True))}, "equal values"),
    ],
    ids=["unknown parent", "circle", "itself", "real parent", "never", "no values", "equal choices"],
)
def test_spaces_that_cannot_work(dimensions, words):
    with pytest.raises(SpaceError) as caught:
        Space(dimensions)
    # One line that says what is wrong and where to change it.
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "edit search.space" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "dimension"),
    [
        ("model.filterz", Int(type="int", low=8, high=16)),
        ("filters", Int(type="int", low=8, high=16)),
        ("model", Choice(type="choice", values=("plain",))),
        ("model.filters", Int(type="int", low=0, high=16)),
        ("model.dropout", Float(type="float", low=0.5, high=1.0)),
        ("model.filters", Float(type="float", low=8.0, high=16.0)),
        ("model.activation", Choice(type="choice", values=("relu", "sigmoidal"))),
    ],
    ids=["unknown", "no section", "a section", "below", "above", "real for whole", "unknown choice"],
)
def test_a_dimension_must_fit_its_field(path, dimension):
    with pytest.raises(ConfigError) as caught:
        Space({path: dimension}).check(Recipe())
    # The line names the field or its section.
    assert path.split(".")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bound_outside_the_fields_range_is_named_as_the_user_wrote_it():
    with pytest.raises(ConfigError, match=r"model\.dropout: received 3\.0; "):
        Space({"model.dropout": Float(type="float", low=0.0, high=3.0)}).check(Recipe())


@pytest.mark.parametrize(
    ("path", "recipe", "words"),
    [
        ("training.epochs", "small", "search.budget.epochs"),
        ("model.filters", "tutorial_improved", "a recipe without a plan"),
        ("model.blocks", "tutorial_basic", "a recipe without a plan"),
    ],
)
def test_a_dimension_that_changes_nothing_is_refused(path, recipe, words):
    # The budget decides how long a trial trains, and a plan how wide it is: the engine would learn from noise.
    with pytest.raises(SpaceError, match=f"search.space.{path}: .*{words}"):
        Space({path: Int(type="int", low=2, high=4)}).check(read_recipe(recipe))


def test_the_shipped_space_fits_the_recipe():
    params = read_params()
    Space(params.search.space).check(Recipe())


def test_log_integers_cover_both_ends():
    space = Space({"units": Int(type="int", low=1, high=8, log=True)})
    rng = np.random.default_rng(0)
    drawn = [space.sample(rng)["units"] for _ in range(2000)]
    # All values turn up, small ones oftener: 1 covers ln(1.5 / 0.5) of ln(8.5 / 0.5), 39 %.
    assert set(drawn) == set(range(1, 9))
    assert 0.33 < drawn.count(1) / len(drawn) < 0.45

"""The search space: which values a recipe's fields may take, and when.

A dimension with conditions is active only where each parent is active and has one of the listed values.
"""

import math
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

import numpy as np

from cnn.config.architectures import FAMILIES, SELECTORS
from cnn.config.reading import recipe_with
from cnn.config.recipe import Recipe
from cnn.config.space import Choice, Dimension, Float, Int
from cnn.errors import SpaceError
from cnn.records import Scalar, Values

_FAMILY = "model.family"
_SELECTORS = (_FAMILY, *(f"model.{field}" for field in SELECTORS))


class Space:
    """Dimensions by the dotted path of the recipe field they set, parents before children.

    Raises:
        SpaceError: A condition names no dimension, a real-valued one, or a value its parent never has; conditions go
            in a circle; two choices are equal.

    Example:
        >>> name = Choice(type="choice", values=("adam", "sgd"))
        >>> momentum = Int(type="int", low=0, high=9, when={"name": ("sgd",)})
        >>> space = Space({"momentum": momentum, "name": name})
        >>> list(space.dimensions)
        ['name', 'momentum']
        >>> space.active({"name": "adam", "momentum": 3})
        {'name': 'adam'}
    """

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        for path, dimension in dimensions.items():
            _check_choices(path, dimension)
            _check_conditions(path, dimension, dimensions)
        self.dimensions = MappingProxyType({path: dimensions[path] for path in _parents_first(dimensions)})

    @property
    def has_conditions(self) -> bool:
        return any(dimension.when for dimension in self.dimensions.values())

    def is_active(self, path: str, values: Values) -> bool:
        """Whether the conditions of a dimension hold in the active values of its parents."""
        conditions = self.dimensions[path].when.items()
        return all(parent in values and _among(values[parent], allowed) for parent, allowed in conditions)

    def active(self, values: Values) -> dict[str, Scalar]:
        """The values whose conditions hold, parents first."""
        kept: dict[str, Scalar] = {}
        for path in self.dimensions:
            if path in values and self.is_active(path, kept):
                kept[path] = values[path]
        return kept

    def contains(self, values: Values) -> bool:
        """Whether each active dimension, and no other, has one of its values."""
        expected = {path for path in self.dimensions if self.is_active(path, values)}
        return values.keys() == expected and all(_holds(self.dimensions[path], values[path]) for path in expected)

    def sample(self, rng: np.random.Generator) -> dict[str, Scalar]:
        """A uniformly drawn point: each active dimension on its own scale, in plain Python values."""
        values: dict[str, Scalar] = {}
        for path, dimension in self.dimensions.items():
            if self.is_active(path, values):
                values[path] = _draw(dimension, rng)
        return values

    def check(self, base: Recipe) -> None:
        """Make sure that each path names a field of the recipe that has a say and takes the dimension's values.

        Where the space chooses `model.family`, `model.network` or `model.block`, this must hold for each of them under
        which the dimension is active.

        Raises:
            SpaceError: The field has no effect, since something else decides, or isn't one of that family.
            ConfigError: There is no such field, or it doesn't take a value.
        """
        for path, dimension in self.dimensions.items():
            if path == "training.epochs":
                expected = "search.budget.epochs, which decides how long a trial trains"
                raise _mistake(path, "epochs as a dimension", expected)
            premises = self._premises(path)
            if not premises:
                raise _mistake(f"{path}.when", "conditions that never hold together", "some that do")
            self._check_families(path, base, premises)
            for premise in premises:
                _check_effect(path, recipe_with(base, premise))
                where = "search.space" + _circumstances(premise)
                for value in _probes(dimension):
                    recipe_with(base, premise | {path: value}, where=where)

    def _premises(self, path: str) -> list[dict[str, Scalar]]:
        """Values of other dimensions under which one is active: of its parents and theirs, and of the selectors."""
        ancestors = self._ancestors(path)
        deciding = [other for other in self.dimensions if other in ancestors or (other in _SELECTORS and other != path)]
        premises: list[dict[str, Scalar]] = [{}]
        for other in deciding:
            values = self._deciding_values(other, [*deciding, path])
            active = [premise for premise in premises if self.is_active(other, premise)]
            idle = [premise for premise in premises if not self.is_active(other, premise)]
            premises = idle + [premise | {other: value} for premise in active for value in values]
        return [premise for premise in premises if self.is_active(path, premise)]

    def _ancestors(self, path: str) -> set[str]:
        parents = set(self.dimensions[path].when)
        return parents.union(*map(self._ancestors, parents))

    def _deciding_values(self, path: str, children: Sequence[str]) -> tuple[Scalar, ...]:
        """All values of a choice that selects; else those that conditions ask for."""
        dimension = self.dimensions[path]
        if path in _SELECTORS and isinstance(dimension, Choice):
            return dimension.values
        return tuple(dict.fromkeys(value for child in children for value in self.dimensions[child].when.get(path, ())))

    def _check_families(self, path: str, base: Recipe, premises: Sequence[Mapping[str, Scalar]]) -> None:
        """A field that only some of the families have needs a condition that names them."""
        section, _, field = path.partition(".")
        if section != "model":
            return
        if _FAMILY not in self.dimensions:
            _check_other_families(path, field, base)
            return
        families = dict.fromkeys(premise[_FAMILY] for premise in premises if _FAMILY in premise)
        fields = {family: _fields(recipe_with(base, {_FAMILY: family})) for family in families}
        without = [family for family in families if field not in fields[family]]
        if without and len(without) < len(families):
            having = ", ".join(str(family) for family in families if field in fields[family])
            expected = f"when: {{{_FAMILY}: [{having}]}}"
            raise _mistake(path, f"{field}, which family {without[0]} does not have", expected)


def _check_other_families(path: str, field: str, base: Recipe) -> None:
    """A field of other families than the one that is searched is no typo."""
    having = [] if field in _fields(base) else [one for one in FAMILIES if field in _fields(_default(base, one))]
    if having:
        known = ", ".join(having)
        expected = f"a recipe of family {known}, or {_FAMILY} in the space and when: {{{_FAMILY}: [{known}]}} here"
        raise _mistake(path, f"{field}, which family {base.model.family} does not have", expected)


def _default(base: Recipe, family: str) -> Recipe:
    return recipe_with(base, {_FAMILY: family})


def _circumstances(premise: Mapping[str, Scalar]) -> str:
    held = " and ".join(f"{path} is {value}" for path, value in premise.items())
    return f", where {held}" if held else ""


def _fields(recipe: Recipe) -> set[str]:
    return set(type(recipe.model).model_fields)


def _parents_first(dimensions: Mapping[str, Dimension]) -> list[str]:
    graph = {path: list(dimension.when) for path, dimension in dimensions.items()}
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise _mistake(error.args[1][0], f"conditions in a circle: {circle}", "conditions that end") from error


def _check_choices(path: str, dimension: Dimension) -> None:
    # 1, 1.0 and true are one value to Python, and so to every engine.
    if isinstance(dimension, Choice) and len(set(dimension.values)) != len(dimension.values):
        raise _mistake(path, f"equal values in {list(dimension.values)}", "values that all differ")


def _check_effect(path: str, recipe: Recipe) -> None:
    """A dimension that changes nothing is noise to the engine, and a lie on the leaderboard."""
    section, _, field = path.partition(".")
    decider = recipe.model.idle_fields().get(field) if section == "model" else None
    if decider is not None:
        expected = f"another dimension, a condition that excludes it, or a recipe without {decider}"
        raise _mistake(path, f"{path} beside {decider}", expected)


def _check_conditions(path: str, dimension: Dimension, dimensions: Mapping[str, Dimension]) -> None:
    for parent, allowed in dimension.when.items():
        known = dimensions.get(parent)
        if known is None:
            raise _mistake(f"{path}.when", f"{parent}, which is no dimension", f"one of {', '.join(dimensions)}")
        if isinstance(known, Float):
            raise _mistake(f"{path}.when", f"{parent}, a real number", "a parent of type int or choice")
        never = [value for value in allowed if not _holds(known, value)]
        if never or not allowed:
            raise _mistake(f"{path}.when.{parent}", never or "no values", f"values that {parent} can have")


def _mistake(path: str, received: object, expected: str) -> SpaceError:
    return SpaceError(f"search.space.{path}", received=received, expected=expected, change="edit search.space")


def _among(value: Scalar, allowed: tuple[Scalar, ...]) -> bool:
    return any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in allowed)


def _holds(dimension: Dimension, value: Scalar) -> bool:
    if isinstance(dimension, Choice):
        return _among(value, dimension.values)
    if isinstance(dimension, Float):
        return type(value) is float and dimension.low <= value <= dimension.high
    return (
        type(value) is int
        and dimension.low <= value <= dimension.high
        and (value - dimension.low) % dimension.step == 0
    )


def _draw(dimension: Dimension, rng: np.random.Generator) -> Scalar:
    if isinstance(dimension, Choice):
        return dimension.values[int(rng.integers(len(dimension.values)))]
    if isinstance(dimension, Float):
        return _draw_real(dimension.low, dimension.high, log=dimension.log, rng=rng)
    if dimension.log:
        # Each whole number gets the logarithmic length of the half unit on either side of it.
        real = _draw_real(dimension.low - 0.5, dimension.high + 0.5, log=True, rng=rng)
        return min(max(round(real), dimension.low), dimension.high)
    return dimension.low + dimension.step * int(rng.integers(_n_values(dimension)))


def _draw_real(low: float, high: float, *, log: bool, rng: np.random.Generator) -> float:
    if not log:
        return float(rng.uniform(low, high))
    return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)


def _n_values(dimension: Choice | Int | Float) -> int:
    if isinstance(dimension, Choice):
        return len(dimension.values)
    assert isinstance(dimension, Int)
    return (dimension.high - dimension.low) // dimension.step + 1


def _probes(dimension: Dimension) -> tuple[Scalar, ...]:
    """Values to try on a recipe, those that the user wrote first; an irrational one tells a field of whole numbers from
    one of reals.
    """
    if isinstance(dimension, Choice):
        return dimension.values
    if isinstance(dimension, Float):
        return (dimension.low, dimension.high, dimension.low + (dimension.high - dimension.low) / math.pi)
    return (dimension.low, dimension.high)

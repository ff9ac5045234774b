"""A tree of classes, as `prepare.tree` has it: names of nodes over names of nodes, and at last over names of classes.

animal: [bird, cat, deer, dog, frog, horse]
vehicle:
  road: [automobile, truck]
  air: airplane
  water: ship
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cnn.errors import ConfigError

Tree = Mapping[str, Any]

_KEY = "prepare.tree"
_SHAPE = "a mapping of node names to mappings, lists of class names or one class name"


def ancestors_of(tree: Tree, class_names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Of each class the nodes above it, from the top, in the order of `class_names`.

    Raises:
        ConfigError: A class is missing from the tree, stands in it twice, or is none of the source's.

    Example:
        >>> ancestors_of({"animal": ["cat", "dog"], "vehicle": {"road": "car"}}, ("car", "cat", "dog"))
        (('vehicle', 'road'), ('animal',), ('animal',))
    """
    ways = list(_ways(tree, ()))
    counts = Counter(name for _, name in ways)
    wrong = {
        "without a place": [name for name in class_names if name not in counts],
        "with more than one": [name for name, count in counts.items() if count > 1],
        "that the source does not have": [name for name in counts if name not in class_names],
    }
    for fault, names in wrong.items():
        if names:
            received, expected = f"classes {fault}: {_listed(names)}", f"each of {_listed(class_names)} once"
            raise ConfigError(_KEY, received=received, expected=expected, change="edit prepare.tree in params.yaml")
    above = {name: nodes for nodes, name in ways}
    return tuple(above[name] for name in class_names)


def checked_tree(tree: Any) -> dict[str, Any]:
    """The tree, all names as text: YAML takes the name `1` for a number.

    Raises:
        ValueError: It is no tree of names.
    """
    if not isinstance(tree, Mapping):
        raise ValueError(_SHAPE)
    for _ in _ways(tree, ()):
        pass
    return {str(node): _named(rest) for node, rest in tree.items()}


def _named(below: Any) -> Any:
    if isinstance(below, Mapping):
        return {str(node): _named(rest) for node, rest in below.items()}
    return [_named(one) for one in below] if isinstance(below, list) else str(below)


def _ways(below: Any, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each class with the nodes above it; a class may be called by a number, as digits are."""
    if isinstance(below, Mapping) and below:
        for node, rest in below.items():
            yield from _ways(rest, (*above, str(node)))
    elif isinstance(below, list) and below:
        for one in below:
            yield from _ways(one, above)
    elif isinstance(below, str | int) and not isinstance(below, bool) and above:
        yield above, str(below)
    else:
        raise ValueError(f"{_SHAPE}, not {below!r} at {'.'.join(above) or 'its top'}")


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

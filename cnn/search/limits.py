"""How large a network may be: what is over its limits, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from cnn.records import Outcome, Size

Limits = Mapping[str, float]
"""The most a network may have, by the names of `Size`'s fields; a measure that is missing is not limited."""

_WORDS = {"parameters": "parameters", "multiply_adds": "multiply-adds", "latency_ms": "ms an image"}


def measure_words(measure: str) -> str:
    """What comes after a figure of this measure.

    Example:
        >>> measure_words("latency_ms")
        'ms an image'
    """
    return _WORDS[measure]


def figures(size: Size | None) -> dict[str, float]:
    """What was measured, by measure; nothing of no size."""
    return {name: value for name, value in asdict(size).items() if value is not None} if size else {}


def excess(size: Size | None, limits: Limits) -> dict[str, float]:
    """By how much each limited measure is over its limit, as a part of the limit: above 0 is over, 0 and below within.

    What was not measured is left out.

    Example:
        >>> excess(Size(parameters=150, multiply_adds=1), {"parameters": 100})
        {'parameters': 0.5}
    """
    known = figures(size)
    return {name: known[name] / limit - 1 for name, limit in limits.items() if name in known}


def over(size: Size | None, limits: Limits) -> dict[str, float]:
    """The measures that are over their limits, with their figures."""
    known = figures(size)
    return {name: known[name] for name, part in excess(size, limits).items() if part > 0}


def reason(size: Size, limits: Limits) -> str:
    """Why a network is infeasible, in words; empty when it is not.

    Example:
        >>> reason(Size(parameters=612_345, multiply_adds=1), {"parameters": 500_000})
        '612,345 parameters, over 500,000'
    """
    found = over(size, limits).items()
    return " and ".join(f"{shown(value)} {_WORDS[name]}, over {shown(limits[name])}" for name, value in found)


def nearest(outcomes: Sequence[Outcome], limits: Limits) -> Outcome | None:
    """Of the infeasible ones the one that is least over; among equals the earliest."""
    infeasible = [one for one in outcomes if over(one.size, limits)]
    return min(infeasible, key=lambda one: (max(excess(one.size, limits).values()), one.number), default=None)


def shown(value: float) -> str:
    """A figure as a person reads it: counts whole with separators, milliseconds with three digits.

    Example:
        >>> shown(500000), shown(4.98765)
        ('500,000', '4.99')
    """
    return f"{value:,.0f}" if value >= 1000 or float(value).is_integer() else f"{value:.3g}"

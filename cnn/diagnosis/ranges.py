"""A remedy's change of one field as a narrower range of that field's dimension, never outside the declared one."""

import math
import statistics
from collections.abc import Sequence

from cnn.config.space import Choice, Dimension, Float, Int
from cnn.records import Scalar

_NARROWEST = 0.25  # of the declared range
_FEWEST = 2
_AROUND = 0.25  # of the declared range, on either side of a value that is to be tried


def moved(
    declared: Dimension, current: Dimension, direction: str, having: Sequence[Scalar], wanted: Sequence[Scalar]
) -> Dimension | None:
    """The current range moved up, down or to a value; None where that changes nothing.

    A range that moves up begins with what the runs have, their median, and ends where it ended before. Where it begins
    there already, it begins half way to what the remedy would give them, on the dimension's scale.

    Args:
        declared: The user's limits.
        having: The values of the runs that need the remedy; at least one.
        wanted: Those that the remedy would give them, one a run.

    Example:
        >>> dropout = Float(type="float", low=0.0, high=0.5)
        >>> print(shown(moved(dropout, dropout, "up", [0.0, 0.1, 0.1], [0.25, 0.25, 0.25])))
        0.1 to 0.5
    """
    found: Dimension | None
    if isinstance(declared, Choice):
        found = _chosen(declared, direction, having, wanted)
    elif direction == "to":
        found = _around(declared, statistics.median(map(_number, wanted)))
    else:
        found = _shifted(declared, current, direction, having, wanted)
    return None if found in (None, current) else found


def limited(declared: Dimension, value: Scalar, having: Scalar) -> Scalar | None:
    """The value that a remedy asks for, or the nearest that the dimension has; None if that is what the run has.

    Example:
        >>> limited(Int(type="int", low=16, high=32, step=8), 64, 24)
        32
    """
    if isinstance(declared, Choice):
        same = [one for one in declared.values if one == value]
        return same[0] if same and same[0] != having else None
    if isinstance(value, bool | str):
        return None
    near = min(max(value, declared.low), declared.high)
    if isinstance(declared, Int):
        near = declared.low + round((near - declared.low) / declared.step) * declared.step
    near = float(near) if isinstance(declared, Float) else int(near)
    return None if near == having else near


def within(dimension: Dimension, value: Scalar) -> bool:
    """Whether a value of the declared dimension lies in a part of it."""
    if isinstance(dimension, Choice):
        return value in dimension.values
    return dimension.low <= _number(value) <= dimension.high


def superiority(part: Dimension, values: Sequence[Scalar], scores: Sequence[float]) -> float | None:
    """The probability that a run inside a range beat one outside (a tie counts half); None with fewer than two of
    either. It is the U statistic of Mann and Whitney over the number of couples.

    Example:
        >>> superiority(Float(type="float", low=0.3, high=0.5), [0.1, 0.2, 0.3, 0.4], [0.6, 0.7, 0.65, 0.8])
        0.75
    """
    inside = [score for value, score in zip(values, scores, strict=True) if within(part, value)]
    outside = [score for value, score in zip(values, scores, strict=True) if not within(part, value)]
    if min(len(inside), len(outside)) < _FEWEST:
        return None
    wins = sum((a > b) + (a == b) / 2 for a in inside for b in outside)
    return wins / (len(inside) * len(outside))


def shown(dimension: Dimension) -> str:
    """A range in words."""
    if isinstance(dimension, Choice):
        return " or ".join(str(value) for value in dimension.values)
    return f"{dimension.low:.3g}" if dimension.low == dimension.high else f"{dimension.low:.3g} to {dimension.high:.3g}"


def _chosen(declared: Choice, direction: str, having: Sequence[Scalar], wanted: Sequence[Scalar]) -> Choice | None:
    """The listed values beyond those that the runs have; without an order, those that the remedy names."""
    kept = [value for value in declared.values if value in wanted]
    if direction != "to" and all(type(value) in (int, float) for value in declared.values):
        typical, sign = statistics.median(map(_number, having)), 1 if direction == "up" else -1
        kept = [value for value in declared.values if sign * _number(value) > sign * typical]
    return declared.model_copy(update={"values": tuple(kept)}) if kept else None


def _shifted(
    declared: Float | Int, current: Dimension, direction: str, having: Sequence[Scalar], wanted: Sequence[Scalar]
) -> Float | Int | None:
    assert not isinstance(current, Choice)
    log = declared.log
    low, high = _scaled(declared.low, log), _scaled(declared.high, log)
    ends = [min(max(_scaled(statistics.median(map(_number, one)), log), low), high) for one in (having, wanted)]
    least, most = _scaled(current.low, log), _scaled(current.high, log)
    at_its_end = ends[0] <= least if direction == "up" else ends[0] >= most
    turn = (ends[0] + ends[1]) / 2 if at_its_end else ends[0]
    room = _NARROWEST * (high - low)
    if direction == "up":
        end = most if turn < most else high
        return _range(declared, min(max(turn, least), max(least, end - room)), end)
    end = least if turn > least else low
    return _range(declared, end, max(min(turn, most), min(most, end + room)))


def _around(declared: Float | Int, value: float) -> Float | Int | None:
    """A part of the range around a value; nothing if the value lies outside."""
    low, high = _scaled(declared.low, declared.log), _scaled(declared.high, declared.log)
    if not declared.low <= value <= declared.high:
        return None
    reach = _AROUND * (high - low)
    middle = _scaled(value, declared.log)
    return _range(declared, max(low, middle - reach), min(high, middle + reach))


def _range(declared: Float | Int, low: float, high: float) -> Float | Int | None:
    """The part of the declared range between two points on its scale; None if no value lies there."""
    first, last = (math.exp(end) if declared.log else end for end in (low, high))
    if isinstance(declared, Float):
        first, last = max(first, declared.low), min(last, declared.high)
        return declared.model_copy(update={"low": first, "high": last}) if first < last else None
    step = declared.step
    begin = declared.low + math.ceil((first - declared.low) / step - 1e-6) * step
    end = declared.low + math.floor((last - declared.low) / step + 1e-6) * step
    begin, end = max(begin, declared.low), min(end, declared.high)
    return declared.model_copy(update={"low": begin, "high": end}) if begin <= end else None


def _scaled(value: float, log: bool) -> float:
    return math.log(max(value, 1e-300)) if log else float(value)


def _number(value: Scalar) -> float:
    return float(value)

"""A test set is used up by looking at it: the chance of error is spent over the looks, and never comes back.

Look k = 1, 2, ... at one test set is tested at `alpha * share(k)`, where the shares sum to 1 over all k. By the union
bound the chance that any of them promotes a challenger that is no better is at most alpha, however the comparisons
depend on each other: they are made on the same images, and often with the same champion.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cnn.data.prepared.sketch import shared_fraction

Line = Mapping[str, Any]

EXPONENT = 1.5
"""Of the shares k**-EXPONENT / zeta(EXPONENT): ADR 15 has the power of others."""


MOST_SHARED = 0.1
"""Of its images, with a test set that was looked at: one that shares more is not fresh."""


def share(look: int) -> float:
    """The part of alpha that look 1, 2, ... may spend.

    Example:
        >>> round(share(1), 3), round(share(30), 5)
        (0.383, 0.00233)
    """
    from scipy.special import zeta

    return float(look**-EXPONENT / zeta(EXPONENT))


def level(alpha: float, look: int) -> float:
    """At which level look 1, 2, ... is tested."""
    return alpha * share(look)


def left(n_looks: int) -> float:
    """The part of alpha that is not spent after so many looks, in (0, 1].

    Example:
        >>> left(0), round(left(30), 3)
        (1.0, 0.139)
    """
    return max(0.0, 1.0 - sum(share(look) for look in range(1, n_looks + 1)))


def pair_of(challenger: str, champion: str) -> str:
    """The comparison of two models, by their digests: made again it is no new look."""
    return f"{challenger[:16]}:{champion[:16]}"


def looks(lines: Iterable[Line], test_hash: str, sketch: str = "") -> list[Line]:
    """The decisions that looked at a test set, or at one with which it shares more than `MOST_SHARED` of its images.

    Args:
        lines: The decisions about one registered name.
        sketch: Of the test set, by `cnn.data.prepared.sketch`; without it only the very same images in the same order
            are known again.
    """
    return [line for line in lines if line.get("look") and _used_up(line, test_hash, sketch)]


def n_looks(seen: Iterable[Line]) -> int:
    """How many looks there were: the number of the last one, for a pair that was compared again was no new look."""
    return max((int(line["look"]) for line in seen), default=0)


def look_number(seen: Iterable[Line], test_hash: str, pair: str) -> int:
    """The number of a pair's look: its own when it had one at these very images, else the next."""
    own = [int(line["look"]) for line in seen if (line["test_hash"], line["pair"]) == (test_hash, pair)]
    return own[0] if own else n_looks(seen) + 1


def _used_up(line: Line, test_hash: str, sketch: str) -> bool:
    return line.get("test_hash") == test_hash or shared_fraction(sketch, line.get("test_sketch", "")) > MOST_SHARED

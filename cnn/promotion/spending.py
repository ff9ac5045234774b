"""A test set is used up by looking at it: the chance of error is spent over the looks, and never comes back.

Look k = 1, 2, ... at one test set is tested at `alpha * share(k)`, where the shares sum to 1 over all k. By the union
bound the chance that any of them promotes a challenger that is no better is at most alpha, however the comparisons
depend on each other: they are made on the same images, and often with the same champion.
"""

from collections.abc import Iterable, Mapping
from typing import Any

EXPONENT = 1.5
"""Of the shares k**-EXPONENT / zeta(EXPONENT): ADR 15 has the power of others."""


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


def looks(lines: Iterable[Mapping[str, Any]], test_hash: str) -> dict[str, int]:
    """The looks at a test set so far: of each pair its number.

    Args:
        lines: Of the decisions about one registered name, in their order.
    """
    seen: dict[str, int] = {}
    for line in lines:
        if line.get("look") and line.get("test_hash") == test_hash:
            seen.setdefault(line["pair"], int(line["look"]))
    return seen


def look_number(seen: Mapping[str, int], pair: str) -> int:
    """The number of a pair's look: its own when it had one, else the next."""
    return seen.get(pair, max(seen.values(), default=0) + 1)

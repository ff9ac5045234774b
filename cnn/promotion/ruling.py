"""What a named rule says of a challenger."""

from collections.abc import Iterable
from dataclasses import dataclass

NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A rule, what it measured, and whether it lets the challenger pass.

    Args:
        rule: Its name, a word of `RULES`.
        passed: None when it was not tried, as after an earlier one that failed.
        sentence: The result as a person reads it.
        figure: What was measured, in the unit of the limit; None where there is no number.
        limit: What the figure is held against; None where there is none.
    """

    rule: str
    passed: bool | None
    sentence: str
    figure: float | None = None
    limit: float | None = None


RULES = {
    "digest": "its files are as they were registered",
    "rollback": "it was not rolled back from",
    "gap": "promote.max_gap",
    "size": "promote.size_mb",
    "signature": "its signature is that of its model",
    "smoke": "promote.smoke",
    "latency": "promote.latency_ms",
    "comparable": "the champion can be compared with it",
    "better": "promote.alpha, promote.margin",
    "classes": "promote.class_loss",
    "calibration": "promote.brier_loss",
}
"""All rules in the order in which they are tried, with what sets them."""

CHEAP = ("digest", "rollback", "gap", "size", "signature", "smoke", "latency")
"""Those that need no look at the test images."""


def failed(rulings: Iterable[Ruling]) -> tuple[Ruling, ...]:
    """The rules that hold a challenger back."""
    return tuple(ruling for ruling in rulings if ruling.passed is False)


def with_untried(rulings: Iterable[Ruling]) -> tuple[Ruling, ...]:
    """All rules in their order, those without a ruling as not tried.

    Example:
        >>> [ruling.passed for ruling in with_untried([Ruling(rule="gap", passed=False, sentence="too wide")])[:3]]
        [None, None, False]
    """
    tried = {ruling.rule: ruling for ruling in rulings}
    return tuple(tried.get(name, Ruling(rule=name, passed=None, sentence=NOT_TRIED)) for name in RULES)

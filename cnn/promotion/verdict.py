"""What was decided about a challenger."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from cnn.promotion.ruling import Ruling, failed

PROMOTED, REFUSED, FORCED, ROLLED_BACK, BY_HAND = "promoted", "refused", "forced", "rolled back", "set by hand"
"""Kinds of decisions. All but `REFUSED` move the champion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided about a challenger, and why.

    Args:
        champion: Number of the version that was champion before; None when there was none.
        figures: Of the paired test: wins, losses, n, difference and its interval, p_value; empty when none was made.
        rules: What each rule says; empty in what earlier versions of this package wrote.
        test_hash: Of the images it was tested on; empty when no look at them was needed.
        test_sketch: Of these images, to know sets again that share some; empty where none was registered.
        pair: Which two models were compared there, as `cnn.promotion.spending.pair_of` names them.
        look: The number of this look at these images; None when none was needed.
        level: At which the look was tested.
        left: The part of alpha that is left for later looks.
        forced: The reason for which the rules that failed were passed over.
        digest: SHA-256 of the challenger's model.
    """

    promoted: bool
    reason: str
    challenger: int
    champion: int | None
    figures: Mapping[str, float] = field(default_factory=dict)
    rules: tuple[Ruling, ...] = ()
    test_hash: str = ""
    test_sketch: str = ""
    pair: str = ""
    look: int | None = None
    level: float | None = None
    left: float | None = None
    forced: str = ""
    digest: str = ""

    @property
    def kind(self) -> str:
        """How it is named in the history."""
        if not self.promoted:
            return REFUSED
        return FORCED if self.forced else PROMOTED

    @property
    def failed(self) -> tuple[Ruling, ...]:
        """The rules that held the challenger back, or were passed over."""
        return failed(self.rules)

    def sentence(self) -> str:
        """The verdict as a person reads it."""
        outcome = "is champion now" if self.promoted else "was not promoted"
        return f"version {self.challenger} {outcome}: {self.reason}"

    def document(self) -> dict[str, Any]:
        """As it is written down."""
        return {"kind": self.kind, **asdict(self), "rules": [asdict(ruling) for ruling in self.rules]}


def verdict_from(line: Mapping[str, Any]) -> Verdict:
    """A verdict as it was written down, also by earlier versions of this package."""
    known = {name: line[name] for name in Verdict.__dataclass_fields__ if name in line}
    return Verdict(**known | {"rules": tuple(Ruling(**rule) for rule in line.get("rules", ()))})


def kept_digest(lines: Iterable[Mapping[str, Any]], number: int) -> str:
    """The SHA-256 that a version's model had when it was first decided about; empty when it never was.

    What was refused because its files were not as registered tells of the damage, not of the model.
    """
    for line in lines:
        damaged = any(rule["rule"] == "digest" and rule["passed"] is False for rule in line.get("rules", ()))
        if line["challenger"] == number and line.get("digest") and not damaged:
            return str(line["digest"])
    return ""


def says_the_same(line: Mapping[str, Any], verdict: Verdict) -> bool:
    """Whether a line is this very verdict; what is measured anew each time, as the latency, may differ."""
    names = ("promoted", "challenger", "champion", "figures", "test_hash", "pair", "look", "level", "forced")
    return (
        line.get("kind") == verdict.kind
        and all(line.get(name) == getattr(verdict, name) for name in names)
        and [(rule["rule"], rule["passed"]) for rule in line.get("rules", ())]
        == [(ruling.rule, ruling.passed) for ruling in verdict.rules]
    )

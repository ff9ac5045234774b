"""How the champion moves: by entries of a log that the registry puts in one order, each said of the one before it.

An entry counts when it names, as what it follows, the last entry that counts: of two that were made at once the first
in the registry's order counts, and the other is void. The alias is what the log says, and is set after it; whoever
comes next does what a killed process has left undone.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnn.config.environment import Environment
from cnn.errors import IntegrityError, ServiceError
from cnn.promotion.verdict import BY_HAND
from cnn.tracking.promotions import (
    LEDGER,
    append_promotion,
    read_line,
    read_promotions,
    sealed_line,
    signed_now,
)
from cnn.tracking.registry import CHAMPION, Entry, Registry, Version

Line = dict[str, Any]

_PATIENCE = 30
_LONGEST = 500  # characters of a tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where things stand: all is settled, and the alias is what the log says.

    Args:
        lines: All decisions that count, oldest first.
        head: Position of the last one; 0 for none.
    """

    lines: tuple[Line, ...]
    head: int
    champion: Version | None


class DecisionLog:
    """The decisions about one registered name, shared by all homes of a registry.

    What this home decides goes into its own ledger too.
    """

    def __init__(self, registry: Registry, name: str, environment: Environment) -> None:
        self._registry, self._name = registry, name
        self._home, self._ledger = environment.home_id(), environment.home / LEDGER

    def standing(self) -> Standing:
        """How things stand, after all that was left undone has been done.

        Raises:
            IntegrityError: A line of the log or of the ledger is damaged.
            ServiceError: The registry does not answer, or is never at rest.
        """
        for _ in range(_PATIENCE):
            entries = self._entries()
            moves = [line for _, line in entries if line["promoted"]]
            for entry, line in entries:
                if not entry.settled:
                    self._settle(entry, line, moves=line is moves[-1] if moves else False)
            self._note(line for _, line in entries)
            champion = self._registry.version_by_alias(self._name, CHAMPION)
            shown, said = champion.number if champion else None, moves[-1]["challenger"] if moves else None
            head = entries[-1][0].position if entries else 0
            if shown == said:
                return Standing(lines=tuple(line for _, line in entries), head=head, champion=champion)
            self.append(_by_hand(shown, said, known=bool(moves)), head)
        received = f"a champion that moved {_PATIENCE} times meanwhile"
        raise ServiceError(self._name, received=received, expected="a registry at rest", change="try again later")

    def append(self, document: Mapping[str, Any], head: int) -> bool:
        """Add a decision that was made where things stood; whether it counts.

        Args:
            head: Of that standing. When another decision has come in between, this one is void.
        """
        nonce = secrets.token_hex(8)
        line = {**signed_now(), "home": self._home, "model": self._name, "nonce": nonce, "follows": head, **document}
        self._registry.append_entry(self._name, sealed_line(line), summary_of(line))
        return any(entry.position > head and other["nonce"] == nonce for entry, other in self._entries())

    def lines(self) -> tuple[Line, ...]:
        """All decisions that count, oldest first; nothing is done about them."""
        return tuple(line for _, line in self._entries())

    def _entries(self) -> list[tuple[Entry, Line]]:
        entries = self._registry.entries(self._name)
        for expected, entry in enumerate(entries, start=1):
            if entry.position != expected:
                raise self._damaged(expected, "none: it was deleted")
        return list(counting((entry, self._line(entry)) for entry in entries))

    def _line(self, entry: Entry) -> Line:
        try:
            return read_line(entry.text, self._name)
        except IntegrityError as error:
            raise self._damaged(entry.position, "a damaged line") from error

    def _damaged(self, position: int, received: str) -> IntegrityError:
        change = "put a copy of the registry's database back, or go on under another register.name"
        return IntegrityError(
            f"decision {position} about {self._name}", received=received, expected="as written", change=change
        )

    def _settle(self, entry: Entry, line: Line, *, moves: bool) -> None:
        """The version says what was decided about it; then, as the last, the alias moves."""
        number = line["challenger"]
        version = None if number is None or line["kind"] == BY_HAND else self._registry.version(self._name, number)
        if version is not None:
            self._registry.set_tags(version, tags_of(line))
            if moves:
                self._registry.set_alias(version, CHAMPION)
        self._registry.settle_entry(self._name, entry.position)

    def _note(self, lines: Iterable[Line]) -> None:
        own = [line for line in lines if line["home"] == self._home]
        noted = {line.get("nonce") for line in read_promotions(self._ledger)} if own else set()
        for line in own:
            if line["nonce"] not in noted:
                append_promotion(self._ledger, line)


def counting(entries: Iterable[tuple[Entry, Line]]) -> Iterable[tuple[Entry, Line]]:
    """Those of the entries, oldest first, that follow the last one that counts.

    Example:
        >>> follows = {1: 0, 2: 1, 3: 1, 4: 2}
        >>> log = [(Entry(position=n, text="", settled=True), {"follows": follows[n]}) for n in follows]
        >>> [entry.position for entry, _ in counting(log)]
        [1, 2, 4]
    """
    head = 0
    for entry, line in entries:
        if line["follows"] == head:
            yield entry, line
            head = entry.position


def champions(lines: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """The champions of whom each can be gone back to: the present one last, what was rolled back from left out.

    Example:
        >>> moves = [("promoted", 1), ("promoted", 2), ("refused", 3), ("promoted", 4), ("rolled back", 2)]
        >>> champions([{"kind": kind, "challenger": n, "promoted": kind != "refused"} for kind, n in moves])
        [1, 2]
    """
    stack: list[int | None] = []
    for line in lines:
        number = line["challenger"]
        if not line["promoted"]:
            continue
        if line["kind"] == "rolled back" and number in stack:
            del stack[len(stack) - stack[::-1].index(number) :]
        else:
            stack.append(number)
    return stack


def tags_of(line: Mapping[str, Any]) -> dict[str, str]:
    """What a version bears of the last decision about it."""
    tags = {"promotion": line["kind"], "promotion_reason": _cut(line["reason"])}
    for rule in line.get("rules", ()):
        if rule["passed"] is not None:
            tags[f"gate.{rule['rule']}"] = _cut(f"{'passed' if rule['passed'] else 'failed'}: {rule['sentence']}")
    return tags


def summary_of(line: Mapping[str, Any]) -> str:
    """A decision in a sentence, as MLflow shows it."""
    before, now = (line[name] if line[name] is not None else "none" for name in ("champion", "challenger"))
    return _cut(f"{line['kind']}: version {now} (champion before: {before}); {line['reason']}")


def _by_hand(shown: int | None, said: int | None, *, known: bool) -> Line:
    reason = "the alias was moved in MLflow" if known else "it was champion before this history began"
    return {"kind": BY_HAND, "promoted": True, "challenger": shown, "champion": said, "reason": reason}


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

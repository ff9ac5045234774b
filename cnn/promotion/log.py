"""How the champion moves: by entries of a log that the registry puts in one order, each said of the one before it.

An entry counts when it names, as what it follows, the last entry that counts: of two that were made at once the first
in the registry's order counts, and the other is void. The alias is what the log says, and is set after it; whoever
comes next does what a killed process has left undone.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cnn.config.environment import Environment
from cnn.errors import IntegrityError, ServiceError
from cnn.promotion.ruling import NOT_TRIED
from cnn.promotion.verdict import BY_HAND, ROLLED_BACK
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
_SECOND_LOOK_S = 0.5  # longer than a process takes from its alias to its look at what has come meanwhile
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
        self._known: tuple[Line, ...] = ()  # those that counted at the last standing, all settled, up to `_head`
        self._head = 0

    def standing(self) -> Standing:
        """How things stand, after all that was left undone has been done.

        Raises:
            IntegrityError: A line of the log or of the ledger is damaged.
            ServiceError: The registry does not answer, or is never at rest.
        """
        doubted = False
        for _ in range(_PATIENCE):
            entries = self._entries(self._head)
            lines = (*self._known, *(line for _, line in entries))
            move = last_move(lines)
            for entry, line in entries:
                if not entry.settled:
                    self._settle(entry.position, line, moves=line is move)
            self._note(lines)
            champion = self._registry.version_by_alias(self._name, CHAMPION)
            shown, said = champion.number if champion else None, move["challenger"] if move else None
            head = entries[-1][0].position if entries else self._head
            if shown == said:
                self._known, self._head = lines, head
                return Standing(lines=lines, head=head, champion=champion)
            if doubted:
                self.append(_by_hand(shown, said, known=move is not None), head)
            else:  # somebody may be between an alias and a look at what came meanwhile
                time.sleep(_SECOND_LOOK_S)
            doubted = not doubted
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
        return any(other["nonce"] == nonce for _, other in self._entries(head))

    def lines(self) -> tuple[Line, ...]:
        """All decisions that count, oldest first; nothing is done about them."""
        return tuple(line for _, line in self._entries())

    def _entries(self, head: int = 0) -> list[tuple[Entry, Line]]:
        """Those that count behind one that counts, at position `head`; nothing that was read before is read again."""
        entries = self._registry.entries(self._name, head)
        for expected, entry in enumerate(entries, start=head + 1):
            if entry.position != expected:
                raise self._damaged(expected, "none: it was deleted")
        return list(counting(((entry, self._line(entry)) for entry in entries), head))

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

    def _settle(self, position: int, line: Line, *, moves: bool) -> None:
        """The version says what was decided about it; then, as the last, the alias moves."""
        number = line["challenger"]
        version = None if number is None or line["kind"] == BY_HAND else self._registry.version(self._name, number)
        if version is not None:
            self._registry.set_tags(version, tags_of(line))
            if moves:
                self._point_to(version, position)
        self._registry.settle_entry(self._name, position)

    def _point_to(self, version: Version | None, position: int) -> None:
        """The alias is set, and set again while it turns out that others had moved it on before."""
        while version is not None:
            self._registry.set_alias(version, CHAMPION)
            later = self._entries(position)
            number = (last_move([line for _, line in later]) or {}).get("challenger")
            if number is None:
                return
            position, version = later[-1][0].position, self._registry.version(self._name, number)

    def _note(self, lines: Iterable[Line]) -> None:
        own = [line for line in lines if line["home"] == self._home]
        noted = {line.get("nonce") for line in read_promotions(self._ledger)} if own else set()
        for line in own:
            if line["nonce"] not in noted:
                append_promotion(self._ledger, line)


def counting(entries: Iterable[tuple[Entry, Line]], head: int = 0) -> Iterable[tuple[Entry, Line]]:
    """Those of the entries, oldest first, that follow the last one that counts.

    Args:
        head: Position of that before the first of them.

    Example:
        >>> follows = {1: 0, 2: 1, 3: 1, 4: 2}
        >>> log = [(Entry(position=n, text="", settled=True), {"follows": follows[n]}) for n in follows]
        >>> [entry.position for entry, _ in counting(log)]
        [1, 2, 4]
    """
    for entry, line in entries:
        if line["follows"] == head:
            yield entry, line
            head = entry.position


def last_move(lines: Sequence[Line]) -> Line | None:
    """The decision by which the present champion became champion; None before the first."""
    return next((line for line in reversed(lines) if line["promoted"]), None)


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
        if line["kind"] == ROLLED_BACK and number in stack:
            del stack[len(stack) - stack[::-1].index(number) :]
        else:
            stack.append(number)
    return stack


def tags_of(line: Mapping[str, Any]) -> dict[str, str]:
    """What a version bears of the last decision about it; a rule that was not tried no longer says what it said."""
    rules = {f"gate.{rule['rule']}": _cut(_result(rule)) for rule in line.get("rules", ())}
    return {"promotion": line["kind"], "promotion_reason": _cut(line["reason"]), **rules}


def summary_of(line: Mapping[str, Any]) -> str:
    """A decision in a sentence, as MLflow shows it."""
    before, now = (line[name] if line[name] is not None else "none" for name in ("champion", "challenger"))
    return _cut(f"{line['kind']}: version {now} (champion before: {before}); {line['reason']}")


def _by_hand(shown: int | None, said: int | None, *, known: bool) -> Line:
    reason = "the alias was moved in MLflow" if known else "it was champion before this history began"
    return {"kind": BY_HAND, "promoted": True, "challenger": shown, "champion": said, "reason": reason}


def _result(rule: Mapping[str, Any]) -> str:
    """A rule's result in words.

    Example:
        >>> _result({"passed": None, "sentence": NOT_TRIED}), _result({"passed": False, "sentence": "too wide"})
        ('not tried', 'failed: too wide')
    """
    word = {True: "passed", False: "failed", None: NOT_TRIED}[rule["passed"]]
    return word if rule["sentence"] == word else f"{word}: {rule['sentence']}"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"

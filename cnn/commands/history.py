"""Who made which version champion, when and why; who was refused."""

from collections.abc import Mapping
from datetime import datetime
from itertools import accumulate
from operator import itemgetter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from cnn.commands.verdict import spent
from cnn.config.environment import Environment
from cnn.promotion.log import DecisionLog
from cnn.promotion.spending import left, looks, n_looks
from cnn.tracking.promotions import LEDGER, read_promotions
from cnn.tracking.registry import Registry

_COLOURS = {"promoted": "green", "forced": "yellow", "rolled back": "yellow", "set by hand": "yellow"}


def history(name: str, environment: Environment, registry: Registry, console: Console, *, n: int) -> None:
    """Show the last `n` decisions about a name, the latest first, and what is left of each test set.

    Raises:
        IntegrityError: A line of the history is damaged.
        ServiceError: The registry does not answer.
    """
    lines = all_lines(name, environment, registry)
    if not lines:
        console.print(f"nothing was decided about {escape(name)} yet: cnn promote", highlight=False)
        return
    shown = lines[::-1][:n]
    for line in shown:
        console.print(_headline(line), highlight=False, soft_wrap=True)
        for text in (line["reason"], _figures(line)):
            if text:
                console.print(Padding(escape(text), (0, 0, 0, 4)), highlight=False)
    if len(shown) < len(lines):
        console.print(f"{len(lines) - len(shown)} earlier ones: cnn history -n {len(lines)}", highlight=False)
    for test_hash in dict.fromkeys(str(line["test_hash"]) for line in lines if line.get("look")):
        looked = n_looks(looks(lines, test_hash))
        console.print(spent(test_hash, looked, left(looked)), highlight=False)


def all_lines(name: str, environment: Environment, registry: Registry) -> list[dict[str, Any]]:
    """The registry's log in its order, and what this home decided in times or registries of which that knows nothing.

    Of these each stands where its time is; the clocks of several homes have no say in the order of the log.
    """
    lines = list(DecisionLog(registry, name, environment).lines())
    known = {line["nonce"] for line in lines}
    own = [line for line in read_promotions(environment.home / LEDGER) if line.get("model") == name]
    times = accumulate((str(line["at"]) for line in lines), max)
    unknown = [(str(line["at"]), line) for line in own if line.get("nonce") not in known]
    return [line for _, line in sorted([*unknown, *zip(times, lines, strict=True)], key=itemgetter(0))]


def _headline(line: Mapping[str, Any]) -> str:
    kind = line.get("kind") or ("promoted" if line["promoted"] else "refused")
    at = datetime.fromisoformat(line["at"]).astimezone()
    by = f"{line['by']}@{line['home']}" if line.get("home") else line["by"]
    before, now = ("none" if line[name] is None else line[name] for name in ("champion", "challenger"))
    moved = f"champion {before} -> {now}" if line["promoted"] else f"version {now}, champion stays {before}"
    colour = _COLOURS.get(kind, "red")
    return f"[bold]{at:%Y-%m-%d %H:%M}[/]  [{colour}]{kind:<11}[/]  {moved}  [dim]by {escape(by)}[/]"


def _figures(line: Mapping[str, Any]) -> str:
    """How good the difference is known, where a comparison was made."""
    figures = line.get("figures") or {}
    if not {"difference", "low", "high"} <= figures.keys():
        return ""
    difference, low, high = (100 * float(figures[name]) for name in ("difference", "low", "high"))
    look = f"; look {line['look']}, level {line['level']:.2g}" if line.get("look") else ""
    return f"{difference:+.2f} points ({low:+.2f} to {high:+.2f}), p = {figures['p_value']:.2g}{look}"


def sentence(line: Mapping[str, Any]) -> str:
    """A move that was just made.

    Example:
        >>> sentence({"challenger": 2, "champion": 3, "reason": "it is slow"})
        'version 2 is champion again, in the place of version 3: it is slow'
    """
    moved = f"version {line['challenger']} is champion again, in the place of {_version(line['champion'])}"
    return f"{moved}: {line['reason']}"


def _version(number: int | None) -> str:
    return "nobody" if number is None else f"version {number}"

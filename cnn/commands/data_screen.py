"""A data check on the screen."""

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.commands.data_check import DataCheck

if TYPE_CHECKING:
    from cnn.data.quality.drift import Changes, Shift

_MOST_SHIFTS = 12


def show_data_check(found: DataCheck, console: Console, *, as_json: bool = False) -> None:
    """The finding, the tests that found a drift, and what follows; or one JSON object."""
    if as_json:
        console.print(json.dumps(found.document(), ensure_ascii=False), highlight=False, markup=False, soft_wrap=True)
        return
    console.print(f"[bold]data {found.finding}[/]  ({found.data_hash[:12]})", highlight=False)
    for one in found.against:
        console.print(f"against {escape(one.whose)} ({one.data_hash[:12]}): {one.finding}", highlight=False)
        for sentence in one.said:
            console.print(f"  {escape(sentence)}", highlight=False)
        if one.changes is not None and one.changes.shifts:
            console.print(_table(one.changes))
    for note in found.notes:
        console.print(escape(note), highlight=False)
    if not found.against:
        console.print("there is no champion and no earlier night to compare with", highlight=False)


def _table(changes: "Changes") -> Table:
    """The tests with the largest effects."""
    n, most = len(changes.shifts), min(len(changes.shifts), _MOST_SHIFTS)
    caption = (
        f"{'all' if n == most else f'the largest {most} of'} {n} tests; effect: 0 none, 1 the largest there can be; "
        "p: how often luck makes some test differ as much"
    )
    table = Table(
        box=None, padding=(0, 2, 0, 2), show_edge=False, caption=caption, caption_justify="left", caption_style="dim"
    )
    for heading in ("images", "of"):
        table.add_column(heading, overflow="fold")
    for heading in ("before", "now", "effect", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for shift in changes.shifts[:most]:
        table.add_row(*_cells(shift))
    return table


def _cells(shift: "Shift") -> tuple[str, ...]:
    form = ".1%" if shift.example else ".3f"
    of = f"{shift.of} ({shift.example})" if shift.example and shift.of == "classes" else shift.of
    figures = (format(shift.before, form), format(shift.now, form), f"{shift.effect:.3f}", f"{shift.p_value:.2g}")
    return shift.group, escape(of), *figures

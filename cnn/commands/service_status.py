"""The service as `cnn status` shows it: each part with its address, since when, and how often it was started again."""

from datetime import datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cnn.config.environment import Environment
from cnn.service.state import UnitState, is_night, is_up, marked, present_state

_STYLES = {"up": "green", "starting": "yellow", "waiting": "red"}


def service_panel(environment: Environment) -> RenderableType:
    """What the service says of itself, or what is left of one that was killed."""
    state = present_state(environment)
    if not is_up(environment):
        return Text(_not_up(environment))
    if state is None:
        return Text("starting")
    table = Table.grid(padding=(0, 2))
    for _ in ("name", "address"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for unit in state.units:
        table.add_row(unit.name, unit.address or "[dim]no port[/dim]", _how(unit))
    return Group(Text(f"nights of {state.checkout}", style="dim"), table)


def _not_up(environment: Environment) -> str:
    left = marked(environment)
    if not left:
        return "down; cnn up starts it"
    nights = sum(is_night(process) for process in left)
    under_way = ", a night under way among them" if nights else ""
    return f"its supervisor is gone, {len(left)} processes are left{under_way}: cnn up mends it, cnn down ends them"


def _how(unit: UnitState) -> str:
    """State and history of a part."""
    said = f"[{_STYLES[unit.state]}]{unit.state}[/] since {datetime.fromisoformat(unit.since).astimezone():%H:%M:%S}"
    if unit.restarts:
        said += f"\n[dim]started again {unit.restarts} times; last: {escape(unit.last_end)}[/dim]"
    return said

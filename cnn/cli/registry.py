"""Commands about the champion: back to an earlier one, and how it came to be."""

from typing import TYPE_CHECKING, Annotated

import typer

from cnn.cli.calls import Overrides, screen, settings

if TYPE_CHECKING:
    from cnn.config.environment import Environment
    from cnn.tracking.registry import Registry

commands = typer.Typer()

_PANEL = "The registry"


@commands.command(rich_help_panel=_PANEL)
def rollback(
    to: Annotated[
        int | None, typer.Option(min=1, metavar="VERSION", help="A version that was champion; without it the last.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the history.")] = "",
    set_: Overrides = None,
) -> None:
    """Make the champion before this one champion again; its files are checked first."""
    from cnn.commands.history import sentence
    from cnn.promotion.rollback import rollback

    line = rollback(*_registered(set_), to=to, reason=reason)
    screen().print(sentence(line), highlight=False, markup=False)


@commands.command(rich_help_panel=_PANEL)
def history(
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="How many, the latest first.")] = 10,
    set_: Overrides = None,
) -> None:
    """Show who was made champion or refused, when, by whom, why, and with what figures."""
    from cnn.commands.history import history

    history(*_registered(set_), screen(), n=n)


def _registered(set_: list[str] | None) -> tuple[str, "Environment", "Registry"]:
    """The registered name, this machine, and its registry, which answers."""
    from cnn import wiring
    from cnn.tracking.server import check_server

    params, environment = settings(set_)
    check_server(environment.mlflow_uri)
    return params.register_.name, environment, wiring.registry(environment)

"""Commands about the data between nights."""

from typing import Annotated

import typer

from cnn.cli.calls import Overrides, screen, settings

commands = typer.Typer()


@commands.command(name="data-check", rich_help_panel="Looking")
def data_check(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    set_: Overrides = None,
) -> None:
    """Say what changed in the prepared data since the champion's; exit code 1: drifted, 3: failed."""
    from cnn.commands.data_check import EXIT_CODES, data_check, known_registry
    from cnn.commands.data_screen import show_data_check

    params, environment = settings(set_)
    found = data_check(params, environment, known_registry(environment))
    show_data_check(found, screen(), as_json=json)
    raise typer.Exit(EXIT_CODES[found.finding])

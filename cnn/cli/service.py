"""Commands of the nightly service."""

import typer

from cnn.cli.calls import here, screen

commands = typer.Typer()


@commands.command(rich_help_panel="The nightly service")
def up() -> None:
    """Start MLflow, Prefect with its nightly schedule, and optuna-dashboard in the background, on this machine only."""
    from cnn.commands.service import up

    up(here(), screen())


@commands.command(rich_help_panel="The nightly service")
def down() -> None:
    """End the service; a night under way keeps what it has and goes on when the service is up again."""
    from cnn.commands.service import down

    down(here(), screen())

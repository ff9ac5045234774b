"""The six steps, in their order, and the night that runs them all."""

from typing import Annotated

import typer

from cnn.cli.calls import Overrides, run_flow, screen, settings, tracking

commands = typer.Typer()


@commands.command(rich_help_panel="The six steps")
def prepare(set_: Overrides = None) -> None:
    """1. Fetch, check, hash and split the images."""
    from cnn.steps.prepare import prepare

    params, environment = settings(set_)
    prepare(params, environment)


@commands.command(rich_help_panel="The six steps")
def search(set_: Overrides = None) -> None:
    """2. Try recipes within the budget; goes on where an interrupted search stopped."""
    from cnn import wiring
    from cnn.commands.leaderboard import show_leaderboard
    from cnn.config.outputs import PREPARED
    from cnn.steps.search import search

    params, environment = settings(set_)
    with tracking(params, environment, "search") as tracker:
        parts = wiring.search_parts(params, environment, tracker)
        search(params, environment, parts, screen(), data=PREPARED)
    show_leaderboard(screen())


@commands.command(rich_help_panel="The six steps")
def train(set_: Overrides = None) -> None:
    """3. Train the winner on all training images."""
    from cnn import wiring
    from cnn.steps.train import train

    params, environment = settings(set_)
    with tracking(params, environment, "train") as tracker:
        train(params, environment, tracker, registry=lambda: wiring.registry(environment))


@commands.command(rich_help_panel="The six steps")
def evaluate(set_: Overrides = None) -> None:
    """4. Measure the candidate on the test images, which no search and no training opens."""
    from cnn.steps.evaluate import evaluate

    params, environment = settings(set_)
    with tracking(params, environment, "evaluate") as tracker:
        evaluate(params, environment, tracker)


@commands.command(rich_help_panel="The six steps")
def register(set_: Overrides = None) -> None:
    """5. Put the candidate into the registry as challenger."""
    from cnn import wiring
    from cnn.steps.register import register

    params, environment = settings(set_)
    with tracking(params, environment, "register") as tracker:
        version = register(params, environment, tracker, wiring.registry(environment))
    screen().print(f"registered {version.name} version {version.number} as challenger", highlight=False)


@commands.command(rich_help_panel="The six steps")
def promote(
    version: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Decide about this version instead of the challenger.")
    ] = None,
    force: Annotated[
        str | None, typer.Option(metavar="REASON", help="Promote whatever the rules say; the reason is kept.")
    ] = None,
    set_: Overrides = None,
) -> None:
    """6. Make the challenger champion if it is sound, and better beyond luck."""
    from cnn import wiring
    from cnn.commands.verdict import show_verdict
    from cnn.steps.promote import promote

    params, environment = settings(set_)
    with tracking(params, environment, "promote") as tracker:
        registry = wiring.registry(environment)
        verdict = promote(params, environment, tracker, registry, number=version, force=force)
    show_verdict(verdict, screen())


@commands.command(rich_help_panel="The six steps")
def nightly(set_: Overrides = None) -> None:
    """All six steps as a Prefect flow; the night is saved as a DVC experiment. --set is written to params.yaml."""
    run_flow("nightly", [word for override in set_ or [] for word in ("--set", override)])

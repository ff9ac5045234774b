"""What was made, made again: reproduced, compared, carried elsewhere, and cleaned up after."""

from pathlib import Path
from typing import Annotated

import typer

from cnn.cli.calls import here, interruptible, screen, settings

commands = typer.Typer()


@commands.command(rich_help_panel="Made again")
def reproduce(
    what: Annotated[str, typer.Argument(help="A version (7, NAME/7, champion), a night, or a candidate's run.")],
    *,
    into: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A new folder for it; else one in CNN_HOME/reproductions.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave that folder there.")] = False,
    search: Annotated[
        bool, typer.Option("--search", help="Search again too; else the kept winner is trained.")
    ] = False,
) -> None:
    """Make a version again from its commit, data and settings, and compare; exit code 1 when it is another model."""
    from cnn.commands.reproduce import reproduce

    params, environment = settings(None)
    with interruptible():
        made = reproduce(what, params, environment, screen(), into=into, keep=keep, search=search)
    raise typer.Exit(made.exit_code)


@commands.command(rich_help_panel="Made again")
def compare(
    a: Annotated[str, typer.Argument(help="A version (7, NAME/7, champion), a night, or a run's key or id.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
    *,
    show: Annotated[int, typer.Option(min=0, help="Images on which they disagree to list.")] = 20,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object, with all of these images.")] = False,
) -> None:
    """Compare settings, figures, curves and answers of two versions, runs or nights."""
    from cnn.commands.compare import compare

    params, environment = settings(None)
    compare(a, b, params, environment, screen(), show=show, as_json=json)


@commands.command(rich_help_panel="Made again")
def export(
    version: Annotated[str, typer.Argument(help="A version (7, NAME/7, champion), or the night that made it.")],
    *,
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="keras, savedmodel, tflite or onnx.")
    ] = "keras",
    into: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Else one in outputs/exports.")] = None,
) -> None:
    """Write a version in a format that other programs take, its answers checked on validation images."""
    from cnn.commands.export import export

    params, environment = settings(None)
    export(version, params, environment, screen(), form=format_, into=into)


@commands.command(rich_help_panel="Made again")
def gc(
    keep_nights: Annotated[int, typer.Option(min=0, help="So many of the latest nights keep all of theirs.")] = 7,
    older_than: Annotated[float, typer.Option(min=0.0, metavar="DAYS", help="What rested for less is kept.")] = 14.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove checkpoints, old trials' files and unused data; never what a version or a saved night needs."""
    from cnn.commands.gc import gc
    from cnn.disposal.removable import Policy

    gc(here(), Policy(keep_nights=keep_nights, older_than_days=older_than), screen(), yes=yes)

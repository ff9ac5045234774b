"""Commands that look and say: they change neither the data nor the registry."""

from pathlib import Path
from typing import Annotated

import typer

from cnn.cli.calls import Overrides, here, run_flow, screen, settings

commands = typer.Typer()


@commands.command(rich_help_panel="Looking")
def describe(
    recipe: Annotated[
        str, typer.Argument(help="A preset's name or a recipe file; without it the presets are listed.")
    ] = "",
    image: Annotated[
        str, typer.Option(metavar="HxWxC", help="Image shape; else as published of the network, else 32x32x3.")
    ] = "",
    classes: Annotated[
        int | None, typer.Option(min=2, help="Number of classes; else as published of the network, else 10.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a recipe's layers, output shapes, parameters, multiply-adds and memory."""
    from cnn.commands.describe import describe

    describe(recipe, image, classes, screen(), as_json=json)


@commands.command(rich_help_panel="Looking")
def predict(
    images: Annotated[list[Path], typer.Argument(help="Picture files, and folders of them.", show_default=False)],
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="models:/NAME@ALIAS or FILE.keras; without it the champion.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
) -> None:
    """Label pictures of any size; exit code 1 when some of the files are none, 2 when all are."""
    from cnn import wiring
    from cnn.commands.chosen_model import chosen_model, is_version
    from cnn.commands.predict import predict

    name = model or f"models:/{settings(None)[0].register_.name}@champion"
    registry = wiring.registry(here()) if is_version(name) else None
    raise typer.Exit(predict(images, chosen_model(name, registry), as_json=json))


@commands.command(rich_help_panel="Looking")
def diagnose(
    run: Annotated[
        str, typer.Argument(help="A curves.csv, a night's name or a run's key; without it the latest candidate.")
    ] = "",
    *,
    n_val: Annotated[int | None, typer.Option(min=1, help="Validation images, where none were kept.")] = None,
    n_train: Annotated[int | None, typer.Option(min=1, help="Training images, where none were kept.")] = None,
    classes: Annotated[int | None, typer.Option(min=2, help="Classes, where none were kept.")] = None,
    data_curve: Annotated[
        bool, typer.Option("--data-curve", help="Train on growing parts of the data: would more of it help?")
    ] = False,
    fractions: Annotated[str, typer.Option(help="Those parts.")] = "1/8,1/4,1/2,1",
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each part.")] = 2,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    set_: Overrides = None,
) -> None:
    """Say what a learning curve shows, on what evidence, and what to do about it."""
    from cnn.commands.data_curve import data_curve as measure
    from cnn.commands.diagnose import Given, diagnose

    if data_curve:
        params, environment = settings(set_)
        measure(params, environment, screen(), fractions=fractions, seeds=seeds, as_json=json)
    else:
        given = Given(n_val=n_val, n_train=n_train, classes=classes)
        diagnose(run, given, here(), screen(), as_json=json)


@commands.command(rich_help_panel="Looking")
def ui(
    mlflow_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Else CNN_MLFLOW_PORT.")] = None,
    optuna_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Else CNN_OPTUNA_PORT.")] = None,
) -> None:
    """Open MLflow and optuna-dashboard on this machine, until Ctrl-C."""
    from cnn.commands.ui import ui

    ui(here(), screen(), mlflow_port=mlflow_port, optuna_port=optuna_port)


@commands.command(rich_help_panel="Looking")
def status(
    open_: Annotated[bool, typer.Option("--open", help="Open the latest night's morning page in the browser.")] = False,
) -> None:
    """Show the latest night, the champion, its accuracy, and where to look."""
    from cnn.commands.night_page import open_page
    from cnn.commands.status import status

    params, environment = settings(None)
    (open_page if open_ else status)(params, environment, screen())


@commands.command(rich_help_panel="Looking")
def doctor(
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Compare studies, MLflow and Prefect, and end what is dead.")
    ] = False,
) -> None:
    """Check the installation: versions, disk, ports, devices, databases."""
    from cnn.commands.doctor import doctor

    if reconcile:
        run_flow("reconcile", [])
    else:
        healthy = doctor(here(), screen())
        raise typer.Exit(0 if healthy else 1)

"""The command line: names to steps, mistakes to one line and exit code 2.

No framework is imported before a command needs it, so that `--help` answers at once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cnn.errors import Interrupted, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from cnn.config.environment import Environment
    from cnn.config.params import Params
    from cnn.tracking.mlflow import MlflowTracker

app = typer.Typer(
    name="cnn",
    help="Tune image classifiers overnight, log every curve, promote only what is better.",
    epilog="Settings: params.yaml in this folder, CNN_ variables for this machine. README.md tells the story.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of params.yaml for this call; repeatable."),
]


def main() -> None:
    """Run a command; a user's mistake ends in one line and exit code 2."""
    from cnn.runtime import silence, warn_on_screen

    silence()
    warn_on_screen()
    try:
        app()
    except UserError as error:
        print(f"cnn: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, Interrupted):
        print("cnn: interrupted; the same command goes on where it stopped", file=sys.stderr)
        sys.exit(130)


@app.command()
def prepare(set_: Overrides = None) -> None:
    """1. Fetch, check, hash and split the images."""
    from cnn.steps.prepare import prepare

    params, environment = _settings(set_)
    prepare(params, environment)


@app.command()
def search(set_: Overrides = None) -> None:
    """2. Try recipes within the budget; goes on where an interrupted search stopped."""
    from cnn import wiring
    from cnn.commands.leaderboard import show_leaderboard
    from cnn.config.outputs import PREPARED
    from cnn.steps.search import search

    params, environment = _settings(set_)
    with _tracker(params, environment, "search") as tracker:
        parts = wiring.search_parts(params, environment, tracker)
        search(params, environment, parts, _console(), data=PREPARED)
    show_leaderboard(_console())


@app.command()
def train(set_: Overrides = None) -> None:
    """3. Train the winner on all training images."""
    from cnn import wiring
    from cnn.steps.train import train

    params, environment = _settings(set_)
    with _tracker(params, environment, "train") as tracker:
        train(params, environment, tracker, registry=lambda: wiring.registry(environment))


@app.command()
def evaluate(set_: Overrides = None) -> None:
    """4. Measure the candidate on the test images, which no search and no training opens."""
    from cnn.steps.evaluate import evaluate

    params, environment = _settings(set_)
    with _tracker(params, environment, "evaluate") as tracker:
        evaluate(params, environment, tracker)


@app.command()
def register(set_: Overrides = None) -> None:
    """5. Put the candidate into the registry as challenger."""
    from cnn import wiring
    from cnn.steps.register import register

    params, environment = _settings(set_)
    with _tracker(params, environment, "register") as tracker:
        version = register(params, environment, tracker, wiring.registry(environment))
    _console().print(f"registered {version.name} version {version.number} as challenger", highlight=False)


@app.command()
def promote(set_: Overrides = None) -> None:
    """6. Make the challenger champion if it is better beyond luck."""
    from cnn import wiring
    from cnn.steps.promote import promote

    params, environment = _settings(set_)
    with _tracker(params, environment, "promote") as tracker:
        verdict = promote(params, environment, tracker, wiring.registry(environment))
    _console().print(verdict.sentence(), highlight=False)


@app.command()
def nightly(set_: Overrides = None) -> None:
    """All six steps as a Prefect flow; the night is saved as a DVC experiment. --set is written to params.yaml."""
    _flow("nightly", [word for override in set_ or [] for word in ("--set", override)])


@app.command()
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

    describe(recipe, image, classes, _console(), as_json=json)


@app.command()
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

    name = model or f"models:/{_settings(None)[0].register_.name}@champion"
    registry = wiring.registry(_environment()) if is_version(name) else None
    raise typer.Exit(predict(images, chosen_model(name, registry), as_json=json))


@app.command()
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
        params, environment = _settings(set_)
        measure(params, environment, _console(), fractions=fractions, seeds=seeds, as_json=json)
    else:
        given = Given(n_val=n_val, n_train=n_train, classes=classes)
        diagnose(run, given, _environment(), _console(), as_json=json)


@app.command()
def ui(
    mlflow_port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
    optuna_port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
) -> None:
    """Open MLflow and optuna-dashboard on this machine, until Ctrl-C."""
    from cnn.commands.ui import ui

    ui(_environment(), _console(), mlflow_port=mlflow_port, optuna_port=optuna_port)


@app.command()
def status() -> None:
    """Show the latest night, the champion, its accuracy, and where to look."""
    from cnn.commands.status import status

    params, environment = _settings(None)
    status(params, environment, _console())


@app.command()
def doctor(
    reconcile: Annotated[
        bool, typer.Option("--reconcile", help="Compare studies, MLflow and Prefect, and end what is dead.")
    ] = False,
) -> None:
    """Check the installation: versions, disk, ports, devices, databases."""
    from cnn.commands.doctor import doctor

    if reconcile:
        _flow("reconcile", [])
    else:
        healthy = doctor(_environment(), _console())
        raise typer.Exit(0 if healthy else 1)


def _settings(overrides: list[str] | None) -> tuple["Params", "Environment"]:
    from cnn.config.reading import read_params

    return read_params(overrides=overrides or ()), _environment()


def _environment() -> "Environment":
    from cnn.config.environment import read_environment

    return read_environment()


def _console() -> "Console":
    from rich.console import Console

    return Console()


@contextmanager
def _tracker(params: "Params", environment: "Environment", step: str) -> Iterator["MlflowTracker"]:
    """The tracker; what a killed process of this machine left running is ended first."""
    from cnn import wiring
    from cnn.search.reconcile import end_dead

    with wiring.tracker(environment, params.search.experiment, source=f"cnn {step}") as tracker:
        for sentence in end_dead(environment.studies, tracker, tracker.unended()):
            _console().print(sentence, highlight=False, soft_wrap=True)
        yield tracker


def _flow(name: str, words: list[str]) -> None:
    """Run a flow in a process of its own: flows know this package, not the other way round."""
    import signal
    import subprocess

    started: list[subprocess.Popen[bytes]] = []

    def stop(*_: object) -> None:
        for flow in started:
            flow.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)
    # Ctrl-C reaches a whole process group; Prefect's server in it would be gone before the flow can say its last word
    started.append(subprocess.Popen([sys.executable, "-m", "flows", name, *words], cwd=Path.cwd(), process_group=0))
    code = started[0].wait()
    raise typer.Exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()

"""What commands share: settings, the screen, a tracker, a flow.

No framework is imported before a command needs it, so that `--help` answers at once.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from cnn.config.environment import Environment
    from cnn.config.params import Params
    from cnn.tracking.mlflow import MlflowTracker

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of params.yaml for this call; repeatable."),
]


def settings(overrides: list[str] | None = None) -> tuple["Params", "Environment"]:
    """`params.yaml` with `--set` words laid over it, and the settings of this machine."""
    from cnn.config.reading import read_params

    return read_params(overrides=overrides or ()), here()


def here() -> "Environment":
    """The settings of this machine."""
    from cnn.config.environment import read_environment

    return read_environment()


def screen() -> "Console":
    """The terminal."""
    from rich.console import Console

    return Console()


@contextmanager
def tracking(params: "Params", environment: "Environment", step: str) -> Iterator["MlflowTracker"]:
    """The tracker; what a killed process of this machine left running is ended first."""
    from cnn import wiring
    from cnn.search.reconcile import end_dead

    with wiring.tracker(environment, params.search.experiment, source=f"cnn {step}") as tracker:
        for sentence in end_dead(environment.studies, tracker, tracker.unended()):
            screen().print(sentence, highlight=False, soft_wrap=True)
        yield tracker


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does: with what it has started, and nothing left behind."""
    import signal

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        print("cnn: interrupted", file=sys.stderr)
        raise typer.Exit(130) from None


def run_flow(name: str, words: list[str]) -> None:
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

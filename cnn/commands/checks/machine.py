"""Whether this machine has room, lets us write, and has our ports free."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cnn.commands.checks.finding import Finding, ok, problem, warning
from cnn.config.environment import Environment
from cnn.service import ports

_ROOM_BYTES = 5 * 10**9
_LEAST_BYTES = 5 * 10**8


def disk(environment: Environment) -> Iterator[Finding]:
    """Free space where results go, and whether we may write there."""
    for subject, folder in (("CNN_HOME", environment.home), ("this folder", Path.cwd())):
        yield _room(f"disk of {subject}", _existing(folder))
        yield _writable(subject, folder, _existing(folder))


def _room(subject: str, folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:,.1f} GB free"
    if free < _LEAST_BYTES:
        return problem(subject, found, "free some space: a night writes a few GB")
    if free < _ROOM_BYTES:
        return warning(subject, found, "free some space: a night writes a few GB")
    return ok(subject, found)


def _writable(subject: str, folder: Path, existing: Path) -> Finding:
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        return problem(subject, f"{existing}: {reason}", "choose a folder that can be written")
    return ok(subject, f"{folder} can be written" + ("" if folder == existing else ", and is made when needed"))


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def listeners(environment: Environment) -> Iterator[Finding]:
    """The ports of our servers."""
    for port, name, health, mend in (
        (environment.mlflow_port, "MLflow", "/health", "choose another: set CNN_MLFLOW_PORT"),
        (environment.optuna_port, "optuna-dashboard", "/api/meta", "choose another: set CNN_OPTUNA_PORT"),
        (environment.prefect_port, "Prefect", "/api/health", "choose another for cnn up: set CNN_PREFECT_PORT"),
    ):
        reason = ports.refusal(port)
        if not reason:
            yield ok(f"port {port}", f"free for {name}")
        elif ports.answers(port, health):
            yield ok(f"port {port}", f"{name} answers")
        else:
            yield warning(f"port {port}", f"{reason}, by something that is not {name}", mend)

"""Whether this machine has room, lets us write, and has our ports free."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cnn.commands import ports
from cnn.commands.checks.finding import Finding, ok, problem, warning
from cnn.config.environment import Environment

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


def listeners() -> Iterator[Finding]:
    """The ports our servers like best."""
    for port, (name, health, mend) in _SERVERS.items():
        reason = ports.refusal(port)
        if not reason:
            yield ok(f"port {port}", f"free for {name}")
        elif ports.answers(port, health):
            yield ok(f"port {port}", f"{name} answers")
        else:
            yield warning(f"port {port}", f"{reason}, by something that is not {name}", mend)


_SERVERS = {
    5000: ("MLflow", "/health", "choose another: cnn ui --mlflow-port PORT"),
    8080: ("optuna-dashboard", "/api/meta", "choose another: cnn ui --optuna-port PORT"),
    4200: ("Prefect", "/api/health", "nights need it not; a Prefect server of your own wants another port"),
}

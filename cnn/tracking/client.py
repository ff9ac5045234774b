"""The way to an MLflow client: explicit, without MLflow's global state, telemetry or patience of minutes."""

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cnn.config.environment import Environment
from cnn.durable import storage_errors
from cnn.errors import ServiceError
from cnn.tracking.server import sqlite_file

KEY = "cnn.key"
PARENT = "cnn.parent"

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI then speaks of training, not of agents

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # as shipped two minutes and seven retries: a dead server hangs a command
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
}
"""Environment of every process that runs MLflow for us."""


_importing = threading.Lock()


def import_mlflow() -> None:
    """Import MLflow, one thread at a time: two at once leave each other half-made modules."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    with _importing:
        import mlflow  # noqa: F401, TID251


def connect(environment: Environment) -> Any:
    """An `MlflowClient` for the environment's tracking address; an embedded database is made ready first."""
    import_mlflow()
    from mlflow import MlflowClient  # noqa: TID251

    for talkative in ("alembic", "mlflow"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    uri = environment.mlflow_uri
    with _made_alone(sqlite_file(uri)) if uri.startswith("sqlite") else nullcontext():
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def answering(call: Any, uri: str) -> Any:
    """What `call()` gives.

    Raises:
        ServiceError: The server does not answer.
    """
    import_mlflow()
    from mlflow.exceptions import MlflowException  # noqa: TID251

    try:
        return call()
    except MlflowException as error:
        if error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"):
            received = str(error)[:200]
            change = "start the server or set CNN_TRACKING_URI"
            raise ServiceError(uri, received=received, expected="an answer", change=change) from error
        raise


def experiment_id(client: Any, name: str, artifacts: str | None) -> str:
    """The id of an experiment; it is created, or brought back when it was deleted.

    Args:
        artifacts: Where its files will lie; None leaves it to the server.
    """
    from mlflow.exceptions import MlflowException  # noqa: TID251

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artifacts, tags=_KIND))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def artifact_root(environment: Environment) -> str | None:
    """Where the files of an embedded database's experiments lie; None where a server keeps them."""
    return None if environment.mlflow_uri.startswith("http") else environment.artifacts.as_uri()


def search_runs(client: Any, condition: str, experiment: str | None = None) -> list[Any]:
    """All active runs that meet a condition, past MLflow's silent limit of 1,000 an answer."""
    ids = [e.experiment_id for e in _pages(client.search_experiments) if experiment in (None, e.name)]
    if not ids:
        return []
    return _pages(lambda **page: client.search_runs(ids, condition, max_results=1000, **page))


def find_run(client: Any, key: str) -> Any | None:
    """The run of a key, or None. Among several, as two machines could make, the oldest."""
    runs = search_runs(client, f"tags.`{KEY}` = '{checked_key(key)}'")
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def checked_key(key: str) -> str:
    """A key that can stand in MLflow's filter language, which knows no escapes."""
    if not key or set(key) & set("'\"`\\"):
        raise ValueError(f"Invalid run key. Expected no quotes, ticks or backslashes. Received {key!r}")
    return key


def _pages(search: Any) -> list[Any]:
    found, token = [], None
    while True:
        page = search(page_token=token)
        found += page
        token = page.token
        if not token:
            return found


@contextmanager
def _made_alone(path: Path) -> Iterator[None]:
    """Hold the file in WAL mode while a client is made, which migrates it (6 s the first time), before others open it.

    A new file that a kill left half-migrated can neither be finished nor used by MLflow: it is made again.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(f"{path.name}.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        unfinished = path.with_name(f"{path.name}.unfinished")
        if unfinished.exists():
            for ending in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
        if not path.exists() or path.stat().st_size == 0:
            unfinished.touch()
        with closing(sqlite3.connect(path, timeout=20)) as db:
            db.execute("PRAGMA journal_mode = WAL")
        yield
        unfinished.unlink(missing_ok=True)

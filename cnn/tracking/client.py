"""The way to an MLflow client: explicit, without MLflow's global state, telemetry or patience of minutes."""

import logging
import os
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cnn.config.environment import Environment
from cnn.durable import made_alone
from cnn.errors import ServiceError
from cnn.tracking.server import sqlite_file, without_password

KEY = "cnn.key"
HOME = "cnn.home"  # keys are unique in one CNN_HOME, and several may speak to one server
PARENT = "cnn.parent"

_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI then speaks of training, not of agents

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # of each run that ends, with the password in the address
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # as shipped two minutes and seven retries: a dead server hangs a command
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
}
"""Environment of every process that runs MLflow for us."""


_ELSEWHERE = re.compile("(?P<key>.+)@(?P<home>[0-9a-f]{8})")

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
            received = without_password(str(error))[:200]
            change = "start the server or set CNN_TRACKING_URI"
            raise ServiceError(without_password(uri), received=received, expected="an answer", change=change) from error
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
    ids = [e.experiment_id for e in pages(client.search_experiments) if experiment in (None, e.name)]
    if not ids:
        return []
    return pages(lambda **page: client.search_runs(ids, condition, max_results=1000, **page))


def find_run(client: Any, key: str, home: str) -> Any | None:
    """The run of a key, or None. Among several, as a repeated request could make, the oldest.

    Args:
        key: `KEY` of a run of this home, or `KEY@HOME` of another home's.
        home: Id of this home.
    """
    if elsewhere := _ELSEWHERE.fullmatch(key):
        key, home = elsewhere["key"], elsewhere["home"]
    runs = search_runs(client, f"tags.`{KEY}` = '{checked_key(key)}' and {of_home(home)}")
    return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)


def of_home(home: str) -> str:
    """The condition that a run is of this home."""
    return f"tags.`{HOME}` = '{home}'"


def key_elsewhere(key: str, home: str) -> str:
    """How a run of another home is named here.

    Example:
        >>> key_elsewhere("night-7/candidate", "3f9a21bc")
        'night-7/candidate@3f9a21bc'
    """
    return f"{key}@{home}"


def checked_key(key: str) -> str:
    """A key that can stand in MLflow's filter language, which knows no escapes."""
    if not key or set(key) & set("'\"`\\"):
        raise ValueError(f"Invalid run key. Expected no quotes, ticks or backslashes. Received {key!r}")
    return key


def pages(search: Any) -> list[Any]:
    """All that a search of MLflow finds, past the limit of one answer: `search(page_token=...)` again and again."""
    found, token = [], None
    while True:
        page = search(page_token=token)
        found += page
        token = page.token
        if not token:
            return found


@contextmanager
def _made_alone(path: Path) -> Iterator[None]:
    """Hold the file in WAL mode while a client is made, which migrates it, before others open it."""
    with made_alone(path):
        with closing(sqlite3.connect(path, timeout=20)) as db:
            db.execute("PRAGMA journal_mode = WAL")
        yield

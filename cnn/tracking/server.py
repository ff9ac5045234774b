"""Whether a tracking address answers, asked before a command starts work; no MLflow is imported for it."""

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

import requests

from cnn.durable import storage_errors
from cnn.errors import ConfigError, IntegrityError, ServiceError

_TIMEOUT_S = 3.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_server(uri: str) -> None:
    """Ask a tracking address for a sign of life, for a few seconds at the most.

    A server that dies later is no error: what runs say then waits in the spool.

    Args:
        uri: `http(s)://` of an MLflow server, or a database: `sqlite:///FILE`, `postgresql://`, `mysql://`, `mssql://`.

    Raises:
        ConfigError: It is no such address.
        ServiceError: Nothing answers there, or something that is no MLflow server.
        IntegrityError: The sqlite file is no database.
        StorageError: The sqlite file's folder cannot be made.
    """
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in ("http", "https"):
        _check_http(uri)
    elif scheme == "sqlite":
        _check_sqlite(sqlite_file(uri))
    elif scheme in _PORTS:
        _check_port(uri, _PORTS[scheme])
    else:
        expected = "http(s)://HOST:PORT of an MLflow server, or a database as sqlite:///FILE"
        raise ConfigError("CNN_TRACKING_URI", received=uri, expected=expected, change="set CNN_TRACKING_URI")


def sqlite_file(uri: str) -> Path:
    """The file of a `sqlite:///FILE` address.

    Example:
        >>> sqlite_file("sqlite:////data/mlflow.db").as_posix()
        '/data/mlflow.db'
    """
    return Path(uri.partition(":///")[2])


def _check_http(uri: str) -> None:
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S)
    except requests.exceptions.RequestException as error:
        raise _silent(uri, type(error).__name__) from error
    if answer.status_code != requests.codes.ok:
        raise _silent(uri, f"HTTP {answer.status_code}")


def _check_port(uri: str, port: int) -> None:
    parts = urlsplit(uri)
    try:
        socket.create_connection((parts.hostname or "localhost", parts.port or port), _TIMEOUT_S).close()
    except OSError as error:
        raise _silent(f"{parts.scheme}://{parts.hostname}", error.strerror or type(error).__name__) from error


def _check_sqlite(path: Path) -> None:
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        head = _head(path)
    if head not in (b"", b"SQLite format 3\0"):
        change = "move the file away or set CNN_TRACKING_URI"
        raise IntegrityError(path, received="a file that is no database", expected="a sqlite database", change=change)


def _head(path: Path) -> bytes:
    if not path.exists():
        return b""
    with path.open("rb") as file:
        return file.read(16)


def _silent(uri: str, received: str) -> ServiceError:
    change = "start the server, or set CNN_TRACKING_URI (unset it for the embedded database)"
    return ServiceError(uri, received=received, expected="an MLflow server that answers", change=change)


def server_command(database: str, artifacts: Path, port: int) -> list[str]:
    """The command of an MLflow server on loopback over a database; give it `cnn.tracking.client.SETTINGS`.

    Args:
        database: Its address, as `sqlite:///FILE`.
        artifacts: Folder of the files that clients upload.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [*command, "--backend-store-uri", database, "--artifacts-destination", str(artifacts)]

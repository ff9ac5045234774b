"""Whether a tracking address answers, asked before a command starts work; no MLflow is imported for it."""

import re
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from cnn.durable import storage_errors
from cnn.errors import ConfigError, IntegrityError, ServiceError

_TIMEOUT_S = 3.0
_SERVER = "an MLflow server"
_START = "start the server, or set CNN_TRACKING_URI (unset it for the embedded database)"
_POSTGRES = "cnn-overnight[postgres]"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def check_server(uri: str) -> None:
    """Ask a tracking address for a sign of life, for a few seconds at the most.

    A server that dies later is no error: what runs say then waits in the spool.

    Args:
        uri: `http(s)://` of an MLflow server, or a database: `sqlite:///FILE`, `postgresql://`, `mysql://`, `mssql://`.

    Raises:
        ConfigError: It is no such address, or the database's driver is not installed.
        ServiceError: Nothing answers there, or something that is no MLflow server.
        IntegrityError: The sqlite file is no database.
        StorageError: The sqlite file's folder cannot be made.
    """
    scheme = _parts(uri)[0].partition("+")[0]
    if scheme in ("http", "https"):
        check_health(uri, what=_SERVER, change=_START)
    elif scheme == "sqlite":
        _check_sqlite(uri)
    elif scheme in _PORTS:
        _check_port(uri, _PORTS[scheme])
        check_driver(uri, "CNN_TRACKING_URI")
    else:
        raise _no_address(uri)


def check_driver(uri: str, setting: str) -> None:
    """Of the databases only sqlite comes with what speaks to it.

    Raises:
        ConfigError: The driver of a database's address is unknown or not installed.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        dialect = make_url(uri).get_dialect()
        dialect.import_dbapi()
    except ArgumentError as error:
        expected, change = "an address in SQLAlchemy's words", f"set {setting}"
        raise ConfigError(setting, received=without_password(uri), expected=expected, change=change) from error
    except ImportError as error:
        package = f"'{_POSTGRES}'" if dialect.driver == "psycopg2" else error.name
        received = f"a {dialect.name} database without its driver, {error.name}"
        change = f"pip install {package}"
        raise ConfigError(setting, received=received, expected="the driver installed", change=change) from error


def sqlite_file(uri: str) -> Path:
    """The file of a `sqlite:///FILE` address.

    Example:
        >>> sqlite_file("sqlite:////data/mlflow.db").as_posix()
        '/data/mlflow.db'
    """
    return Path(uri.partition(":///")[2])


def without_password(text: str) -> str:
    """A text as it may be shown: addresses in it lose their user and password.

    Example:
        >>> without_password("postgresql://anna:secret@host/mlflow")
        'postgresql://host/mlflow'
    """
    return re.sub(r"//[^/\s]*@", "//", text)


def check_health(uri: str, *, what: str, change: str) -> None:
    """Ask a web server for `/health`, for a few seconds at the most.

    Args:
        what: The server that is expected there.
        change: What to do about one that does not answer.

    Raises:
        ServiceError: It does not answer, or not well.
    """
    import requests

    received = ""
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=_TIMEOUT_S)
        if answer.status_code != requests.codes.ok:
            received = f"HTTP {answer.status_code}"
    except requests.exceptions.RequestException as error:
        received = type(error).__name__
    if received:
        raise ServiceError(without_password(uri), received=received, expected=f"{what} that answers", change=change)


def _check_port(uri: str, port: int) -> None:
    scheme, host, given_port = _parts(uri)
    try:
        socket.create_connection((host or "localhost", given_port or port), _TIMEOUT_S).close()
    except OSError as error:
        received, expected = error.strerror or type(error).__name__, f"{_SERVER} that answers"
        raise ServiceError(f"{scheme}://{host}", received=received, expected=expected, change=_START) from error


def _parts(uri: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; raises ConfigError for a port that is no number, or an unfinished IPv6 address."""
    try:
        parts = urlsplit(uri)
        return parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise _no_address(uri) from error


def _no_address(uri: str) -> ConfigError:
    expected = "http(s)://HOST:PORT of an MLflow server, or a database as sqlite:///FILE"
    shown = re.sub(r"//.*@", "//", uri)  # a password may be why it is no address, as with a slash in it
    return ConfigError("CNN_TRACKING_URI", received=shown, expected=expected, change="set CNN_TRACKING_URI")


def _check_sqlite(uri: str) -> None:
    path = sqlite_file(uri)
    with storage_errors(path):
        if path.is_dir():  # as is the address without a file
            raise _no_address(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = _is_database(path)
    if not sound:
        change = "move the file away or set CNN_TRACKING_URI"
        raise IntegrityError(path, received="a file that is no database", expected="a sqlite database", change=change)


def _is_database(path: Path) -> bool:
    """Asked of sqlite: a file handle of our own would take sqlite's locks along when it is closed, and whoever comes
    next would take itself for the only one that has the file open.
    """
    if not path.exists():
        return True
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            db.execute("PRAGMA schema_version")
    except sqlite3.DatabaseError as error:
        return getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_NOTADB
    return True


def server_command(port: int, *options: str) -> list[str]:
    """The command of an MLflow server on loopback; give it `cnn.tracking.client.SETTINGS` as environment.

    Args:
        options: Where its runs and files lie, in the words of `mlflow server`.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    return [*command, "--workers", "1", *options]

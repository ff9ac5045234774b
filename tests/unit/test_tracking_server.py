"""A tracking address that cannot work is one line, at once."""

import re
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from servers import free_port

from cnn.errors import ConfigError, IntegrityError, ServiceError, StorageError
from cnn.tracking.server import check_server, without_password


# Where nothing listens, the answer is a ServiceError within seconds, in one line that names the address without the
# password.
@pytest.mark.parametrize("scheme", ["http", "postgresql", "mysql+pymysql"])
def test_nothing_listens(scheme):
    uri = f"{scheme}://me:s%40cret@127.0.0.1:{free_port()}"
    begun = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        check_server(uri)
    assert time.monotonic() - begun < 5.0
    assert "//127.0.0.1" in str(caught.value)
    assert "cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


# A host that takes the connection and then stays silent is given up too.
def test_a_silent_server():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        with pytest.raises(ServiceError, match="Timeout"):
            check_server(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - begun < 5.0


# Another web server is no MLflow server.
def test_another_web_server():
    class NotFound(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), NotFound) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(ServiceError, match="HTTP 404"):
            check_server(f"http://127.0.0.1:{server.server_port}")
        thread.join()


# A database that answers, and whose driver is not installed, is one line that says what to install.
@pytest.mark.parametrize(
    ("scheme", "module", "package"),
    [("postgresql", "psycopg2", "'cnn-overnight[postgres]'"), ("mysql+pymysql", "pymysql", "pymysql")],
)
def test_no_driver(scheme, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with socket.socket() as database:
        database.bind(("127.0.0.1", 0))
        database.listen()
        with pytest.raises(ConfigError, match=f"CNN_TRACKING_URI: .*{module}.* pip install {re.escape(package)}"):
            check_server(f"{scheme}://me:secret@127.0.0.1:{database.getsockname()[1]}/mlflow")


# Words that are no address, and MLflow's retired file store, are a mistake in the setting.
# So are a folder or nothing where sqlite's file belongs, and a port that is no number. No password is shown.
@pytest.mark.parametrize(
    "uri",
    [
        "mlruns",
        "file:///tmp/mlruns",
        "ftp://host",
        "sqlite:////",
        "sqlite:///",
        "sqlite://",
        "postgresql://h:abc/db",
        "postgresql://me:secret@h:99999/db",
        "http://h:abc",
        "http://[::1",
    ],
)
def test_no_address(uri):
    with pytest.raises(ConfigError, match="CNN_TRACKING_URI") as caught:
        check_server(uri)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


# Whatever is shown loses the passwords of all its addresses, and nothing else: not an address without one, not a path.
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5000", "http://host:5000"),
        ("postgresql://me:sec@ret@host/db", "postgresql://host/db"),
        ("http://a:b@c (API request to http://a:b@c/api failed)", "http://c (API request to http://c/api failed)"),
        ("http://host/models@champion", "http://host/models@champion"),
        ("sqlite:////data/me@work/mlflow.db", "sqlite:////data/me@work/mlflow.db"),
    ],
)
def test_without_password(text, shown):
    assert without_password(text) == shown


# An sqlite address works before its file exists; a file that is no database is named.
def test_sqlite(tmp_path):
    path = tmp_path / "new" / "mlflow.db"
    check_server(f"sqlite:///{path}")
    assert not path.exists()
    path.write_bytes(b"certainly no database")
    with pytest.raises(IntegrityError, match=r"mlflow\.db"):
        check_server(f"sqlite:///{path}")
    with pytest.raises(StorageError):
        check_server(f"sqlite:///{path}/below/mlflow.db")

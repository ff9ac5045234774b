"""A tracking server that can be killed, a webhook, a free port, and the rows of a database that others write."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cnn.tracking.client import SETTINGS
from cnn.tracking.server import check_server, server_command

PATIENCE_S = 180.0


def free_port() -> int:
    """A port of this machine that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class TrackingServer:
    """A real `mlflow server`, which can be killed and started again at the same address, on the same database.

    Args:
        folder: Takes its database, its artifacts and its log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "server.log"
        self._port = free_port()
        self.database = folder / "server.db"
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        files = ("--artifacts-destination", str(self._folder / "artifacts"))
        command = server_command(self._port, "--backend-store-uri", f"sqlite:///{self.database}", *files)
        # as the service has it: its job runners would each load MLflow, for evaluations that nobody asks for
        settings = os.environ | SETTINGS | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                command, env=settings, cwd=self._folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                return check_server(self.uri)
            except Exception:
                time.sleep(0.5)
        raise AssertionError(self._log.read_text())

    def kill(self) -> None:
        """It and its children, without a warning; one that is dead already stays dead."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def rows_of(database: Path, query: str) -> list[tuple]:
    """What a query finds in an sqlite file that others may be writing."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as db:
        return db.execute(query).fetchall()


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict]]]:
    """A local webhook: HOST:PORT/hook where it listens, and the JSON that it was sent; any other path is not found."""
    received = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/hook" else 404)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

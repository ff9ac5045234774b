"""`cnn ui`: refuses before it starts anything, and leaves nothing behind."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import requests
from servers import free_port

from cnn.runtime import is_alive

ROOT = Path(__file__).resolve().parents[2]


def start(home, *words, **settings):
    return subprocess.Popen(
        [sys.executable, "-m", "cnn", "ui", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"CNN_HOME": str(home)} | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def addresses(process):
    """What it printed until it said how to end it."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return re.findall(r"http://127\.0\.0\.1:\d+", "".join(lines))


def refusal(process):
    """The one line of a refused command."""
    output, complaint = process.communicate(timeout=300)
    # Exit code 2, one line, and no address of a server that is not there.
    assert (process.returncode, complaint.count("\n"), output) == (2, 1, ""), complaint
    return complaint


def listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("option", ["--mlflow-port", "--optuna-port"])
def test_a_port_in_use_is_named_before_anything_starts(option, tmp_path):
    ports = {"--mlflow-port": free_port(), "--optuna-port": free_port()}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports[option] = taken.getsockname()[1]
        line = refusal(start(tmp_path, *(word for pair in ports.items() for word in pair)))
    # Which port, and which option chooses another.
    assert f"port {ports[option]}: " in line and option in line
    # Nothing was started: there is no log.
    assert not (tmp_path / "logs").exists()


def test_one_port_for_both_is_one_line(tmp_path):
    port = free_port()
    # Two servers cannot share a port.
    assert f"received {port}" in refusal(start(tmp_path, "--mlflow-port", port, "--optuna-port", port))


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_both_servers_answer_and_leave_nothing_behind(ending, tmp_path):
    ports = free_port(), free_port()
    process = start(tmp_path, "--mlflow-port", ports[0], "--optuna-port", ports[1])
    try:
        shown = addresses(process)
        # The two addresses, each of which answers by the time it is printed.
        assert shown == [f"http://127.0.0.1:{port}" for port in ports]
        assert [requests.get(address, timeout=30).status_code for address in shown] == [200, 200]
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
    finally:
        process.send_signal(ending)
        _, complaint = process.communicate(timeout=60)
    # To end it is no mistake.
    assert (process.returncode, complaint) == (0, "")
    # Neither a process nor a port is left.
    assert list(filter(is_alive, children)) == []
    assert not any(map(listening, ports))
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as db:
        # The database was made ready for many readers and one writer.
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.slow
def test_a_server_that_dies_is_one_line_with_its_log(tmp_path):
    (tmp_path / "optuna.db").write_bytes(b"no database at all" * 100)
    line = refusal(start(tmp_path, "--mlflow-port", free_port(), "--optuna-port", free_port()))
    # Which server, its last words, and where the rest of them stand.
    assert line.startswith("cnn: optuna-dashboard: ") and str(tmp_path / "logs/optuna-dashboard.log") in line


@pytest.mark.slow
def test_a_tracking_server_elsewhere_is_shown_and_not_started(tmp_path):
    port = free_port()
    elsewhere = subprocess.Popen([sys.executable, "-c", _HEALTHY, str(port)])
    try:
        while not listening(port):
            time.sleep(0.1)
        uri = f"http://127.0.0.1:{port}"
        process = start(tmp_path, "--optuna-port", free_port(), CNN_TRACKING_URI=uri)
        # The server that runs already comes first; no second one is started.
        assert addresses(process)[0] == uri
        assert not (tmp_path / "logs/mlflow.log").exists()
        process.terminate()
        process.communicate(timeout=60)
    finally:
        elsewhere.terminate()
        elsewhere.wait()


_HEALTHY = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""

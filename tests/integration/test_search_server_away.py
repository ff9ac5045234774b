"""The tracking server is killed in the middle of a search and is back later: the search goes on, and in the end the
server knows what the ledger knows, once.
"""

import os
import random
import signal
import socket
import subprocess
import time
from contextlib import closing

import pytest

from cnn.config.environment import Environment
from cnn.tracking.client import SETTINGS
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.server import check_server, server_command

pytestmark = [pytest.mark.slow, pytest.mark.faults]  # a server takes half a minute to come up


class Server:
    """An `mlflow server` that can be killed and started again at the same address."""

    def __init__(self, folder):
        self.folder, self.database = folder, folder / "server.db"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        files = ("--artifacts-destination", str(self.folder / "artifacts"))
        command = server_command(self.port, "--backend-store-uri", f"sqlite:///{self.database}", *files)
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, env=os.environ | SETTINGS, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self):
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            try:
                return check_server(self.uri)
            except Exception:
                time.sleep(0.5)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path)
    server.start()
    server.wait()
    yield server
    server.kill()


def wait_for(process, project, n_events):
    """Until so much has happened in the search."""
    while project.n_events() < n_events:
        # It has not ended before.
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.parametrize("seed", range(3))
def test_a_server_that_dies_and_comes_back(seed, disturbed, reference, server):
    rng = random.Random(seed)
    process = disturbed.start("search", CNN_TRACKING_URI=server.uri)
    wait_for(process, disturbed, 1 + rng.randrange(6))
    time.sleep(rng.uniform(0, 0.7))
    server.kill()
    wait_for(process, disturbed, 9)
    # The search has gone on without it; it comes back.
    server.start()
    said, _ = process.communicate(timeout=300)
    # It ended well, having found what it would have found.
    assert process.returncode == 0, said
    assert disturbed.output("winner.yaml") == reference.winner
    assert disturbed.curves() == reference.curves
    # Whatever the search had no patience to wait for is delivered by the next command.
    server.wait()
    environment = Environment(home=disturbed.home, tracking_uri=server.uri)
    with closing(MlflowTracker(environment, "cnn-overnight")) as tracker:
        assert tracker.flush(120.0)
    disturbed.check_tracked(server.database)

"""The tracking server is killed in the middle of a search and is back later: the search goes on, and in the end the
server knows what the ledger knows, once.
"""

import random
import time
from contextlib import closing

import pytest

from cnn.config.environment import Environment
from cnn.tracking.mlflow import MlflowTracker

pytestmark = [pytest.mark.slow, pytest.mark.faults]  # a server takes half a minute to come up


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

"""A search is killed, or told to stop, at seeded instants, and started again until it ends: nothing is lost, nothing
runs twice, and it finds what it would have found.

An instant is a number of events in the ledger (a run begun, a run ended: sixteen in all) and a little time after it.
"""

import random
import time
from dataclasses import dataclass
from signal import SIGINT, SIGKILL, SIGTERM, Signals

import psutil
import pytest

from cnn.runtime import is_alive

pytestmark = pytest.mark.slow

N_EVENTS = 16  # six trials and two finalists, each begins and ends
RUN_S = 0.7


@dataclass(frozen=True)
class Mishap:
    """A signal that hits the search once so much has happened."""

    after: int
    delay_s: float
    signal: Signals = SIGKILL

    def __str__(self):
        return f"{self.signal.name} after {self.after}"


# before the first trial, under way, among the finalists, after the ledger's last run and before winner.yaml
A_FEW = (
    Mishap(0, 0.0),
    Mishap(5, 0.3, SIGINT),
    Mishap(9, 0.6, SIGTERM),
    Mishap(13, 0.4),
    Mishap(N_EVENTS, 0.0),
)


def series(seed):
    """Four instants of a search, spread over all of it; five seeds make the twenty."""
    rng = random.Random(seed)
    quarters = [rng.randrange(quarter * 4, quarter * 4 + 4) for quarter in range(4)]
    return tuple(Mishap(after, rng.uniform(0, RUN_S if after else 10.0)) for after in quarters)


def hit(project, mishap):
    """Start the search, send it the signal at the instant; its exit code and what it said."""
    process = project.start("search")
    while project.n_events() < mishap.after and process.poll() is None:
        time.sleep(0.01)
    time.sleep(mishap.delay_s)
    workers = [child for child in psutil.Process(process.pid).children() if "cnn.search.worker" in child.cmdline()]
    process.send_signal(mishap.signal)
    said, _ = process.communicate(timeout=60)
    _, alive = psutil.wait_procs(workers, timeout=15)
    # Its workers end by themselves, within seconds.
    assert list(filter(is_alive, alive)) == []
    return process.returncode, said


def check_stopped_cleanly(project, code, said):
    # The exit code of an interrupted command, one line that says how to go on, no traceback.
    assert code == 130
    assert said.splitlines()[-1] == "cnn: interrupted; the same command goes on where it stopped"
    assert "Traceback" not in said
    # Nothing is shown as running; what was under way is shown as interrupted.
    states = project.run_states()
    assert "RUNNING" not in states
    assert states["KILLED"] in (1, 2)  # the search, and the run under way if there was one


def finished(project):
    """The runs that are over, with all that is known about them, their seconds included."""
    try:
        return {row.id: (row.outcome, row.seed) for row in project.ledger() if row.outcome}
    except ValueError:  # no study yet
        return {}


@pytest.mark.parametrize(
    "mishaps",
    [
        pytest.param(A_FEW, id="a-few"),
        *(pytest.param(series(seed), id=f"seed-{seed}", marks=pytest.mark.faults) for seed in range(5)),
    ],
)
def test_a_search_goes_on_after_any_death(mishaps, disturbed, reference):
    kept = {}
    for mishap in mishaps:
        code, said = hit(disturbed, mishap)
        if mishap.signal is SIGKILL:
            # It was killed, it did not end before.
            assert code == -SIGKILL, f"{mishap}: {said}"
        else:
            check_stopped_cleanly(disturbed, code, said)
        now = finished(disturbed)
        # What was finished is not touched: no run twice.
        assert kept.items() <= now.items(), mishap
        kept = now
    code, said = disturbed.run("search")
    assert code == 0, said
    assert kept.items() <= finished(disturbed).items()
    # No death of a coordinator counts against a trial.
    assert all(row.deaths == 0 for row in disturbed.ledger())
    # Every curve is that of the search that nobody disturbed, and so is the winner, byte for byte.
    assert disturbed.curves() == reference.curves
    assert disturbed.output("leaderboard.csv") == reference.leaderboard
    assert disturbed.output("winner.yaml") == reference.winner
    disturbed.check_tracked(disturbed.mlflow)

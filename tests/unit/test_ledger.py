"""The ledger: one transaction a change, the truth after any death."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from making import epoch_row

from cnn.errors import IntegrityError, ServiceError
from cnn.records import Cost, Outcome, Proposal, Size, TrialState
from cnn.search.job import JobId
from cnn.search.ledger import Ledger

PROPOSAL = Proposal(number=0, values={"model.filters": 8, "augment.flip": True, "optimizer.name": "sgd"}, epochs=3)
TRIAL = JobId(0)


def outcome(state=TrialState.COMPLETED, **changes):
    return Outcome(
        **{"number": 0, "state": state, "reason": "all epochs", "curve": (epoch_row(),), "cost": Cost(epochs=1)}
        | changes
    )


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "ledger.db") as opened:
        yield opened


def test_what_is_written_reads_back(ledger):
    ledger.begin(TRIAL, PROPOSAL, seed=7, engine_state="asked")
    ledger.spend(TRIAL, Cost(wall_s=1.5, cpu_s=2.5, epochs=1), elapsed_s=9.0)
    row = ledger.row(TRIAL)
    # A run under way has its proposal, seed and cost, and no outcome.
    assert (row.proposal, row.seed, row.cost, row.outcome) == (PROPOSAL, 7, Cost(wall_s=1.5, cpu_s=2.5, epochs=1), None)
    ledger.finish(TRIAL, outcome(), elapsed_s=10.0, engine_state="told")
    # Its outcome comes back whole, the curve included, and the engine's state and the clock with it.
    assert ledger.row(TRIAL).outcome == outcome()
    assert (ledger.read("engine_state"), ledger.read("elapsed_s")) == ("told", "10.0")


def test_a_size_is_part_of_the_outcome_and_of_a_run_under_way(ledger):
    size = Size(parameters=10, multiply_adds=20, latency_ms=1.5)
    ledger.begin(TRIAL, PROPOSAL, seed=7)
    ledger.size(TRIAL, size)
    # A search that goes on knows it before the run is over, ...
    assert ledger.row(TRIAL).size == size
    ledger.finish(TRIAL, outcome(TrialState.INFEASIBLE, curve=(), size=size), elapsed_s=1.0)
    # ... and an engine when it is restored.
    assert ledger.stored_trials()[0].outcome.size == size
    ledger.begin(JobId(0, 1), PROPOSAL, seed=8, size=size)
    assert ledger.row(JobId(0, 1)).size == size


def test_a_ledger_from_before_there_were_limits_reads_and_goes_on(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(path) as new:
        new.begin(TRIAL, PROPOSAL, seed=7)
        new.finish(TRIAL, outcome(), elapsed_s=1.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.execute("ALTER TABLE runs DROP COLUMN size")
    with Ledger(path) as opened:
        # What stood there stands there, and a new run has room for its size.
        assert opened.row(TRIAL).outcome == outcome()
        opened.begin(JobId(1), PROPOSAL, seed=8)
        opened.size(JobId(1), Size(parameters=1, multiply_adds=1))
        assert opened.row(JobId(1)).size == Size(parameters=1, multiply_adds=1)


def test_a_number_is_never_used_twice(ledger):
    ledger.begin(TRIAL, PROPOSAL, seed=7)
    # A second trial of the same number is a fault of ours, not something to overwrite.
    with pytest.raises(sqlite3.IntegrityError):
        ledger.begin(TRIAL, PROPOSAL, seed=8)
    # The refused change has left nothing behind.
    assert ledger.row(TRIAL).seed == 7


def test_a_finalists_runs_are_no_trials(ledger):
    ledger.begin(TRIAL, PROPOSAL, seed=7)
    ledger.begin(JobId(0, 1), PROPOSAL, seed=8)
    # An engine is restored from trials alone.
    assert [stored.proposal.number for stored in ledger.stored_trials()] == [0]
    # All runs are there, trials first.
    assert [row.id for row in ledger.rows()] == [JobId(0), JobId(0, 1)]


def test_deaths_are_counted(ledger):
    ledger.begin(TRIAL, PROPOSAL, seed=7)
    # Each worker that died under it counts once.
    assert [ledger.bury(TRIAL), ledger.bury(TRIAL)] == [1, 2]


def test_a_killed_writer_leaves_whole_transactions(tmp_path):
    path = tmp_path / "ledger.db"
    script = f"""
import itertools
from cnn.records import Proposal
from cnn.search.job import JobId
from cnn.search.ledger import Ledger
with Ledger(__import__("pathlib").Path({str(path)!r})) as ledger:
    for n in itertools.count():
        ledger.begin(JobId(n), Proposal(number=n, values={{}}, epochs=1), seed=n, engine_state=str(n))
        print(n, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        confirmed = [int(next(writer.stdout)) for _ in range(50)][-1]
        os.kill(writer.pid, signal.SIGKILL)
    with Ledger(path) as ledger:
        numbers = [row.id.number for row in ledger.rows()]
        # Nothing that was confirmed is lost, without holes.
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > confirmed
        # The engine's state is that of the newest trial: both were one transaction.
        assert ledger.read("engine_state") == str(numbers[-1])


def test_a_damaged_ledger_is_named(tmp_path):
    path = tmp_path / "ledger.db"
    with Ledger(path) as ledger:
        for n in range(200):
            ledger.begin(JobId(n), PROPOSAL, seed=n)
    body = bytearray(path.read_bytes())
    body[4096:8192] = b"\xff" * 4096
    path.write_bytes(body)
    # A page of rubbish is noticed at opening, and the error names the file.
    with pytest.raises(IntegrityError, match=r"ledger\.db"):
        Ledger(path)


def test_a_busy_ledger_is_not_called_damaged(tmp_path):
    path = tmp_path / "ledger.db"
    Ledger(path).__exit__(None, None, None)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, Ledger(path, patience_s=0.1) as ledger:
        other.execute("BEGIN IMMEDIATE")
        # Whoever reads this closes the other program; moving the study away would lose it.
        with pytest.raises(ServiceError, match=r"ledger\.db.*locked.*close the program"):
            ledger.begin(TRIAL, PROPOSAL, seed=7)
        other.execute("ROLLBACK")
        # Once it has let go, the ledger works as before.
        ledger.begin(TRIAL, PROPOSAL, seed=7)
        assert [row.id for row in ledger.rows()] == [TRIAL]


def test_another_programs_file_is_no_ledger(tmp_path):
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE runs (something INTEGER)")
    # A column that is missing is named, in one line.
    with Ledger(path) as ledger, pytest.raises(IntegrityError, match="no such column: number"):
        ledger.rows()

"""Nothing lost, nothing doubled: a server that dies and comes back, a logging process that is killed."""

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from making import epoch_row
from servers import rows_of

from cnn.config.environment import Environment
from cnn.tracking.backend import MlflowBackend
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.spool import Spool
from cnn.tracking.tracker import Run, RunState

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
ROW = epoch_row()

TALKER = """
import sys
from pathlib import Path
from cnn.config.environment import Environment
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.tracker import Run
from making import epoch_row

tracker = MlflowTracker(Environment(home=Path(sys.argv[1])), "killed")
tracker.start(Run(key="killed/0", name="trial 0"))
for epoch in range(10_000):
    tracker.log_epoch("killed/0", epoch_row(epoch))
    print(epoch, flush=True)
    if epoch == 10:
        tracker.flush(120.0)
"""


def say(tracker, epochs):
    """All a trial says up to an epoch; the longest any word of it took, in seconds."""
    longest = 0.0
    tracker.start(Run(key="study", name="study"))
    tracker.start(Run(key="study/0", name="trial 0", parent="study", params={"model.filters": 32}))
    for epoch in range(epochs):
        begun = time.monotonic()
        tracker.log_epoch("study/0", replace(ROW, epoch=epoch))
        longest = max(longest, time.monotonic() - begun)
    return longest


# The server dies mid-way and is back later, for another process: every figure is there once, every run once.
def test_a_server_that_dies_and_comes_back(server, tmp_path, caplog):
    environment = Environment(home=tmp_path / "home", tracking_uri=server.uri)
    picture = tmp_path / "curve.png"
    picture.write_bytes(b"picture")

    first = MlflowTracker(environment, "night")
    say(first, 3)
    assert first.flush(120.0)
    say(first, 5)  # some of it may be under way in the instant of the kill
    server.kill()
    longest = say(first, 8)
    first.log_file("study/0", picture, "plots")
    first.end("study/0", RunState.FINISHED)
    assert longest < 1.0, "a dead server must not block training"
    assert not first.flush(2.0)
    assert caplog.text.count("delivered later") == 1
    first.close()

    server.start()
    server.wait()
    second = MlflowTracker(environment, "night")
    say(second, 8)  # a resumed process says it all again
    second.end("study/0", RunState.FINISHED)
    second.end("study", RunState.FINISHED)
    assert second.flush(180.0)
    assert second.read_file("study/0", "plots/curve.png") == b"picture"
    assert second.read_run("study/0").epochs == tuple(replace(ROW, epoch=epoch).figures() for epoch in range(8))
    second.close()

    counts = dict(rows_of(server.database, "SELECT step, COUNT(*) FROM metrics GROUP BY step"))
    assert counts == dict.fromkeys(range(8), len(ROW.figures()))
    assert sorted(rows_of(server.database, "SELECT name, status FROM runs")) == [
        ("study", "FINISHED"), ("trial 0", "FINISHED")
    ]  # fmt: skip


# The logging process is killed with -9 while it speaks and delivers: the next one delivers all that was said, once.
def test_a_killed_logger(tmp_path):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-c", TALKER, str(tmp_path / "home")]
    talker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path})
    said = 0
    for line in talker.stdout:
        said = int(line)
        if said >= 300:
            talker.kill()
            break
    talker.stdout.close()
    talker.wait()
    assert said >= 300, "the talker ended by itself"

    environment = Environment(home=tmp_path / "home")
    tracker = MlflowTracker(environment, "killed")
    assert tracker.flush(120.0)
    tracker.close()
    counts = dict(rows_of(environment.home / "mlflow.db", "SELECT step, COUNT(*) FROM metrics GROUP BY step"))
    assert len(counts) > said
    assert counts == dict.fromkeys(range(len(counts)), len(ROW.figures()))
    assert rows_of(environment.home / "mlflow.db", "SELECT name, status FROM runs") == [("trial 0", "RUNNING")]


# An answer lost after the server took an event: delivering the very same events again adds no row anywhere.
def test_delivering_twice_adds_nothing(tmp_path):
    environment = Environment(home=tmp_path / "home")
    tracker = MlflowTracker(environment, "twice")
    say(tracker, 3)
    assert tracker.flush(120.0)
    tracker.close()
    with closing(sqlite3.connect(environment.home / "spool.db")) as db, db:
        db.execute("UPDATE events SET state = 'waiting'")  # as if no answer had come
    spool = Spool(environment.home)
    events = spool.waiting(environment.mlflow_uri, 100)
    backend = MlflowBackend(environment, spool, "test")
    counts = []
    for again in (False, True):
        for event in events if again else ():
            backend.deliver(event.run, [event])
        tables = ("runs", "metrics", "params", "tags", "latest_metrics")
        counts.append([rows_of(environment.home / "mlflow.db", f"SELECT COUNT(*) FROM {table}") for table in tables])
    assert counts[0] == counts[1]
    assert counts[0][:2] == [[(2,)], [(33,)]]
    spool.close()


# The server lost all runs and a child speaks first: its parent is begun again, and the child below it.
def test_a_server_that_lost_its_runs_is_told_the_parent_too(tmp_path):
    environment = Environment(home=tmp_path / "home")
    database = environment.home / "mlflow.db"
    with closing(MlflowTracker(environment, "lost")) as tracker:
        say(tracker, 1)
        assert tracker.flush(120.0)
        with closing(sqlite3.connect(database)) as db, db:
            for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
                db.execute(f"DELETE FROM {table}")
        tracker.log_epoch("study/0", replace(ROW, epoch=1))
        assert tracker.flush(120.0)
    (parent,) = rows_of(database, "SELECT run_uuid FROM runs WHERE name = 'study'")
    assert rows_of(database, "SELECT value FROM tags WHERE key = 'mlflow.parentRunId'") == [parent]
    assert rows_of(database, "SELECT DISTINCT step FROM metrics") == [(1,)]


# Neither the server nor the spool knows the parent: the child stands alone and keeps its word, others are not held up.
def test_a_child_whose_parent_nobody_knows(tmp_path):
    environment = Environment(home=tmp_path / "home")
    with closing(MlflowTracker(environment, "orphans")) as tracker:
        tracker.start(Run(key="gone/0", name="child", parent="gone"))
        tracker.log_epoch("gone/0", ROW)
        tracker.start(Run(key="other", name="other"))
        assert tracker.flush(120.0)
        assert len(tracker.read_run("gone/0").epochs) == 1
    query = "SELECT key, value FROM tags WHERE key IN ('cnn.parent', 'mlflow.parentRunId')"
    assert rows_of(environment.home / "mlflow.db", query) == [("cnn.parent", "gone")]


# The embedded database is in WAL mode, or each reader would block the writer.
def test_the_embedded_database_is_in_wal_mode(tmp_path):
    environment = Environment(home=tmp_path / "home")
    tracker = MlflowTracker(environment, "wal")
    tracker.start(Run(key="s", name="s"))
    assert tracker.flush(120.0)
    tracker.close()
    assert rows_of(environment.home / "mlflow.db", "PRAGMA journal_mode") == [("wal",)]


# MLflow answers at most 1,000 runs at once: all open runs are found nevertheless.
def test_more_open_runs_than_an_answer_holds(tmp_path):
    environment = Environment(home=tmp_path / "home")
    backend = MlflowBackend(environment, Spool(environment.home), "test")
    client = backend._client
    experiment = client.create_experiment("many")
    for number in range(1005):
        client.create_run(experiment, tags={"cnn.key": f"many/{number}", "cnn.home": environment.home_id()})
    tracker = MlflowTracker(environment, "many")
    assert len(tracker.open_runs("many")) == 1005
    tracker.close()

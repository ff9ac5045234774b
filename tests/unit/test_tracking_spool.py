"""The spool keeps what was said, in order, across processes, and names what is damaged."""

import sqlite3
import threading
from contextlib import closing

import pytest

from cnn.errors import IntegrityError, ServiceError, StorageError
from cnn.tracking.spool import Kind, Spool

HERE = "sqlite:///here.db"


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path)
    yield spool
    spool.close()


def bodies(spool, destination=HERE):
    return [event.body for event in spool.waiting(destination, 100)]


# Events come out in the order they went in, with the time they were said, also for another spool on the same folder.
def test_events_keep_their_order(spool, tmp_path):
    for step in range(5):
        spool.append(HERE, "s/0", Kind.FIGURES, {"step": step})
    with closing(Spool(tmp_path)) as other:
        events = other.waiting(HERE, 100)
    assert [event.body["step"] for event in events] == [0, 1, 2, 3, 4]
    assert sorted(event.said_ms for event in events) == [event.said_ms for event in events]
    assert events[0].said_ms > 1_600_000_000_000


# What is delivered or set aside waits no longer; the rest does; each destination has its own queue.
def test_only_what_is_not_delivered_waits(spool):
    for step in range(4):
        spool.append(HERE, "s/0", Kind.FIGURES, {"step": step})
    spool.append("http://there", "s/0", Kind.FIGURES, {"step": 9})
    events = spool.waiting(HERE, 2)
    spool.delivered(events[:1])
    spool.set_aside([events[1].id], "refused")
    assert bodies(spool) == [{"step": 2}, {"step": 3}]
    assert spool.n_waiting(HERE) == 2
    assert bodies(spool, "http://there") == [{"step": 9}]


# A thing named as said once is kept once, even after it was delivered and by another process.
def test_what_was_said_once_is_known(spool, tmp_path):
    spool.append(HERE, "s/0", Kind.FIGURES, {"step": 0}, said_once="epoch 0")
    spool.delivered(spool.waiting(HERE, 10))
    with closing(Spool(tmp_path)) as other:
        other.append(HERE, "s/0", Kind.FIGURES, {"step": 0}, said_once="epoch 0")
        other.append(HERE, "s/1", Kind.FIGURES, {"step": 0}, said_once="epoch 0")
    assert [event.run for event in spool.waiting(HERE, 10)] == ["s/1"]


# Beginning a run that has begun, or ending it the same way, says nothing; beginning it after its end does.
def test_starts_and_ends_are_kept_when_they_change_something(spool):
    for kind, body in [
        (Kind.START, {"name": "a"}),
        (Kind.START, {"name": "a"}),
        (Kind.END, {"state": "KILLED"}),
        (Kind.END, {"state": "KILLED"}),
        (Kind.START, {"name": "a"}),
        (Kind.END, {"state": "KILLED"}),
        (Kind.END, {"state": "FINISHED"}),
    ]:
        spool.append(HERE, "s/0", kind, body)
    kinds = [event.kind for event in spool.waiting(HERE, 10)]
    assert kinds == [Kind.START, Kind.END, Kind.START, Kind.END, Kind.END]


# A flipped byte in an event's body: this event is set aside and named, the others are delivered.
def test_a_damaged_event_is_set_aside(spool, caplog):
    for step in range(3):
        spool.append(HERE, "s/0", Kind.FIGURES, {"step": step})
    with closing(sqlite3.connect(spool.path)) as db, db:
        db.execute("UPDATE events SET body = '{\"step\": 7}' WHERE id = 2")
    assert bodies(spool) == [{"step": 0}, {"step": 2}]
    assert "does not match its digest" in caplog.text
    assert spool.n_waiting(HERE) == 2


# A file that is no database any more is set aside under another name, and the spool works again.
def test_a_damaged_database_is_set_aside(tmp_path, caplog):
    with closing(Spool(tmp_path)) as spool:
        spool.append(HERE, "s/0", Kind.FIGURES, {"step": 0})
    spool.path.write_bytes(b"no database at all" * 100)
    with closing(Spool(tmp_path)) as spool:
        spool.append(HERE, "s/0", Kind.FIGURES, {"step": 1})
        assert bodies(spool) == [{"step": 1}]
    (aside,) = tmp_path.glob("spool.damaged-*.db")
    assert aside.read_bytes().startswith(b"no database")
    assert aside.name in caplog.text


# A kept file has the content of its moment; a copy that was changed is refused; a delivered copy goes.
def test_kept_files_are_checked(spool, tmp_path):
    file = tmp_path / "curve.png"
    file.write_bytes(b"picture")
    spool.append_file(HERE, "s/0", file, "plots")
    (event,) = spool.waiting(HERE, 10)
    digest = event.body["sha256"]
    assert event.body == {"sha256": digest, "name": "curve.png", "folder": "plots"}
    file.write_bytes(b"another")
    assert spool.kept_file(digest).read_bytes() == b"picture"
    spool.kept_file(digest).write_bytes(b"Picture")
    with pytest.raises(IntegrityError, match="another content"):
        spool.kept_file(digest)
    spool.delivered(spool.waiting(HERE, 10))
    assert not list(spool.files.iterdir())


# An equal file is delivered in the very moment a second one is logged: the second one's copy stays.
def test_a_delivered_file_does_not_take_an_equal_ones_copy(spool, tmp_path):
    file = tmp_path / "curve.png"
    file.write_bytes(b"picture")
    spool.append_file(HERE, "s/0", file)
    with closing(Spool(tmp_path)) as deliverer:
        earlier = threading.Thread(target=deliverer.delivered, args=[deliverer.waiting(HERE, 10)])

        def deliver_meanwhile(statement):
            if statement.startswith("INSERT") and not earlier.ident:
                earlier.start()
                earlier.join(1.0)  # it either removes the copy now or waits for this event

        spool._db.set_trace_callback(deliver_meanwhile)
        spool.append_file(HERE, "s/1", file)
        earlier.join()
    (event,) = spool.waiting(HERE, 10)
    assert spool.kept_file(event.body["sha256"]).read_bytes() == b"picture"


# A file that can't be copied is an error to whoever logs it, and the spool works on.
def test_a_file_that_cannot_be_kept_leaves_no_event(spool, tmp_path):
    file = tmp_path / "curve.png"
    file.write_bytes(b"picture")
    spool.files.rmdir()
    spool.files.touch()
    with pytest.raises(StorageError):
        spool.append_file(HERE, "s/0", file)
    spool.append(HERE, "s/0", Kind.FIGURES, {"step": 1})
    assert bodies(spool) == [{"step": 1}]


def test_runs_that_were_begun_and_not_ended_are_known_without_a_server(tmp_path):
    spool = Spool(tmp_path)
    for run in ("a", "b", "c"):
        spool.append("uri", run, Kind.START, {"name": run})
    spool.append("uri", "a", Kind.END, {"state": "FINISHED"})
    spool.append("uri", "b", Kind.END, {"state": "KILLED"})
    spool.append("uri", "b", Kind.START, {"name": "b"})
    # One has ended, one has gone on after its end, one was never ended; another address has none.
    assert spool.unended("uri") == ("b", "c")
    assert spool.unended("elsewhere") == ()
    # Delivery changes nothing about it.
    spool.delivered(spool.waiting("uri", 100))
    assert spool.unended("uri") == ("b", "c")
    spool.close()


# A program that holds the file says nothing against the disk or the file: it is what has to be closed.
def test_a_busy_spool_is_said_to_be_busy(tmp_path):
    with closing(Spool(tmp_path, patience_s=0.1)) as spool, closing(sqlite3.connect(spool.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceError, match=r"spool\.db.*locked.*close the program"):
            spool.append(HERE, "s/0", Kind.FIGURES, {"step": 0})
        other.rollback()
        spool.append(HERE, "s/0", Kind.FIGURES, {"step": 1})
        assert bodies(spool) == [{"step": 1}]

"""What runs say, in order, on this machine's disk until it is delivered.

An append is one sqlite transaction in WAL mode, well under a millisecond, and survives kill -9. Every event carries
the time it was said, so that its delivery can be repeated without doubling anything, and a digest of its body, so that
a flipped byte is noticed. Delivered events stay for a month: by them a thing said again, even by a later process, is
known and dropped.
"""

import hashlib
import json
import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cnn.durable import made_alone, sha256_of, sqlite_errors, storage_errors, write_atomic
from cnn.errors import IntegrityError

_log = logging.getLogger(__name__)

_KEEP_MS = 30 * 24 * 3600 * 1000
_DAY_S = 24 * 3600
_SOUND, _MEND = "a sound sqlite spool", "start again: the damaged file is set aside and a new one begun"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, destination TEXT NOT NULL, run TEXT NOT NULL, kind TEXT NOT NULL,
    said_ms INTEGER NOT NULL, body TEXT NOT NULL, digest TEXT NOT NULL, identity TEXT UNIQUE,
    state TEXT NOT NULL DEFAULT 'waiting', note TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS waiting ON events (destination, id) WHERE state = 'waiting';
CREATE INDEX IF NOT EXISTS lifecycle ON events (destination, run, id) WHERE kind IN ('start', 'end');
"""


class Kind(StrEnum):
    """What was said."""

    START = "start"
    FIGURES = "figures"
    TAGS = "tags"
    FILE = "file"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing said about one run.

    Args:
        run: The run's key.
        said_ms: Milliseconds since 1970, taken when it was said.
    """

    id: int
    run: str
    kind: Kind
    said_ms: int
    body: Mapping[str, Any]


class Spool:
    """A durable queue for each destination, shared by all processes that use the same folder.

    Args:
        patience_s: How long to wait for another program that holds the file for a moment.

    Raises:
        ServiceError: Another program holds the file.
        StorageError: The disk is full or the folder can't be written.
    """

    def __init__(self, home: Path, *, patience_s: float = 20.0) -> None:
        self.path = home / "spool.db"
        self._patience_s = patience_s
        self.files = home / "spool"
        with storage_errors(self.path):
            self.files.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = self._open()

    def append(self, destination: str, run: str, kind: Kind, body: Mapping[str, Any], *, said_once: str = "") -> None:
        """Keep an event.

        Args:
            said_once: Names what is said; a second event of this run with the same name is dropped.
        """
        text = json.dumps(body, sort_keys=True)
        identity = _sha(f"{destination}\n{run}\n{said_once}") if said_once else None
        with self._transaction():
            if kind not in (Kind.START, Kind.END) or not self._repeats(destination, run, kind, text):
                self._insert(destination, run, kind, text, identity)

    def append_file(self, destination: str, run: str, path: Path, folder: str = "") -> None:
        """Keep a file event and a copy of the file's present content, named by its digest.

        Both in one transaction: `delivered` of an equal file must not take the copy before the event names it.
        """
        digest = sha256_of(path)
        text = json.dumps({"sha256": digest, "name": path.name, "folder": folder}, sort_keys=True)
        kept = self.files / digest
        with self._transaction():
            if not kept.exists():
                with path.open("rb") as source:
                    write_atomic(kept, lambda file: shutil.copyfileobj(source, file))
            self._insert(destination, run, Kind.FILE, text, None)

    def kept_file(self, digest: str) -> Path:
        """Where the copy with this digest lies.

        Raises:
            IntegrityError: It is missing or has changed.
        """
        path = self.files / digest
        if not path.is_file() or sha256_of(path) != digest:
            raise IntegrityError(path, received="another content", expected="the file as logged", change="log it again")
        return path

    def waiting(self, destination: str, limit: int) -> list[Event]:
        """The oldest events not delivered yet, in order; damaged ones are set aside, named in the log."""
        rows = self._rows(
            "SELECT id, run, kind, said_ms, body, digest FROM events"
            " WHERE destination = ? AND state = 'waiting' ORDER BY id LIMIT ?",
            (destination, limit),
        )
        good = [row for row in rows if _digest(*row[1:5]) == row[5]]
        if damaged := [row[0] for row in rows if row not in good]:
            self.set_aside(damaged, f"{self.path}: the event's body does not match its digest")
        return [_event(row) for row in good]

    def n_waiting(self, destination: str) -> int:
        """How many events are not delivered yet."""
        query = "SELECT COUNT(*) FROM events WHERE destination = ? AND state = 'waiting'"
        return int(self._rows(query, (destination,))[0][0])

    def start_of(self, destination: str, run: str) -> Event | None:
        """How a run began, also after that was delivered; None when that was never said, or was set aside."""
        rows = self._rows(
            "SELECT id, run, kind, said_ms, body FROM events"
            " WHERE destination = ? AND run = ? AND kind = 'start' AND state != 'aside' ORDER BY id LIMIT 1",
            (destination, run),
        )
        return _event(rows[0]) if rows else None

    def unended(self, destination: str) -> tuple[str, ...]:
        """Keys of the runs that were begun here and not ended since, sorted; known without asking a server."""
        rows = self._rows(
            "SELECT run, kind, MAX(id) FROM events WHERE destination = ? AND kind IN ('start', 'end') GROUP BY run",
            (destination,),
        )
        return tuple(sorted(run for run, kind, _ in rows if kind == "start"))

    def delivered(self, events: Sequence[Event]) -> None:
        """Mark events as taken by the server; their file copies go."""
        self._mark([event.id for event in events], "delivered", "")
        if digests := {event.body["sha256"] for event in events if event.kind is Kind.FILE}:
            with self._transaction():
                for digest in digests - self._named():
                    (self.files / digest).unlink(missing_ok=True)

    def set_aside(self, ids: Sequence[int], reason: str) -> None:
        """Take events out of the queue that no server will ever take; they stay in the file, with the reason."""
        _log.warning("%d event(s) of the spool set aside: %s", len(ids), reason)
        self._mark(ids, "aside", reason)

    def sweep(self) -> None:
        """Forget what was delivered more than a month ago, and copies that no event names. Starts stay."""
        oldest = time.time_ns() // 1_000_000 - _KEEP_MS
        self._rows(
            "DELETE FROM events WHERE state = 'delivered' AND kind NOT IN ('start', 'end') AND said_ms < ?", (oldest,)
        )
        with self._transaction():
            named = self._named()
            for path in self.files.iterdir():
                if path.name not in named and time.time() - path.stat().st_mtime > _DAY_S:
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file; the queue stays."""
        with self._lock:
            self._db.close()

    def _open(self) -> sqlite3.Connection:
        """The database, or a new one in its place when it is damaged: the old one is set aside and named."""
        with made_alone(self.path):
            try:
                return self._connect()
            except IntegrityError as error:
                aside = self.path.with_name(f"spool.damaged-{time.time_ns()}.db")
                received = error.received
                _log.warning("%s is damaged (%s): set aside as %s, a new one is begun", self.path, received, aside.name)
                for ending in ("", "-wal", "-shm"):
                    part = self.path.with_name(self.path.name + ending)
                    if part.exists():
                        part.rename(aside.with_name(aside.name + ending))
                return self._connect()

    def _connect(self) -> sqlite3.Connection:
        with self._mishaps():
            db = sqlite3.connect(self.path, timeout=self._patience_s, isolation_level=None, check_same_thread=False)
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")  # a kill loses nothing; FULL would fsync every epoch
                (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise IntegrityError(self.path, received=found, expected=_SOUND, change=_MEND)
                db.executescript(_SCHEMA)
            except BaseException:
                db.close()
                raise
        return db

    def _mishaps(self) -> AbstractContextManager[None]:
        return sqlite_errors(self.path, expected=_SOUND, change=_MEND)

    def _repeats(self, destination: str, run: str, kind: Kind, text: str) -> bool:
        """Whether the run's latest start or end already says this; beginning a run that has begun says nothing new."""
        row = self._db.execute(
            "SELECT kind, body FROM events WHERE destination = ? AND run = ? AND kind IN ('start', 'end')"
            " ORDER BY id DESC LIMIT 1",
            (destination, run),
        ).fetchone()
        return row is not None and row[0] == kind and (kind is Kind.START or row[1] == text)

    def _insert(self, destination: str, run: str, kind: Kind, text: str, identity: str | None) -> None:
        now_ms = time.time_ns() // 1_000_000
        self._db.execute(
            "INSERT OR IGNORE INTO events (destination, run, kind, said_ms, body, digest, identity)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (destination, run, kind, now_ms, text, _digest(run, kind, now_ms, text), identity),
        )

    def _named(self) -> set[str]:
        """Digests of the files that wait to be delivered."""
        rows = self._db.execute("SELECT body FROM events WHERE kind = 'file' AND state = 'waiting'")
        return {json.loads(body)["sha256"] for (body,) in rows}

    def _mark(self, ids: Sequence[int], state: str, note: str) -> None:
        with self._transaction():
            self._db.executemany(
                "UPDATE events SET state = ?, note = ? WHERE id = ?", [(state, note, number) for number in ids]
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Alone among the threads and processes that write to this spool; undone when it fails."""
        with self._lock, self._mishaps(), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield

    def _rows(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._lock, self._mishaps():
            return self._db.execute(query, values).fetchall()


def _event(row: tuple[Any, ...]) -> Event:
    return Event(id=row[0], run=row[1], kind=Kind(row[2]), said_ms=row[3], body=json.loads(row[4]))


def _digest(run: str, kind: str, said_ms: int, text: str) -> str:
    return _sha(f"{run}\n{kind}\n{said_ms}\n{text}")


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

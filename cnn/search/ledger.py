"""The study's ledger: the truth about what was asked, what is under way and what came out.

One sqlite file a study, written by the coordinator alone. Each change is one transaction, so that a kill at any
instant leaves the state before or after it. A trial has one row an attempt to train it: repeat 0 is the trial,
1 and up are its runs as a finalist.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cnn.durable import made_alone, sqlite_errors
from cnn.errors import IntegrityError
from cnn.records import Cost, Outcome, Proposal, Size, TrialState
from cnn.search.engines.searcher import StoredTrial
from cnn.search.job import JobId, outcome_document, outcome_from

_SOUND, _MEND = "a sound sqlite ledger", "move the study's folder away; a new search starts afresh"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS study (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS runs (
    number INTEGER NOT NULL,
    repeat INTEGER NOT NULL,
    proposal TEXT NOT NULL,                -- JSON {values, epochs}
    seed INTEGER NOT NULL,
    state TEXT NOT NULL,
    cost TEXT NOT NULL,                    -- JSON of records.Cost: what attempts so far have used up
    deaths INTEGER NOT NULL DEFAULT 0,     -- workers that died under it
    outcome TEXT,                          -- JSON of records.Outcome, once it is final
    told INTEGER NOT NULL DEFAULT 0,       -- whether the tracker has heard the outcome
    size TEXT,                             -- JSON of records.Size, once it is measured; in a search with limits
    PRIMARY KEY (number, repeat)
) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """A run as the ledger knows it."""

    id: JobId
    proposal: Proposal
    seed: int
    cost: Cost
    deaths: int
    outcome: Outcome | None
    told: bool = False
    size: Size | None = None


class Ledger:
    """The ledger of one study.

    Args:
        path: The sqlite file; created when missing.
        patience_s: How long to wait for another program (cnn status, a backup) that holds the file for a moment.

    Raises:
        IntegrityError: The file is damaged.
        ServiceError: Another program holds it.
        StorageError: It cannot be written.
    """

    def __init__(self, path: Path, *, patience_s: float = 30.0) -> None:
        self.path = path
        with made_alone(path), self._mishaps():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=patience_s)
            try:
                self._make_ready()
            except BaseException:
                self._db.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    # ---- the study's own facts

    def read(self, key: str, default: str = "") -> str:
        """A fact about the study."""
        with self._mishaps():
            row = self._db.execute("SELECT value FROM study WHERE key = ?", (key,)).fetchone()
        return default if row is None else str(row[0])

    def write(self, **facts: str) -> None:
        """Facts about the study; each replaces what stood there."""
        with self._transaction():
            self._write(facts)

    # ---- runs

    def begin(
        self,
        run: JobId,
        proposal: Proposal,
        seed: int,
        *,
        size: Size | None = None,
        engine_state: str | None = None,
        **facts: str,
    ) -> None:
        """A run is under way from now on, and the engine knows it.

        Args:
            size: Of its network, where another run has measured it.
            facts: About the study, that become true with it.
        """
        body = json.dumps({"values": dict(proposal.values), "epochs": proposal.epochs})
        measured = None if size is None else json.dumps(asdict(size))
        with self._transaction():
            self._db.execute(
                "INSERT INTO runs (number, repeat, proposal, seed, state, cost, size) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*run, body, seed, TrialState.RUNNING.value, json.dumps(asdict(Cost())), measured),
            )
            self._write(facts | ({} if engine_state is None else {"engine_state": engine_state}))

    def spend(self, run: JobId, cost: Cost, *, elapsed_s: float) -> None:
        """What a run under way has cost so far over all attempts, and how long the search has run."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET cost = ? WHERE number = ? AND repeat = ?", (json.dumps(asdict(cost)), *run)
            )
            self._write({"elapsed_s": repr(elapsed_s)})

    def size(self, run: JobId, size: Size) -> None:
        """A run's network was measured. Whatever depends on it comes later, so that it is never measured again."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET size = ? WHERE number = ? AND repeat = ?", (json.dumps(asdict(size)), *run)
            )

    def bury(self, run: JobId) -> int:
        """A worker died under the run; the number of workers that have."""
        with self._transaction():
            self._db.execute("UPDATE runs SET deaths = deaths + 1 WHERE number = ? AND repeat = ?", run)
        return self.row(run).deaths

    def finish(self, run: JobId, outcome: Outcome, *, elapsed_s: float, engine_state: str | None = None) -> None:
        """A run is over, for good."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET state = ?, cost = ?, outcome = ? WHERE number = ? AND repeat = ?",
                (outcome.state.value, json.dumps(asdict(outcome.cost)), json.dumps(outcome_document(outcome)), *run),
            )
            self._write(
                {"elapsed_s": repr(elapsed_s)} | ({} if engine_state is None else {"engine_state": engine_state})
            )

    def told(self, run: JobId) -> None:
        """The tracker has heard the run's outcome."""
        with self._transaction():
            self._db.execute("UPDATE runs SET told = 1 WHERE number = ? AND repeat = ?", run)

    def row(self, run: JobId) -> LedgerRow:
        """One run."""
        return next(row for row in self.rows() if row.id == run)

    def rows(self) -> list[LedgerRow]:
        """All runs, trials first by number, then finalists' repeats."""
        columns = "number, repeat, proposal, seed, cost, deaths, outcome, told, size"
        query = f"SELECT {columns} FROM runs ORDER BY repeat > 0, number, repeat"
        with self._mishaps():
            return [_ledger_row(row) for row in self._db.execute(query).fetchall()]

    def trials(self) -> list[LedgerRow]:
        """The trials, by number."""
        return [row for row in self.rows() if row.id.repeat == 0]

    def stored_trials(self) -> list[StoredTrial]:
        """The trials as an engine is restored from them."""
        return [
            StoredTrial(proposal=row.proposal, curve=row.outcome.curve if row.outcome else (), outcome=row.outcome)
            for row in self.trials()
        ]

    # ---- inside

    def _make_ready(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        # A killed process loses nothing. A power cut may cost the last changes, but never their order: the trials in
        # question are asked for again, or end again from their last checkpoint.
        self._db.execute("PRAGMA synchronous=NORMAL")
        with closing(self._db.execute("PRAGMA quick_check")) as check:
            verdict = check.fetchone()[0]
        if verdict != "ok":
            raise IntegrityError(self.path, received=verdict, expected=_SOUND, change=_MEND)
        self._db.executescript(_SCHEMA)
        with closing(self._db.execute("PRAGMA table_info(runs)")) as columns:
            known = {row[1] for row in columns}
        if "size" not in known:  # a ledger from before searches had limits
            self._db.execute("ALTER TABLE runs ADD COLUMN size TEXT")

    def _write(self, facts: dict[str, str]) -> None:
        self._db.executemany(
            "INSERT INTO study (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            facts.items(),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._mishaps():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _mishaps(self) -> AbstractContextManager[None]:
        return sqlite_errors(self.path, expected=_SOUND, change=_MEND)


def _ledger_row(columns: tuple[int, int, str, int, str, int, str | None, int, str | None]) -> LedgerRow:
    number, repeat, proposal, seed, cost, deaths, outcome, told, measured = columns
    size = None if measured is None else Size(**json.loads(measured))
    return LedgerRow(
        id=JobId(number, repeat),
        proposal=Proposal(number=number, **json.loads(proposal)),
        seed=seed,
        cost=Cost(**json.loads(cost)),
        deaths=deaths,
        outcome=None if outcome is None else replace(outcome_from(json.loads(outcome)), size=size),
        told=bool(told),
        size=size,
    )

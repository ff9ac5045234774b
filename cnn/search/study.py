"""A study's folder: its ledger, its trials' checkpoints, its workers' logs, and the lock of the one that searches.

STUDIES/NAME/ledger.db  trials/7/  trials/7-seed-1/  logs/worker-0.log  lock
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cnn.durable import exclusive, is_held
from cnn.search.job import JobId
from cnn.search.ledger import Ledger

_MONTH_S = 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """An open study.

    Args:
        resumed: Whether an earlier start left it unfinished.
    """

    name: str
    folder: Path
    ledger: Ledger
    resumed: bool

    def trial_folder(self, job: JobId) -> Path:
        """Where a job's checkpoint lies."""
        return self.folder / "trials" / str(job).replace("/", "-")

    def discard(self, job: JobId) -> None:
        """Remove the checkpoints of a job that is over; its curve stands in the ledger."""
        shutil.rmtree(self.trial_folder(job), ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a kill between a job's end in the ledger and `discard` has left."""
        for row in self.ledger.rows():
            if row.outcome is not None:
                self.discard(row.id)

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    def finish(self, *, winner: bool = True) -> None:
        """It is over, its winner written down if it has one: the next search of the same kind is a new study."""
        self.ledger.write(finished="yes" if winner else "without a winner")


@contextmanager
def open_study(studies: Path, digest: str, *, night: str = "") -> Iterator[Study]:
    """The unfinished study of this digest, or a new one; nobody else can search it meanwhile.

    Checkpoints that nobody will go on from are removed: of trials that are over, and of studies left for a month.

    Args:
        studies: Folder of all studies.
        digest: Of all that decides what a search does; a study goes on only with an equal one.
        night: Name of the night, which the study then bears.

    Raises:
        ServiceError: Another process is searching this study.
        IntegrityError: Its ledger is damaged.
    """
    name = _name(studies, digest, night)
    folder = studies / name
    with exclusive(folder / "lock", what="a search"), Ledger(folder / "ledger.db") as ledger:
        resumed = bool(ledger.read("digest"))
        if not resumed:
            ledger.write(digest=digest, name=name)
        study = Study(name=name, folder=folder, ledger=ledger, resumed=resumed)
        study.sweep()
        _sweep_abandoned(studies)
        yield study


def study_names(studies: Path) -> list[str]:
    """All studies that have been searched, the latest last."""
    locks = [path.with_name("lock") for path in studies.glob("*/ledger.db")]
    # a search writes into its lock when it starts, and nobody else ever does
    return [lock.parent.name for lock in sorted(locks, key=lambda lock: lock.stat().st_mtime if lock.exists() else 0.0)]


def ended_without_winner(folder: Path) -> bool:
    """Whether a study is over and no trial of it brought a model."""
    if not (folder / "ledger.db").exists():
        return False
    with Ledger(folder / "ledger.db") as ledger:
        return ledger.read("finished") == "without a winner"


def is_busy(folder: Path) -> bool:
    """Whether a process is searching this study, or training its winner, now."""
    return is_held(folder / "lock")


def _sweep_abandoned(studies: Path) -> None:
    """Remove the checkpoints of studies that nobody has gone on with for a month; their ledgers stay."""
    for trials in studies.glob("*/trials"):
        if is_busy(trials.parent):
            continue
        with suppress(FileNotFoundError):  # another start sweeps here at the same moment
            latest = max(path.stat().st_mtime for path in (trials, *trials.rglob("*")))
            if time.time() - latest > _MONTH_S:
                shutil.rmtree(trials, ignore_errors=True)


def _name(studies: Path, digest: str, night: str) -> str:
    """The study to go on with; else the next free number."""
    stem = night or f"study-{digest[:8]}"
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        path = studies / name / "ledger.db"
        if not path.exists():
            return name
        with Ledger(path) as ledger:
            same = ledger.read("digest") in ("", digest)
            finished = bool(ledger.read("finished"))
        # a night's own study is never searched twice: when its stage runs again, the winner is only written again
        if same and (night or not finished):
            return name
        number += 1

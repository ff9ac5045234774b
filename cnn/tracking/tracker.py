"""The role of a tracker: what a search and a training run say about themselves.

Every call returns at once and never raises because a server is away: what it says is kept and delivered later, once.
Runs are named by our own keys (`STUDY`, `STUDY/7`, `STUDY/7/seed-1`), so that saying a thing twice changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cnn.records import EpochRow, Scalar


class RunState(StrEnum):
    """How a run ended. A pruned trial is `FINISHED`, with the tag `state: pruned`."""

    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it begins.

    Args:
        key: Ours, unique in one CNN_HOME; logged as the tag `cnn.key`, with the home's id as `cnn.home`.
        parent: Key of the run it belongs to; empty for none.
        params: Resolved hyperparameters; they never change.
    """

    key: str
    name: str
    parent: str = ""
    params: Mapping[str, Scalar] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRun:
    """A run as it reads back.

    Args:
        params: As text, the way trackers keep them.
        tags: Ours; none of the tracker's own.
        figures: The latest value of each figure.
        epochs: The eleven figures of each epoch, in the order of epochs.
        state: None while it runs.
        files: Paths of its artifacts, sorted.
    """

    key: str
    name: str
    parent: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    figures: Mapping[str, float]
    epochs: tuple[Mapping[str, float], ...]
    state: RunState | None
    files: tuple[str, ...]


class RunReader(Protocol):
    """Gives back what was delivered. What still waits in a spool is not seen: flush first."""

    def open_runs(self, experiment: str) -> tuple[str, ...]:
        """Keys of this home's runs that have not ended, sorted."""
        ...

    def read_run(self, key: str) -> LoggedRun | None:
        """A run by its key; None when there is none."""
        ...

    def read_file(self, key: str, path: str) -> bytes:
        """The content of one of its artifacts.

        Raises:
            FileNotFoundError: The run has no such file.
        """
        ...


class Tracker(Protocol):
    """Takes what runs say. All calls are idempotent by (key, what is said)."""

    def start(self, run: Run) -> None:
        """Begin a run, or go on with it when its key is known."""
        ...

    def log_epoch(self, key: str, row: EpochRow) -> None:
        """The eleven figures of an epoch, at step `row.epoch`."""
        ...

    def log_figures(self, key: str, figures: Mapping[str, float], *, step: int = 0) -> None:
        """End figures, or a sample of the machine's."""
        ...

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        """Tags; a later value replaces an earlier one."""
        ...

    def log_file(self, key: str, path: Path, folder: str = "") -> None:
        """A file among the run's artifacts. Its content is taken now; the file may change afterwards."""
        ...

    def end(self, key: str, state: RunState) -> None:
        """Close a run."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is delivered; False when the time ran out first. Nothing is lost then."""
        ...

    def close(self) -> None:
        """Stop delivering. What is not delivered yet is delivered by the next tracker on the same spool."""
        ...


class ReadableTracker(Tracker, RunReader, Protocol):
    """Both roles in one, as all trackers here are."""

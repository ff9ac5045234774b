"""From the spool to the server: one background thread, in order, at least once, with patience.

Delivery may be repeated after a kill or a lost answer; that nothing doubles is the backend's part. Of all processes
on one spool, one delivers to a destination: the others wait for its lock.
"""

import fcntl
import hashlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Protocol

from cnn.tracking.server import without_password
from cnn.tracking.spool import Event, Kind, Spool

_log = logging.getLogger(__name__)

_WINDOW = 400  # events looked at together; eleven figures an epoch keep a batch under MLflow's 1,000 metrics
_POLL_S = 0.5  # another process may have said something
_GATHER_S = 2.0  # fewer and larger batches: a delivery takes processor time from the trials
_LONGEST_WAIT_S = 30.0


class UnknownRun(Exception):
    """The server has no run of this key: the one spoken to, or its parent."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


class Refused(Exception):
    """The server will never take this."""


class Backend(Protocol):
    """Brings events to a server. Bringing them twice changes nothing."""

    def deliver(self, run: str, events: Sequence[Event]) -> None:
        """Deliver events of one run: one start, file or end, or any number of figures and tags.

        Raises:
            UnknownRun: The start of the run it names must be delivered first.
            Refused: Trying again won't help. Any other exception means: try again later.
        """
        ...


class Delivery:
    """The thread that empties the spool.

    Args:
        connect: Makes the backend, in the thread: what it imports costs the caller nothing.
    """

    def __init__(self, spool: Spool, destination: str, connect: Callable[[], Backend]) -> None:
        self._spool, self._destination, self._connect = spool, destination, connect
        self._stop, self._wake, self._hurry = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name="delivery", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something new was said."""
        self._wake.set()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing waits any more; False when the time ran out."""
        deadline = time.monotonic() + timeout_s
        self._hurry.set()
        self._wake.set()
        try:
            while self._spool.n_waiting(self._destination):
                if time.monotonic() > deadline or not self._thread.is_alive():
                    return False
                time.sleep(0.02)
            return True
        finally:
            self._hurry.clear()

    def close(self, timeout_s: float = 10.0) -> bool:
        """Finish the call under way and stop; False when the thread still hangs in it."""
        for event in (self._stop, self._hurry, self._wake):
            event.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        with _lock_file(self._spool.path.parent, self._destination) as lock:
            while not self._stop.is_set() and not _acquired(lock):
                self._stop.wait(_POLL_S)
            self._empty_spool()

    def _empty_spool(self) -> None:
        backend: Backend | None = None
        failures = 0
        while not self._stop.is_set():
            try:
                backend = backend or self._connect()
                if not self._deliver_some(backend):
                    self._rest()
                failures = self._recovered(failures)
            except Exception as error:  # whatever it is, what runs say is kept and training goes on
                failures = self._failed(error, failures)

    def _rest(self) -> None:
        """Until something is said, then a moment more, unless somebody waits: what is said soon travels together."""
        if self._wake.wait(_POLL_S):
            self._hurry.wait(_GATHER_S)
        self._wake.clear()

    def _deliver_some(self, backend: Backend) -> bool:
        """Deliver a window of the queue; False when there was nothing."""
        events = self._spool.waiting(self._destination, _WINDOW)
        for run, group in _groups(events):
            if self._stop.is_set():
                break
            self._deliver(backend, run, group)
        return bool(events)

    def _deliver(self, backend: Backend, run: str, events: Sequence[Event]) -> None:
        try:
            self._with_its_start(backend, run, events)
        except Refused as refusal:
            if len(events) > 1:  # find the one that is refused
                for event in events:
                    self._deliver(backend, run, [event])
            else:
                reason = without_password(f"{run}: {events[0].kind} refused: {refusal}")
                self._spool.set_aside([events[0].id], reason)
        else:
            self._spool.delivered(events)

    def _with_its_start(self, backend: Backend, run: str, events: Sequence[Event]) -> None:
        """Deliver; a server that lost the run or its parent, as after a new database, is told their starts again."""
        try:
            backend.deliver(run, events)
        except UnknownRun as unknown:
            start = self._spool.start_of(self._destination, unknown.run)
            if start is None:
                raise Refused(f"run {unknown.run} was never started") from None
            self._deliver(backend, unknown.run, [start])
            backend.deliver(run, events)

    def _failed(self, error: Exception, failures: int) -> int:
        if failures == 0:
            _log.warning(
                "%s does not take what runs say (%s); it is kept in %s and delivered later",
                without_password(self._destination), _one_line(error), self._spool.path,
            )  # fmt: skip
        self._stop.wait(min(0.25 * 2**failures, _LONGEST_WAIT_S))
        return min(failures + 1, 10)

    def _recovered(self, failures: int) -> int:
        if failures:
            address = without_password(self._destination)
            _log.warning("%s answers again; what waited is being delivered", address)
        return 0


def _groups(events: Sequence[Event]) -> Iterator[tuple[str, list[Event]]]:
    """Events by run, runs in the order they first speak; figures and tags that follow each other together."""
    order: dict[str, int] = {}
    for event in events:
        order.setdefault(event.run, len(order))
    by_run = sorted(events, key=lambda event: order[event.run])
    for (run, single), group in itertools.groupby(by_run, key=_grouping):
        if single is None:
            yield run, list(group)
        else:
            yield from ((run, [event]) for event in group)


def _grouping(event: Event) -> tuple[str, Kind | None]:
    return event.run, None if event.kind in (Kind.FIGURES, Kind.TAGS) else event.kind


def _lock_file(home: Path, destination: str) -> IO[str]:
    name = hashlib.sha256(destination.encode()).hexdigest()[:12]
    return (home / f"delivery-{name}.lock").open("w")


def _acquired(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _one_line(error: Exception) -> str:
    text = " ".join(without_password(str(error)).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."

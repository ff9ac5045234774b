"""Trials in a thread of this process, one at a time: for debugging, and where processes cannot be started."""

import queue
import threading
from collections.abc import Callable
from typing import Protocol

from cnn.search.job import EpochDone, Event, Job, JobEnded, JobId, JobSized, WorkerSetup


class _Trains(Protocol):
    def run(
        self, job: Job, emit: Callable[[JobSized | EpochDone | JobEnded], None], stopped: Callable[[], bool]
    ) -> None: ...


class InlineExecutor:
    """One slot, in this process.

    Args:
        setup: What all jobs share; its number of threads is taken as a wish, since the process may have begun already.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._trainer: _Trains | None = None
        self._job: JobId | None = None
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def n_free(self) -> int:
        return 1 if self._job is None else 0

    def submit(self, job: Job) -> None:
        self._job = job.id
        self._thread = threading.Thread(target=self._run, args=(job,), daemon=True)
        self._thread.start()

    def answer(self, job: JobId, *, stop: bool) -> None:
        if job == self._job:
            self._answers.put(stop)

    def kill(self, job: JobId) -> None:
        """A thread cannot be killed: it is asked to stop after its epoch, and ends by itself."""
        self.answer(job, stop=True)

    def poll(self, timeout_s: float) -> list[Event]:
        events: list[Event] = []
        try:
            while not events or not self._events.empty():
                event = self._events.get(timeout=timeout_s)
                if isinstance(event, BaseException):
                    raise event
                events.append(event)
                if isinstance(event, JobEnded):
                    self._job = None
        except queue.Empty:
            pass
        return events

    def close(self) -> None:
        if self._job is not None:
            self._answers.put(True)
        if self._thread is not None:
            self._thread.join()

    def _run(self, job: Job) -> None:
        try:
            if self._trainer is None:
                from cnn.runtime import configure_process

                configure_process(threads=self._setup.threads)
                from cnn.search.trial import Trainer

                self._trainer = Trainer(self._setup)
            self._trainer.run(job, self._events.put, self._answers.get)
        except BaseException as error:  # handed to the coordinator's thread, which raises it
            self._events.put(error)

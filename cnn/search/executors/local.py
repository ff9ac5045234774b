"""Worker processes on this machine, supervised: one that dies is replaced, one that has grown is renewed."""

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil

from cnn.errors import CnnError
from cnn.records import TrialState
from cnn.search.job import Event, Job, JobBlocked, JobEnded, JobId, JobLost, WorkerSetup, decode, job_document

log = logging.getLogger(__name__)

_FALSE_STARTS = 3  # workers in a row that died before they were ready: something is wrong with the installation


class WorkerError(CnnError):
    """Workers cannot be started at all; the message ends with what the last one wrote."""


class LocalExecutor:
    """N worker processes.

    Args:
        n_workers: How many.
        setup: What all jobs share.
        logs: Folder of `worker-K.log`, which take what workers print.
        trials_per_worker: A worker is renewed after so many jobs; TensorFlow's memory grows over many.
        worker_memory_mb: A worker larger than this (resident, MiB) is renewed after its job.
    """

    def __init__(
        self, n_workers: int, setup: WorkerSetup, *, logs: Path, trials_per_worker: int, worker_memory_mb: int
    ) -> None:
        self._setup, self._logs = setup, logs
        self._trials_per_worker, self._memory_bytes = trials_per_worker, worker_memory_mb * 2**20
        self._selector = selectors.DefaultSelector()
        self._false_starts = 0
        logs.mkdir(parents=True, exist_ok=True)
        self._workers = [self._start(slot) for slot in range(n_workers)]

    def n_free(self) -> int:
        return sum(worker.job is None for worker in self._workers)

    def submit(self, job: Job) -> None:
        # a worker that is up comes before one that is still importing its framework
        worker = min((worker for worker in self._workers if worker.job is None), key=lambda worker: not worker.ready)
        if worker.process.poll() is not None:  # it died idle, and nobody has listened to it since
            self._replace(worker)
            worker = self._workers[worker.slot]
        worker.take(job)

    def answer(self, job: JobId, *, stop: bool) -> None:
        for worker in self._working_on(job):
            worker.say({"stop": stop})

    def kill(self, job: JobId) -> None:
        for worker in self._working_on(job):
            worker.killed = True
            worker.process.kill()

    def poll(self, timeout_s: float) -> list[Event]:
        events: list[Event] = []
        for key, _ in self._selector.select(timeout_s):
            worker = key.data
            if worker in self._workers:
                events += self._hear(worker)
        return events

    def close(self) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            self._bury(worker)
        self._workers = []
        self._selector.close()

    def pids(self) -> list[int]:
        """Process ids of the workers, by slot."""
        return [worker.process.pid for worker in self._workers]

    # ---- inside

    def _working_on(self, job: JobId) -> "list[_Worker]":
        return [worker for worker in self._workers if worker.job is not None and worker.job.id == job]

    def _start(self, slot: int) -> "_Worker":
        worker = _Worker(slot, self._setup, self._logs / f"worker-{slot}.log")
        self._selector.register(worker.connection, selectors.EVENT_READ, worker)
        return worker

    def _hear(self, worker: "_Worker") -> Iterator[Event]:
        for line in worker.lines():
            if b'"ready"' in line:
                worker.ready = True
                self._false_starts = 0
                continue
            event = decode(line)
            if isinstance(event, JobBlocked):
                raise event.error()
            yield event
            if isinstance(event, JobEnded):
                worker.job = None
                worker.n_jobs += event.outcome.state is not TrialState.INFEASIBLE
                if worker.n_jobs >= self._trials_per_worker or worker.memory_bytes() > self._memory_bytes:
                    log.info("worker %d is renewed after %d trials", worker.slot, worker.n_jobs)
                    worker.say({"quit": True})
                    self._replace(worker)
        if worker.gone:
            reason = self._replace(worker)
            if worker.job is None:
                return
            if worker.ready or worker.killed:
                yield JobLost(id=worker.job.id, reason=reason)
            else:  # it died before it began with the job, which is not to blame
                self._workers[worker.slot].take(worker.job)

    def _replace(self, worker: "_Worker") -> str:
        reason = self._bury(worker)
        if not worker.ready and not worker.killed:
            self._false_starts += 1
            if self._false_starts >= _FALSE_STARTS:
                raise WorkerError(f"workers die before they are ready ({reason}); the last one wrote:\n{worker.tail()}")
        self._workers[self._workers.index(worker)] = self._start(worker.slot)
        return reason

    def _bury(self, worker: "_Worker") -> str:
        self._selector.unregister(worker.connection)
        worker.connection.close()
        try:
            code = worker.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            code = worker.process.wait()
        return _death(code)


class _Worker:
    """One process and the line to it."""

    def __init__(self, slot: int, setup: WorkerSetup, log_file: Path) -> None:
        self.slot, self.log_file = slot, log_file
        self.job: Job | None = None
        self.ready = self.gone = self.killed = False
        self.n_jobs = 0
        self._partial = b""
        self.connection, theirs = socket.socketpair()
        document = json.dumps(asdict(setup) | {"data": str(setup.data)})
        with theirs, log_file.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cnn.search.worker", str(theirs.fileno()), document],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is the coordinator's to answer
            )

    def take(self, job: Job) -> None:
        """Work on a job."""
        self.job = job
        self.say({"run": job_document(job)})

    def say(self, word: dict[str, object]) -> None:
        """Send a word; a worker that has just died is noticed when it is next listened to."""
        try:
            self.connection.sendall(json.dumps(word).encode() + b"\n")
        except OSError:
            log.debug("worker %d does not listen", self.slot)

    def lines(self) -> list[bytes]:
        """The whole lines that have arrived; sets `gone` at the end of the line."""
        try:
            received = self.connection.recv(1 << 20)
        except OSError:
            received = b""
        self.gone = not received
        *whole, self._partial = (self._partial + received).split(b"\n")
        return whole

    def memory_bytes(self) -> int:
        try:
            return int(psutil.Process(self.process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def tail(self) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-15:])


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its worker was killed (SIGKILL: out of memory, or by hand)"
    if code < 0:
        return f"its worker died of {signal.Signals(-code).name}"
    return f"its worker ended with exit code {code}"

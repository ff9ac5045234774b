"""A worker process: takes jobs over a socket, trains them one after the other, answers in lines of JSON.

Started by the local executor as `python -m cnn.search.worker SOCKET SETUP`. When the coordinator goes away, however it
goes, the socket closes and the worker ends at once: nobody is left to hear it, and its checkpoints are on disk.
"""

import fcntl
import json
import os
import queue
import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from cnn.durable import storage_errors
from cnn.errors import IntegrityError, StorageError
from cnn.runtime import configure_process
from cnn.search.job import Job, JobBlocked, Message, WorkerSetup, encode, job_from


class Inbox:
    """What the coordinator says. A thread listens, so that its going away is noticed in the middle of an epoch."""

    def __init__(self, connection: socket.socket) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(connection,), daemon=True).start()

    def next_job(self) -> Job | None:
        """The next job, as soon as there is one; None to quit."""
        return self._jobs.get()

    def stopped(self) -> bool:
        """The answer to the epoch just reported: whether the job must end."""
        return self._answers.get()

    def _listen(self, connection: socket.socket) -> None:
        # the line's end, or a reset when the coordinator has gone without hearing our last words
        with suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                self._hear(json.loads(line))
        os._exit(0)

    def _hear(self, word: Mapping[str, Any]) -> None:
        if "stop" in word:
            self._answers.put(word["stop"])
        else:
            self._jobs.put(job_from(word["run"]) if "run" in word else None)


def main(descriptor: int, setup: WorkerSetup) -> None:
    """Serve jobs until told to quit."""
    connection = socket.socket(fileno=descriptor)
    inbox = Inbox(connection)
    configure_process(threads=setup.threads)
    from cnn.search.trial import Trainer

    trainer = Trainer(setup)

    def emit(message: Message) -> None:
        connection.sendall(encode(message))

    connection.sendall(b'{"ready": true}\n')
    while (job := inbox.next_job()) is not None:
        try:
            with _exclusive(job.folder):
                trainer.run(job, emit, inbox.stopped)
        except (StorageError, IntegrityError) as error:
            said = {name: getattr(error, name) for name in ("subject", "received", "expected", "change")}
            emit(JobBlocked(id=job.id, **said))


class _exclusive:
    """Holds a job's folder: a worker that outlives its coordinator by a moment never writes beside its successor."""

    def __init__(self, folder: Path) -> None:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "lock").open("w")

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()


if __name__ == "__main__":
    document = json.loads(sys.argv[2])
    main(int(sys.argv[1]), WorkerSetup(**(document | {"data": Path(document["data"])})))

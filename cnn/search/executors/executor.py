"""The role of an executor: it trains jobs and says what happens to them. It knows no engine, tracker or budget."""

from typing import Protocol

from cnn.search.job import Event, Job, JobId


class Executor(Protocol):
    """Runs jobs, each in one of its slots. A job lost with its worker is reported, never restarted by itself."""

    def n_free(self) -> int:
        """Slots that could take a job now."""
        ...

    def submit(self, job: Job) -> None:
        """Start a job, from its checkpoint when its folder holds one."""
        ...

    def answer(self, job: JobId, *, stop: bool) -> None:
        """Whether a job goes on after the epoch it has just reported; it waits for this. An unknown job is ignored."""
        ...

    def kill(self, job: JobId) -> None:
        """End a job at once; it will be `JobLost`. An unknown job is ignored."""
        ...

    def poll(self, timeout_s: float) -> list[Event]:
        """What has happened, after at most `timeout_s` seconds; a job's events come in their order.

        Raises:
            StorageError: A job's checkpoints cannot be written.
        """
        ...

    def close(self) -> None:
        """End everything; jobs under way keep their checkpoints."""
        ...

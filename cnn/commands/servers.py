"""Servers as child processes: started in a group of their own, watched, and ended to the last of the group."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cnn.commands import ports
from cnn.durable import storage_errors
from cnn.errors import ServiceError
from cnn.runtime import is_alive

_END_S = 10.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """A server to be started on this machine.

    Args:
        option: The option of `cnn ui` that chooses its port.
        health: Path that answers once the server is up.
        log: File that takes what it prints, anew at each start.
        settings: Environment variables besides those of this process.
    """

    name: str
    command: Sequence[str]
    port: int
    option: str
    health: str
    log: Path
    settings: Mapping[str, str]

    @property
    def address(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that was started."""

    plan: ServerPlan
    process: "subprocess.Popen[bytes]"

    def answers(self) -> bool:
        """Whether it is up."""
        return ports.answers(self.plan.port, self.plan.health)

    def check_alive(self) -> None:
        """Raises ServiceError when it has ended by itself."""
        code = self.process.poll()
        if code is not None:
            raise self.mishap(f"it ended with exit code {code}: {_last_line(self.plan.log)}")

    def mishap(self, received: str) -> ServiceError:
        """What went wrong with it, and where to read more."""
        change = f"read {self.plan.log}"
        return ServiceError(self.plan.name, received=received, expected="a server that stays up", change=change)


@contextmanager
def running(plan: ServerPlan) -> Iterator[RunningServer]:
    """A server while it runs; afterwards no process of its group is left, and its port is free.

    Raises:
        StorageError: Its log cannot be written.
    """
    with storage_errors(plan.log):
        plan.log.parent.mkdir(parents=True, exist_ok=True)
        log = plan.log.open("wb")
    with log:
        process = subprocess.Popen(
            plan.command,
            env=os.environ | plan.settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this command alone, which then ends the whole group
        )
    try:
        yield RunningServer(plan=plan, process=process)
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the group to end, wait, and kill what has not; an impatient second Ctrl-C leaves nothing behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    deadline = time.monotonic() + _END_S
    _signal(process.pid, signal.SIGTERM)
    while _members(process.pid) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)


def _members(group: int) -> list[int]:
    """Processes of a group that still run."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(process.pid) == group and is_alive(process):
                found.append(process.pid)
    return found


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it printed nothing")

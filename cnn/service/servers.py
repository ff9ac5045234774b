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

from cnn.durable import storage_errors
from cnn.errors import ConfigError, ServiceError
from cnn.runtime import is_alive
from cnn.service import ports

_END_S = 10.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlan:
    """A server to be started on this machine.

    Args:
        port: None when it listens on none.
        change: How its port is changed, as an instruction.
        health: Path that answers once the server is up; empty: it is up as soon as it runs.
        log: File that takes what it prints.
        settings: Environment variables besides those of this process.
        needs: Names of those that must be up before it is started.
        keeps_children: What it has started is left running when it dies, and ended only with the service.
    """

    name: str
    command: Sequence[str]
    port: int | None
    change: str
    health: str
    log: Path
    settings: Mapping[str, str]
    needs: Sequence[str] = ()
    keeps_children: bool = False

    @property
    def address(self) -> str:
        return f"http://{ports.LOOPBACK}:{self.port}" if self.port else ""

    def answers(self) -> bool:
        """Whether it is up, given that it runs."""
        return self.port is None or ports.answers(self.port, self.health)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that was started."""

    plan: ServerPlan
    process: "subprocess.Popen[bytes]"

    def answers(self) -> bool:
        """Whether it is up."""
        return self.plan.answers()

    def check_alive(self) -> None:
        """Raises ServiceError when it has ended by itself."""
        code = self.process.poll()
        if code is not None:
            raise self.mishap(f"it ended with exit code {code}: {last_line(self.plan.log)}")

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
    """An impatient second Ctrl-C leaves nothing behind."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_group(process)


def check_ports(plans: Sequence[ServerPlan]) -> None:
    """Before anything is started.

    Raises:
        ConfigError: Two servers share a port.
        ServiceError: A port is taken.
    """
    seen: dict[int, ServerPlan] = {}
    for plan in plans:
        if plan.port in seen:
            raise ConfigError(
                f"port {plan.port}",
                received=f"{plan.port} for {seen[plan.port].name} and for {plan.name}",
                expected="a port for each server",
                change=plan.change,
            )
        if plan.port and (reason := ports.refusal(plan.port)):
            received = f"{reason}{ports.holder(plan.port)}"
            expected = f"a port for {plan.name}"
            raise ServiceError(f"port {plan.port}", received=received, expected=expected, change=plan.change)
        if plan.port:
            seen[plan.port] = plan


def end_group(process: "subprocess.Popen[bytes]", patience_s: float = _END_S) -> None:
    """Ask a group to end, wait, and kill what has not."""
    deadline = time.monotonic() + patience_s
    signal_group(process.pid, signal.SIGTERM)
    while _members(process.pid) and time.monotonic() < deadline:
        process.poll()
        time.sleep(_PAUSE_S)
    signal_group(process.pid, signal.SIGKILL)
    process.wait()


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to all processes of a group, if there are any."""
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


def last_line(log: Path) -> str:
    """The last words in a log."""
    if not log.exists():
        return "it printed nothing"
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it printed nothing")

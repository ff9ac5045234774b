"""`python -m cnn.service.supervisor`: starts the parts of the service, and again what dies, until it is told to end."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from cnn.config.environment import Environment, read_environment
from cnn.durable import exclusive, storage_errors
from cnn.errors import StorageError, UserError
from cnn.runtime import silence
from cnn.service.plans import NIGHTS_LOG, service_plans
from cnn.service.servers import ServerPlan, end_group, last_line, signal_group
from cnn.service.state import MARK, ServiceState, UnitState, last_state, lock_file, write_state

_PAUSE_S = 0.3
_HEALTH_S = 5.0  # between two questions to a server that is up
_SILENCE_S = 120.0  # a server that has not answered for so long is started anew; a busy machine may take a minute
_START_S = 600.0  # as a rule half a minute; a first start migrates a database
_SOUND_S = 60.0  # after so long the next death is a first one again
_LONGEST_DELAY_S = 60.0
_LOG_BYTES = 5_000_000
_END_S, _WORKER_END_S = 15.0, 150.0  # a worker waits for its nights, which keep what they have
_PR_SET_PDEATHSIG = 1


class Unit:
    """One part of the service, as its supervisor sees it.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, plan: ServerPlan, home: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.plan = plan
        self._home, self._clock = home, clock
        self._process: subprocess.Popen[bytes] | None = None
        self._failures, self._next_start, self._answered, self._asked = 0, 0.0, 0.0, 0.0
        self._restarts, self._last_end = 0, ""
        self._state, self._since = "starting", _now()

    @property
    def is_up(self) -> bool:
        return self._state == "up"

    def told(self) -> UnitState:
        """What is to be said of it."""
        return UnitState(
            name=self.plan.name,
            address=self.plan.address,
            state=self._state,
            since=self._since,
            restarts=self._restarts,
            failures=self._failures,
            last_end=self._last_end,
        )

    def look(self, *, may_start: bool) -> None:
        """Start it when it is due, notice that it is up, or that it is not."""
        if self._process is None:
            if may_start and self._clock() >= self._next_start:
                self._try_to_start()
        elif (code := self._process.poll()) is not None:
            self._ended(f"exit code {code}: {last_line(self.plan.log)}")
        else:
            self._ask()

    def end(self) -> None:
        """End it with all that it has started."""
        if self._process is None:
            return
        if self.plan.keeps_children:  # it ends them itself, and waits for them
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_WORKER_END_S)
        end_group(self._process, _END_S)
        self._process = None

    def _try_to_start(self) -> None:
        try:
            self._start()
        except OSError as error:  # no memory for a process, no room for its log: the others stay up
            self._ended(f"not started: {error}")

    def _start(self) -> None:
        # a worker that was told to end would end its nights; killed, it leaves them to go on
        ending = signal.SIGKILL if self.plan.keeps_children else signal.SIGTERM
        with self.plan.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.plan.command,
                env=os.environ | self.plan.settings | {MARK: str(self._home)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(_die_with_parent, ending),  # noqa: PLW1509  (this process has one thread)
            )
        self._answered = self._asked = self._clock()
        self._become("starting")

    def _ask(self) -> None:
        now = self._clock()
        if self.is_up and now - self._asked < _HEALTH_S:
            return
        self._asked = now
        if self.plan.answers():
            self._answered = now
            if not self.is_up:
                self._become("up")
            elif self._failures and now - self._next_start > _SOUND_S:
                self._failures = 0
        elif now - self._answered > (_SILENCE_S if self.is_up else _START_S):
            self.end()
            self._ended("no answer")

    def _ended(self, how: str) -> None:
        if self._process is not None and not self.plan.keeps_children:
            signal_group(self._process.pid, signal.SIGKILL)  # what it has started would hold its port
        self._process = None
        self._next_start = self._clock() + delay_s(self._failures)
        self._failures += 1
        self._restarts += 1
        self._last_end = f"{how} ({_now()})"
        self._become("waiting")

    def _become(self, state: str) -> None:
        self._state, self._since = state, _now()


def delay_s(n_failures: int) -> float:
    """Seconds until something that has died so often in a row is started again.

    Example:
        >>> [delay_s(n) for n in (0, 1, 2, 10)]
        [1.0, 2.0, 4.0, 60.0]
    """
    return float(min(_LONGEST_DELAY_S, 2 ** min(n_failures, 10)))


def supervise(environment: Environment, plans: Sequence[ServerPlan], checkout: Path) -> None:
    """Keep the service up until SIGTERM.

    Raises:
        ServiceError: Another supervisor does.
    """
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    with exclusive(lock_file(environment), what="the service"):
        units = [Unit(plan, environment.home) for plan in plans]
        began = _now()
        try:
            while not stopping:
                for unit in units:
                    needed = [other for other in units if other.plan.name in unit.plan.needs]
                    unit.look(may_start=all(other.is_up for other in needed))
                told = tuple(unit.told() for unit in units)
                state = ServiceState(pid=os.getpid(), checkout=str(checkout), began=began, units=told)
                with suppress(OSError, StorageError):  # a full disk takes no server down, and no night
                    for log in (*(plan.log for plan in plans), environment.service / NIGHTS_LOG):
                        bound_log(log)
                    if last_state(environment) != state:  # or it was torn
                        write_state(environment, state)
                time.sleep(_PAUSE_S)
        finally:
            for unit in reversed(units):  # the worker first: its nights have something to say to Prefect
                unit.end()


def bound_log(log: Path, most_bytes: int = _LOG_BYTES) -> None:
    """A log that has grown too large goes into `NAME.1`, and begins anew; whoever appends to it goes on."""
    with suppress(FileNotFoundError):
        if log.stat().st_size > most_bytes:
            log.with_name(f"{log.name}.1").write_bytes(log.read_bytes())
            os.truncate(log, 0)


def _die_with_parent(ending: signal.Signals) -> None:
    """A server does not outlive its supervisor, however that dies: a port would stay taken."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ending)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def main() -> int:
    """Supervise in this folder; a user's mistake ends in one line and exit code 2."""
    silence()
    try:
        environment = read_environment()
        with storage_errors(environment.service):
            environment.service.mkdir(parents=True, exist_ok=True)
        supervise(environment, service_plans(environment), Path.cwd())
    except UserError as error:
        print(f"cnn: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

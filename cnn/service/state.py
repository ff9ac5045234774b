"""What the service says of itself: a file that its supervisor writes, and a lock that it holds while it lives."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from cnn.config.environment import Environment
from cnn.durable import holder, is_held, read_sealed, write_sealed
from cnn.errors import IntegrityError
from cnn.runtime import is_alive

MARK = "OVERNIGHT_SERVICE"
"""Environment variable by which a process of the service is known, its children's children included: the home."""

_ENGINE = ("flows", "engine")
_RUN_ID = "PREFECT__FLOW_RUN_ID"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """A part of the service.

    Args:
        address: Empty when it listens nowhere.
        state: starting | up | waiting (to be started again).
        since: When that began, ISO 8601.
        restarts: How often it was started again since the service began.
        failures: How often in a row; 0 once it has stayed up for a while.
        last_end: How it last ended; empty when it never did.
    """

    name: str
    address: str
    state: str
    since: str
    restarts: int = 0
    failures: int = 0
    last_end: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """The service.

    Args:
        pid: Process of the supervisor.
        checkout: Folder whose nights it runs.
        began: ISO 8601.
    """

    pid: int
    checkout: str
    began: str
    units: tuple[UnitState, ...]

    @property
    def ready(self) -> bool:
        """Whether all its parts are up."""
        return all(unit.state == "up" for unit in self.units)


def lock_file(environment: Environment) -> Path:
    """Held by the supervisor while it lives."""
    return environment.service / "supervisor.lock"


def is_up(environment: Environment) -> bool:
    """Whether a supervisor lives."""
    return is_held(lock_file(environment))


def supervisor(environment: Environment) -> int | None:
    """Process of the supervisor; None when none lives, or when one is just beginning to."""
    return holder(lock_file(environment))


def write_state(environment: Environment, state: ServiceState) -> None:
    """Keep what the service says of itself."""
    write_sealed(_file(environment), asdict(state))


def last_state(environment: Environment) -> ServiceState | None:
    """What the service says of itself, or last said; None when there is nothing sound to read."""
    try:
        document: Mapping[str, Any] = read_sealed(_file(environment), made_by="cnn up")
        return ServiceState(**{**document, "units": tuple(UnitState(**unit) for unit in document["units"])})
    except (IntegrityError, TypeError):  # torn, or of a version that knew other fields
        return None


def present_state(environment: Environment) -> ServiceState | None:
    """What the supervisor that lives says; None when none does, or when it has not said anything yet."""
    state = last_state(environment)
    return state if state and state.pid == supervisor(environment) else None


def _file(environment: Environment) -> Path:
    return environment.service / "state.json"


def marked(environment: Environment) -> list[psutil.Process]:
    """Processes of this home's service, whoever started them; this one and those it was started by are left out."""
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            is_ours = process.pid not in mine and process.environ().get(MARK) == str(environment.home)
            if is_ours and is_alive(process):
                found.append(process)
    return found


def flow_run_of(process: psutil.Process) -> str:
    """Id of the flow run that a process, or one that it was started by, has been started for; empty for none."""
    with suppress(psutil.Error, OSError):
        return str(process.environ().get(_RUN_ID, ""))
    return ""


def is_night(process: psutil.Process) -> bool:
    """Whether a process is a flow run that a worker has started."""
    with suppress(psutil.Error):
        return tuple(process.cmdline()[2:4]) == _ENGINE
    return False

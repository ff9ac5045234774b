"""The nightly service: brought up in the background, taken down to the last process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from cnn.config.environment import Environment
from cnn.config.reading import digest
from cnn.durable import storage_errors, write_text
from cnn.errors import ConfigError, ServiceError
from cnn.runtime import is_alive
from cnn.service.plans import SHOWS, check_prefect, make_databases, prefect_settings, prefect_url, service_plans
from cnn.service.servers import check_ports, last_line
from cnn.service.state import MARK, ServiceState, is_night, is_up, last_state, marked
from cnn.tracking.server import check_server, without_password

DEPLOYMENTS = Path("infra/prefect.yaml")

_START_S = 600.0  # as a rule a minute; a first start migrates three databases
_END_S = 240.0  # a night under way keeps what it has
_LEFT_S = 90.0
_KILLED_S = 10.0
_PAUSE_S = 0.3


def up(environment: Environment, console: Console) -> None:
    """Start all servers and the worker in the background, deploy the flows, and print the addresses once all is up.

    A service that is up stays as it is; flows are deployed anew when `infra/prefect.yaml` has changed.

    Raises:
        ConfigError: There is no `infra/prefect.yaml` in this folder, or two servers share a port.
        ServiceError: A port is taken, a part does not come up, or the service runs for another folder.
    """
    checkout = Path.cwd()
    if not DEPLOYMENTS.exists():
        expected, change = "the deployments of a checkout", "run cnn up in the folder of params.yaml and infra"
        raise ConfigError(DEPLOYMENTS, received="no such file", expected=expected, change=change)
    was_up = is_up(environment)
    if not was_up:
        check_server(environment.mlflow_uri)
        check_prefect()
        end_all([process for process in marked(environment) if not is_night(process)], patience_s=0.0)
        check_ports(service_plans(environment))
        with console.status("making the databases"):
            make_databases(environment)
    with console.status("starting MLflow, Prefect, optuna-dashboard and the worker, which takes a minute"):
        pid = _supervisor(environment, was_up=was_up)
        state = _wait_until_ready(environment, pid)
    if state.checkout != str(checkout):
        received, change = f"a service that runs the nights of {state.checkout}", "cnn down first, or set CNN_HOME"
        raise ServiceError(environment.home, received=received, expected="one of this folder", change=change)
    with console.status("deploying the flows"):
        deployed = _deploy(environment, checkout)
    console.print("the service was up already" if was_up and not deployed else "the service is up", highlight=False)
    _print_addresses(environment, state, console)


def _supervisor(environment: Environment, *, was_up: bool) -> int:
    """Id of the supervisor, which is started unless it runs."""
    state = last_state(environment)
    if was_up and state:
        return state.pid
    log = environment.service / "supervisor.log"
    with storage_errors(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    with output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cnn.service.supervisor"],
            env=os.environ | {MARK: str(environment.home), "CNN_HOME": str(environment.home)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process.pid


def _wait_until_ready(environment: Environment, pid: int) -> ServiceState:
    """What the service says of itself, once all parts are up; a service that does not come up is ended."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        alive, state = is_alive(pid), last_state(environment)
        if state and state.pid == pid and state.ready:
            return state
        if not alive:
            break
        failing = [unit for unit in state.units if unit.restarts >= 3] if state and state.pid == pid else []
        if failing and not state_was_up(state):
            _end_supervisor(environment)
            name = failing[0].name
            log = next(plan.log for plan in service_plans(environment) if plan.name == name)
            raise _mishap(name, failing[0].last_end, log)
        time.sleep(_PAUSE_S)
    log = environment.service / "supervisor.log"
    _end_supervisor(environment)
    raise _mishap("service", last_line(log), log)


def state_was_up(state: ServiceState | None) -> bool:
    """Whether all parts have been up since the service began: then a part that fails is none of this start's faults."""
    return state is not None and all(unit.state == "up" or unit.restarts == 0 for unit in state.units)


def _mishap(name: str, received: str, log: Path) -> ServiceError:
    return ServiceError(name, received=received, expected="a service that comes up", change=f"read {log}")


def _deploy(environment: Environment, checkout: Path) -> bool:
    """Have Prefect take the deployments; False when it has them already."""
    flag = environment.service / "deployed"
    mark = digest(DEPLOYMENTS.read_text(encoding="utf-8"), str(checkout), prefect_settings(environment))
    if flag.exists() and flag.read_text() == mark:
        return False
    answer = subprocess.run(
        [sys.executable, "-m", "flows", "deploy", str(DEPLOYMENTS)],
        env=os.environ | prefect_settings(environment) | {"PWD": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        log = environment.service / "deploy.log"
        write_text(log, answer.stdout + answer.stderr)
        raise ServiceError(DEPLOYMENTS, received=last_line(log), expected="deployments", change=f"read {log}")
    write_text(flag, mark)
    return True


def _print_addresses(environment: Environment, state: ServiceState, console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    if environment.mlflow_uri.startswith("http"):
        table.add_row("MLflow", without_password(environment.mlflow_uri), "[dim]runs elsewhere: CNN_TRACKING_URI[/dim]")
    if "PREFECT_API_URL" in os.environ:
        address = without_password(prefect_url(environment)).removesuffix("/api")
        table.add_row("Prefect", address, "[dim]runs elsewhere: PREFECT_API_URL[/dim]")
    for unit in state.units:
        table.add_row(unit.name, unit.address, f"[dim]{SHOWS[unit.name]}[/dim]")
    console.print(table)
    console.print(f"logs in {environment.service}; cnn status shows how it is; cnn down ends it", style="dim")


def down(environment: Environment, console: Console) -> None:
    """End the service: neither a process nor a port of it is left. A night under way keeps what it has.

    Raises:
        ServiceError: Something does not end.
    """
    was_up = is_up(environment)
    with console.status("ending the service; a night under way keeps what it has"):
        _end_supervisor(environment)
        left = marked(environment)
        nights = [process for process in left if is_night(process)]
        end_all(nights, patience_s=_LEFT_S)  # of a service that was killed
        end_all(marked(environment), patience_s=0.0)
    remain = [process.pid for process in marked(environment) if is_alive(process)]
    if remain:
        received, change = f"processes {', '.join(map(str, remain))} still there", "end them"
        raise ServiceError("service", received=received, expected="none", change=change)
    console.print("the service is down" if was_up or left else "no service was up", highlight=False)


def _end_supervisor(environment: Environment) -> None:
    state = last_state(environment)
    deadline = time.monotonic() + _END_S
    with suppress(psutil.Error):
        if state and is_up(environment):
            psutil.Process(state.pid).terminate()
    while is_up(environment):
        if time.monotonic() > deadline:
            received = f"process {state.pid if state else 'unknown'} that does not end"
            raise ServiceError("service", received=received, expected="none", change="kill it, then cnn down")
        time.sleep(_PAUSE_S)


def end_all(processes: Sequence[psutil.Process], *, patience_s: float) -> None:
    """Ask processes to end, wait, and kill what has not.

    Args:
        patience_s: 0 kills at once.
    """
    deadline = time.monotonic() + patience_s
    for process in processes if patience_s else ():
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    deadline = time.monotonic() + _KILLED_S
    while any(map(is_alive, processes)) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)

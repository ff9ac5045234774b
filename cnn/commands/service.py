"""The nightly service: brought up in the background, taken down to the last process."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from cnn.config.environment import Environment
from cnn.config.reading import digest
from cnn.durable import exclusive, storage_errors, write_text
from cnn.errors import ConfigError, ServiceError
from cnn.runtime import is_alive
from cnn.service.plans import SHOWS, check_prefect, make_databases, prefect_settings, prefect_url, service_plans
from cnn.service.servers import check_ports, last_line
from cnn.service.state import MARK, ServiceState, flow_run_of, is_night, is_up, marked, present_state, supervisor
from cnn.tracking.server import check_server, without_password

DEPLOYMENTS = Path("infra/prefect.yaml")

_START_S = 900.0  # as a rule a minute; a first start migrates three databases
_END_S = 240.0  # a night under way keeps what it has
_LEFT_S = 90.0
_HOPELESS = 3  # deaths in a row
_KILLED_S = 10.0
_PAUSE_S = 0.3
_MOST_SAID = 300  # characters


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
    with exclusive(environment.home / "up.lock", what="cnn up", patience_s=_START_S):  # the second finds it up
        was_up = is_up(environment)
        if not was_up:
            _make_room(environment, console)
        with console.status("starting the servers and the worker, which takes a minute"):
            state = _joined(environment) if was_up else _started(environment)
        if state.checkout != str(checkout):
            received, change = f"a service that runs the nights of {state.checkout}", "cnn down first, or set CNN_HOME"
            raise ServiceError(environment.home, received=received, expected="one of this folder", change=change)
        with console.status("deploying the flows"):
            deployed = _deploy(environment, checkout)
    console.print("the service was up already" if was_up and not deployed else "the service is up", highlight=False)
    _print_addresses(environment, state, console)


def _make_room(environment: Environment, console: Console) -> None:
    """What a killed service has left ends, apart from a night; ports are looked at, and databases made."""
    check_server(environment.mlflow_uri)
    check_prefect()
    end_all([process for process in marked(environment) if not flow_run_of(process)], patience_s=0.0)
    check_ports(service_plans(environment))
    with console.status("making the databases"):
        make_databases(environment)


def _joined(environment: Environment) -> ServiceState:
    """What a service says that was up before, once all its parts are; one with a part that fails is left as it is."""
    return _when_ready(environment, lambda: is_up(environment))


def _started(environment: Environment) -> ServiceState:
    """What a service says that is started here, once all its parts are up; one that does not come up is ended."""
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
    try:
        return _when_ready(environment, lambda: process.poll() is None)
    except ServiceError:
        _end_supervisor(environment)
        raise


def _when_ready(environment: Environment, lives: Callable[[], bool]) -> ServiceState:
    """What the service says of itself, once all its parts are up.

    Args:
        lives: Whether its supervisor does.

    Raises:
        ServiceError: It does not, or a part dies again and again, or the patience ends.
    """
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and lives():
        state = present_state(environment)
        if state and state.ready:
            return state
        for unit in state.units if state else ():
            if unit.failures >= _HOPELESS:
                log = next(plan.log for plan in service_plans(environment) if plan.name == unit.name)
                raise _mishap(unit.name, unit.last_end, log)
        time.sleep(_PAUSE_S)
    log = environment.service / "supervisor.log"
    raise _mishap("service", last_line(log), log)


def _mishap(name: str, received: str, log: Path) -> ServiceError:
    return ServiceError(name, received=received, expected="a service that comes up", change=f"read {log}")


def _deploy(environment: Environment, checkout: Path) -> bool:
    """Have Prefect take the deployments; False when it has them already."""
    flag = environment.prefect_home / "deployed"  # gone when its database is
    mark = digest(DEPLOYMENTS.read_text(encoding="utf-8"), str(checkout), prefect_url(environment))
    if flag.exists() and flag.read_text() == mark:
        return False
    answer = subprocess.run(
        [sys.executable, "-m", "flows", "deploy", str(DEPLOYMENTS)],
        env=os.environ | prefect_settings(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        log = environment.service / "deploy.log"
        write_text(log, answer.stdout + answer.stderr)
        received = last_line(log).removeprefix(f"cnn: {DEPLOYMENTS}: received ").partition("; expected ")[0]
        received = textwrap.shorten(received, _MOST_SAID, placeholder=" …")  # Prefect passes on its whole answer
        change = f"edit it, or read {log}"
        raise ServiceError(DEPLOYMENTS, received=received, expected="deployments in Prefect's words", change=change)
    for line in answer.stderr.splitlines():
        if line.startswith("cnn: "):  # Prefect's own words are none for the screen
            print(line, file=sys.stderr)
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
    """Ask the supervisor to end, and wait until it has.

    Raises:
        ServiceError: It does not.
    """
    told, deadline = 0, time.monotonic() + _END_S
    while is_up(environment):
        pid = supervisor(environment)
        if pid and pid != told:
            told = pid
            with suppress(psutil.Error):
                psutil.Process(pid).terminate()
        if time.monotonic() > deadline:
            received = f"process {told or 'unknown'} that does not end"
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

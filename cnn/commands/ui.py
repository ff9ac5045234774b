"""MLflow and optuna-dashboard on this machine, for as long as the command runs."""

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.table import Table

from cnn.config.environment import Environment
from cnn.service.plans import SHOWS, make_databases, mlflow_plan, optuna_plan
from cnn.service.servers import RunningServer, ServerPlan, check_ports, running
from cnn.service.state import is_up, present_state
from cnn.tracking.server import check_server, without_password

_START_S = 180.0  # as a rule half a minute; a busy machine or a migration takes longer
_PAUSE_S = 0.3
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def ui(
    environment: Environment, console: Console, *, mlflow_port: int | None = None, optuna_port: int | None = None
) -> None:
    """Start what does not run elsewhere, print the addresses once they answer, and end all at Ctrl-C or SIGTERM.

    While the service is up its servers show the same, and their addresses are printed.

    Args:
        mlflow_port: None: `CNN_MLFLOW_PORT`. Ignored when `CNN_TRACKING_URI` is an MLflow server's address.
        optuna_port: None: `CNN_OPTUNA_PORT`.

    Raises:
        ServiceError: A port is taken, a server does not come up or dies, or nothing answers at `CNN_TRACKING_URI`.
        ConfigError: Both ports are the same.
    """
    if is_up(environment):
        console.print("the service is up and shows the same; cnn down ends it", highlight=False)
        state = present_state(environment)
        for unit in state.units if state else ():
            if unit.address:
                console.print(f"{unit.name}  {unit.address}", highlight=False)
        return
    check_server(environment.mlflow_uri)
    plans = _plans(environment, mlflow_port=mlflow_port, optuna_port=optuna_port)
    check_ports(plans)
    with _until_interrupted(), ExitStack() as stack:
        names = " and ".join(plan.name for plan in plans)
        with console.status(f"starting {names}, which takes half a minute"):
            make_databases(environment)
            servers = [stack.enter_context(running(plan)) for plan in plans]
            _wait_for_all(servers)
        _print_addresses(environment, plans, console)
        while True:
            for server in servers:
                server.check_alive()
            time.sleep(_PAUSE_S)


def _plans(environment: Environment, *, mlflow_port: int | None, optuna_port: int | None) -> list[ServerPlan]:
    """What is to be started, in the order of showing."""
    logs = environment.home / "logs"
    change = "choose another with cnn ui {} PORT"
    optuna = optuna_plan(
        environment, logs, port=optuna_port or environment.optuna_port, change=change.format("--optuna-port")
    )
    if environment.mlflow_uri.startswith("http"):
        return [optuna]
    mlflow = mlflow_plan(
        environment, logs, port=mlflow_port or environment.mlflow_port, change=change.format("--mlflow-port")
    )
    return [mlflow, optuna]


def _wait_for_all(servers: Sequence[RunningServer]) -> None:
    deadline = time.monotonic() + _START_S
    silent = list(servers)
    while silent:
        for server in servers:
            server.check_alive()
        silent = [server for server in silent if not server.answers()]
        if silent and time.monotonic() > deadline:
            raise silent[0].mishap(f"no answer for {_START_S:.0f} s")
        time.sleep(_PAUSE_S)


def _print_addresses(environment: Environment, plans: Sequence[ServerPlan], console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    if environment.mlflow_uri.startswith("http"):
        table.add_row("MLflow", without_password(environment.mlflow_uri), "[dim]runs elsewhere: CNN_TRACKING_URI[/dim]")
    for plan in plans:
        table.add_row(plan.name, plan.address, f"[dim]{SHOWS[plan.name]}[/dim]")
    console.print(table)
    console.print("Ctrl-C ends them", style="dim")


@contextmanager
def _until_interrupted() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal all mean: enough."""
    kept = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()  # under nohup
    before = {number: signal.signal(number, signal.default_int_handler) for number in _SIGNALS - kept}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

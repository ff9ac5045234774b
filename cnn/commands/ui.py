"""MLflow and optuna-dashboard on this machine, for as long as the command runs."""

import signal
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cnn.commands.ports import LOOPBACK, refusal
from cnn.commands.servers import RunningServer, ServerPlan, running
from cnn.config.environment import Environment
from cnn.errors import ConfigError, ServiceError
from cnn.tracking.server import check_server, server_command, sqlite_file, without_password

_START_S = 180.0  # as a rule half a minute; a busy machine or a migration takes longer
_PAUSE_S = 0.3
_SIGNALS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def ui(environment: Environment, console: Console, *, mlflow_port: int, optuna_port: int) -> None:
    """Start what does not run elsewhere, print the addresses once they answer, and end all at Ctrl-C or SIGTERM.

    Args:
        mlflow_port: Ignored when `CNN_TRACKING_URI` is an MLflow server's address.

    Raises:
        ServiceError: A port is taken, a server does not come up or dies, or nothing answers at `CNN_TRACKING_URI`.
        ConfigError: Both ports are the same.
    """
    check_server(environment.mlflow_uri)
    plans = server_plans(environment, mlflow_port=mlflow_port, optuna_port=optuna_port)
    _check_ports(plans)
    with _until_interrupted(), ExitStack() as stack:
        names = " and ".join(plan.name for plan in plans)
        with console.status(f"starting {names}, which takes half a minute"):
            _make_databases(environment)
            servers = [stack.enter_context(running(plan)) for plan in plans]
            _wait_for_all(servers)
        _print_addresses(environment, plans, console)
        while True:
            for server in servers:
                server.check_alive()
            time.sleep(_PAUSE_S)


def server_plans(environment: Environment, *, mlflow_port: int, optuna_port: int) -> list[ServerPlan]:
    """What is to be started, in the order of showing."""
    optuna = _optuna_plan(environment, optuna_port)
    if environment.mlflow_uri.startswith("http"):
        return [optuna]
    return [_mlflow_plan(environment, mlflow_port), optuna]


def _mlflow_plan(environment: Environment, port: int) -> ServerPlan:
    from cnn.tracking.client import SETTINGS, artifact_root

    # experiments name the folder of their files: the server reads it there and passes nothing on
    files = ["--no-serve-artifacts", "--default-artifact-root", str(artifact_root(environment))]
    return ServerPlan(
        name="MLflow",
        command=server_command(port, *files),
        port=port,
        option="--mlflow-port",
        health="/health",
        log=environment.home / "logs/mlflow.log",
        # an address may hold a password, which everybody could read in a command line
        settings=SETTINGS
        | {"MLFLOW_BACKEND_STORE_URI": environment.mlflow_uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )


def _optuna_plan(environment: Environment, port: int) -> ServerPlan:
    script = Path(sysconfig.get_path("scripts")) / "optuna-dashboard"
    words = ("--host", LOOPBACK, "--port", str(port), "--server", "wsgiref")
    return ServerPlan(
        name="optuna-dashboard",
        command=(str(script), environment.optuna_url, *words),
        port=port,
        option="--optuna-port",
        health="/api/meta",
        log=environment.home / "logs/optuna-dashboard.log",
        settings={},
    )


def _check_ports(plans: Sequence[ServerPlan]) -> None:
    """Before anything is started."""
    ports = [plan.port for plan in plans]
    if len(set(ports)) < len(ports):
        change = f"choose another with {plans[-1].option}"
        raise ConfigError(plans[-1].option, received=ports[-1], expected="a port for each server", change=change)
    for plan in plans:
        if reason := refusal(plan.port):
            change = f"choose another with cnn ui {plan.option} PORT"
            raise ServiceError(f"port {plan.port}", received=reason, expected=f"a port for {plan.name}", change=change)


def _make_databases(environment: Environment) -> None:
    """New databases are made by one process, before servers and searches open them."""
    if _is_new(environment.mlflow_uri):
        from cnn.tracking.client import connect

        connect(environment)
    if _is_new(environment.optuna_url):
        from cnn.search.engines.optuna_mirror import make_storage

        make_storage(environment.optuna_url)


def _is_new(uri: str) -> bool:
    """Whether it is an sqlite file that nobody has written to yet."""
    path = sqlite_file(uri)
    return uri.startswith("sqlite:///") and not (path.exists() and path.stat().st_size)


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
        table.add_row(plan.name, plan.address, _SHOWS[plan.name])
    console.print(table)
    console.print("Ctrl-C ends them", style="dim")


_SHOWS = {
    "MLflow": "[dim]every trial's curves, the registry; switch to Model training, top left[/dim]",
    "optuna-dashboard": "[dim]the studies: history, importance, parallel coordinates[/dim]",
}


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

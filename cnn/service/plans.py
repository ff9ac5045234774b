"""The servers of this machine: what is started, where it listens, and what must be up before it."""

import os
import sys
from pathlib import Path

from cnn.config.environment import Environment
from cnn.service.ports import LOOPBACK
from cnn.service.servers import ServerPlan
from cnn.tracking.server import check_health, server_command, sqlite_file

MLFLOW, PREFECT, OPTUNA, WORKER = "MLflow", "Prefect", "optuna-dashboard", "worker"
NIGHTS_LOG = "nights.log"
POOL = "cnn-overnight"

SHOWS = {
    MLFLOW: "every trial's curves, the registry; switch to Model training, top left",
    PREFECT: "the nights: schedule, states, a form to start one",
    OPTUNA: "the studies: history, importance, parallel coordinates",
    WORKER: "starts the nights that are due",
}

_CLIENT_RETRIES = "8"  # each wait twice the last: a night outlives a server that is being restarted
_POLL_S = "5"
_POOL_MARK = "OVERNIGHT_POOL"  # handed down: what the service starts knows Prefect by an address in any case


# it takes its storage by its command line alone, where everybody could read the password in an address
_DASHBOARD = (
    "import os, sys; from optuna_dashboard._cli import main; sys.argv.append(os.environ['OVERNIGHT_STORAGE']); main()"
)


def service_plans(environment: Environment) -> list[ServerPlan]:
    """All parts of the service, in the order of starting; those that run elsewhere are left out.

    MLflow does when `CNN_TRACKING_URI` is a server's address, Prefect when `PREFECT_API_URL` is set.
    """
    logs, change = environment.service, "choose another: set {}"
    plans = []
    if not environment.mlflow_uri.startswith("http"):
        words = change.format("CNN_MLFLOW_PORT")
        plans.append(mlflow_plan(environment, logs, port=environment.mlflow_port, change=words))
    if "PREFECT_API_URL" not in os.environ:
        plans.append(_prefect_plan(environment, logs, change=change.format("CNN_PREFECT_PORT")))
    words = change.format("CNN_OPTUNA_PORT")
    plans.append(optuna_plan(environment, logs, port=environment.optuna_port, change=words))
    plans.append(_worker_plan(environment, logs, needs=[plan.name for plan in plans if plan.name == PREFECT]))
    return plans


def check_prefect() -> None:
    """Raises ServiceError when a Prefect elsewhere does not answer."""
    if address := os.environ.get("PREFECT_API_URL"):
        change = "start it, or unset PREFECT_API_URL for one of this machine's own"
        check_health(address, what="a Prefect server", change=change)


def prefect_url(environment: Environment) -> str:
    """Where the service's Prefect answers."""
    return os.environ.get("PREFECT_API_URL") or f"http://{LOOPBACK}:{environment.prefect_port}/api"


def work_pool(environment: Environment) -> str:
    """The Prefect pool from which this home's worker takes its nights.

    Only the machine of a home knows which of its nights live, and can go on with them: at a Prefect elsewhere, which
    several may use, each home has a pool and deployments of its own.
    """
    elsewhere = f"{POOL}@{environment.home_id()}" if "PREFECT_API_URL" in os.environ else POOL
    return os.environ.get(_POOL_MARK) or elsewhere


def name_in(pool: str, name: str) -> str:
    """What a name in `infra/prefect.yaml` is in a home's pool.

    Example:
        >>> name_in("cnn-overnight@3f9a21bc", "nightly"), name_in("cnn-overnight", "nightly")
        ('nightly@3f9a21bc', 'nightly')
    """
    return name + pool.removeprefix(POOL)


def prefect_settings(environment: Environment) -> dict[str, str]:
    """Environment of what speaks to the service's Prefect."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        "PREFECT_HOME": str(environment.prefect_home),
        "PREFECT_API_URL": prefect_url(environment),
        _POOL_MARK: work_pool(environment),
        "PREFECT_CLIENT_MAX_RETRIES": _CLIENT_RETRIES,
        "PATH": path,  # a deployment's command says `python`
        "PYTHONUNBUFFERED": "1",
    }


def mlflow_plan(environment: Environment, logs: Path, *, port: int, change: str) -> ServerPlan:
    """MLflow on the embedded database, which commands go on writing to themselves: in WAL mode both may."""
    from cnn.tracking.client import SETTINGS, artifact_root

    # experiments name the folder of their files: the server reads it there and passes nothing on
    files = ["--no-serve-artifacts", "--default-artifact-root", str(artifact_root(environment))]
    return ServerPlan(
        name=MLFLOW,
        command=server_command(port, *files),
        port=port,
        change=change,
        health="/health",
        log=logs / "mlflow.log",
        # an address may hold a password, which everybody could read in a command line
        settings=SETTINGS
        | {"MLFLOW_BACKEND_STORE_URI": environment.mlflow_uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )


def optuna_plan(environment: Environment, logs: Path, *, port: int, change: str) -> ServerPlan:
    """optuna-dashboard on the storage that studies are mirrored to."""
    words = ("--host", LOOPBACK, "--port", str(port), "--server", "wsgiref")
    return ServerPlan(
        name=OPTUNA,
        command=(sys.executable, "-P", "-c", _DASHBOARD, *words),
        port=port,
        change=change,
        health="/api/meta",
        log=logs / "optuna-dashboard.log",
        settings={"OVERNIGHT_STORAGE": environment.optuna_url},
    )


def _prefect_plan(environment: Environment, logs: Path, *, change: str) -> ServerPlan:
    port = str(environment.prefect_port)
    return ServerPlan(
        name=PREFECT,
        command=(sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", port),
        port=environment.prefect_port,
        change=change,
        health="/api/health",
        log=logs / "prefect.log",
        settings={
            "PREFECT_HOME": str(environment.prefect_home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # a night asks every few minutes for its place among the nights: in the server's memory that would be gone
            # with the server, and the night be ended
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            # the pages ask there; by the server's own words they would ask at its usual port
            "PREFECT_SERVER_UI_API_URL": f"http://{LOOPBACK}:{port}/api",
        },
    )


def _worker_plan(environment: Environment, logs: Path, *, needs: list[str]) -> ServerPlan:
    return ServerPlan(
        name=WORKER,
        command=(sys.executable, "-m", "flows", "worker"),
        port=None,
        change="",
        health="",
        log=logs / "worker.log",
        settings=prefect_settings(environment) | {"PREFECT_WORKER_QUERY_SECONDS": _POLL_S},
        needs=needs,
        keeps_children=True,  # a night goes on while its worker is started anew
    )


def make_databases(environment: Environment) -> None:
    """New databases are made by one process, before servers and searches open them."""
    if _is_new(environment.mlflow_uri):
        from cnn.tracking.client import connect

        connect(environment)
    if not environment.optuna_url.startswith("sqlite:///") or _is_new(environment.optuna_url):
        from cnn.search.engines.optuna_mirror import make_storage

        make_storage(environment.optuna_url)


def _is_new(uri: str) -> bool:
    """Whether it is an sqlite file that nobody has written to yet."""
    path = sqlite_file(uri)
    return uri.startswith("sqlite:///") and not (path.exists() and path.stat().st_size)

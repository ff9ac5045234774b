"""`python -m flows nightly | reconcile`, and the service's `worker | engine | deploy`.

Settles what Prefect reads at its import, then runs a flow.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cnn.config.environment import Environment, read_environment
from cnn.durable import storage_errors
from cnn.errors import ServiceError, UserError
from cnn.runtime import silence, warn_on_screen
from cnn.service.plans import NIGHTS_LOG, PREFECT, check_prefect, prefect_settings, work_pool
from cnn.service.ports import answers
from cnn.service.state import is_up, present_state
from cnn.tracking.server import check_server
from flows.settings import checked_params

_PATIENCE_S, _PAUSE_S = 180.0, 0.5
_START_SETTING = "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"


def main() -> int:
    """Run a flow; a user's mistake ends in one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m flows")
    flows = parser.add_subparsers(dest="flow", required=True)
    nightly = flows.add_parser("nightly", help="a whole night")
    nightly.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    flows.add_parser("reconcile", help="compare studies, MLflow and Prefect, and end what is dead")
    flows.add_parser("worker", help="take what is due, as a part of the service")
    flows.add_parser("engine", help="run the flow that a worker has taken")
    flows.add_parser("deploy", help="have Prefect take the deployments").add_argument("file", type=Path)
    words = parser.parse_args()
    # a shell starts what it puts into the background deaf to SIGINT, by which `cnn nightly` ends a night
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _settle_prefect()
        return _FLOWS[words.flow](words)
    except UserError as error:
        return _refused(error)
    except RuntimeError as error:
        if "ephemeral" not in str(error):
            raise
        change = f"end what keeps this machine busy, or raise {_START_SETTING}"
        expected = f"one of its own within {os.environ.get(_START_SETTING)} s"
        return _refused(ServiceError("Prefect's server", received="no answer", expected=expected, change=change))
    except KeyboardInterrupt:
        print("cnn: interrupted; the next night goes on where this one stopped", file=sys.stderr)
        return 130


def _refused(error: UserError) -> int:
    print(f"cnn: {error}", file=sys.stderr)
    return 2


def _settle_prefect() -> None:
    """Prefect's own database lies with everything else, unless the user's environment says otherwise."""
    silence()
    warn_on_screen()
    environment = read_environment()
    home = environment.prefect_home
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    if is_up(environment):  # its server, and not a second one on the same database
        os.environ.update(prefect_settings(environment))
        _wait_for_prefect(environment)
    else:
        check_prefect()
    os.environ.setdefault(_START_SETTING, "600")  # Prefect's own 20 s are few on a busy machine
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # the night speaks for itself


def _wait_for_prefect(environment: Environment) -> None:
    """A server that has died is up again within a minute."""
    state = present_state(environment)
    unit = next((unit for unit in state.units if unit.name == PREFECT), None) if state else None
    port = int(unit.address.rpartition(":")[2]) if unit else None
    deadline = time.monotonic() + _PATIENCE_S
    while port and not answers(port, "/api/health"):
        if time.monotonic() > deadline:
            expected, change = "an answer", "see cnn status, or end the service: cnn down"
            raise ServiceError("the service's Prefect", received="silence", expected=expected, change=change)
        time.sleep(_PAUSE_S)


def _nightly(words: argparse.Namespace) -> int:
    """Settings are checked before Prefect's import takes its time."""
    overrides = words.overrides
    checked_params(overrides)
    check_server(read_environment().mlflow_uri)
    from flows.nightly import run_night

    return run_night(overrides)


def _reconcile(_: argparse.Namespace) -> int:
    from flows.reconcile import reconcile_all

    for sentence in reconcile_all() or ["all ledgers agree: nothing to do"]:
        print(sentence)
    return 0


def _worker(_: argparse.Namespace) -> int:
    import asyncio

    from flows.worker import work

    asyncio.run(work(read_environment()))
    return 0


def _engine(_: argparse.Namespace) -> int:
    from flows.engine import run_engine

    return run_engine(read_environment().service / NIGHTS_LOG)


def _deploy(words: argparse.Namespace) -> int:
    from flows.deployments import deploy

    os.environ["PWD"] = str(Path.cwd())  # whoever has started this may have come from another folder
    return deploy(words.file, work_pool(read_environment()))


_FLOWS: dict[str, Callable[[argparse.Namespace], int]] = {
    "nightly": _nightly,
    "reconcile": _reconcile,
    "worker": _worker,
    "engine": _engine,
    "deploy": _deploy,
}


if __name__ == "__main__":
    sys.exit(main())

"""`python -m flows nightly | reconcile`: settles what Prefect reads at its import, then runs a flow."""

import argparse
import os
import signal
import sys

from cnn.config.environment import read_environment
from cnn.durable import storage_errors
from cnn.errors import UserError
from cnn.runtime import silence, warn_on_screen
from cnn.tracking.server import check_server
from flows.settings import checked_params


def main() -> int:
    """Run a flow; a user's mistake ends in one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m flows")
    flows = parser.add_subparsers(dest="flow", required=True)
    nightly = flows.add_parser("nightly", help="a whole night")
    nightly.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    flows.add_parser("reconcile", help="compare studies, MLflow and Prefect, and end what is dead")
    words = parser.parse_args()
    # a shell starts what it puts into the background deaf to SIGINT, by which `cnn nightly` ends a night
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _settle_prefect()
        return _nightly(words.overrides) if words.flow == "nightly" else _reconcile()
    except UserError as error:
        print(f"cnn: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("cnn: interrupted; the next night goes on where this one stopped", file=sys.stderr)
        return 130


def _settle_prefect() -> None:
    """Prefect's own database lies with everything else, unless the user's environment says otherwise."""
    silence()
    warn_on_screen()
    home = read_environment().home / "prefect"
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")  # 20 s are few on a busy machine
    os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")  # the night speaks for itself


def _nightly(overrides: list[str]) -> int:
    """Settings are checked before Prefect's import takes its time."""
    checked_params(overrides)
    check_server(read_environment().mlflow_uri)
    from flows.nightly import run_night

    return run_night(overrides)


def _reconcile() -> int:
    from flows.reconcile import reconcile_all

    for sentence in reconcile_all() or ["all ledgers agree: nothing to do"]:
        print(sentence)
    return 0


if __name__ == "__main__":
    sys.exit(main())

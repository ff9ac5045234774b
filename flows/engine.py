"""A flow run in a process of its own, as a worker starts it."""

import os
import runpy
import sys
from pathlib import Path


def run_engine(log: Path) -> int:
    """Run what the environment names; what it prints goes into a log of its own.

    A pipe to the worker would break with it, and the night with the pipe.
    """
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.argv = ["prefect.engine"]
    runpy.run_module("prefect.engine", run_name="__main__")
    return 0

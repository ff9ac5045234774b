"""Seeds, threads, devices, silence and life of a process."""

import hashlib
import logging
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import subprocess

    import psutil

_PATIENCE_S, _PAUSE_S = 60.0, 0.05

QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
"""Settings that keep the libraries from reporting their use to their makers."""

_WITHOUT_CHATTER = (
    "import os, sys; sys.stdout = open(os.devnull, 'w'); from dvc.cli import main; sys.exit(main(sys.argv[1:]))"
)
DVC = (sys.executable, "-c", _WITHOUT_CHATTER)
"""DVC as a command whose everyday words go nowhere; its complaints, and all that a stage says, stay.

`--quiet` would take the complaints too.
"""

_UNUSED = ("sklearn", "matplotlib")
"""What Keras imports where it is installed, for wrappers and plots that nothing here uses: a quarter of its start."""

_BANNER = re.compile(rb"[IW]\d{4} |WARNING: All log messages before absl::InitializeLog")
"""How TensorFlow's C++ log begins a line that is no error. At import it heeds no log level."""


def derived_seed(*parts: object) -> int:
    """A seed in [0, 2**31) that is a function of the parts alone, the same on every machine.

    Example:
        >>> derived_seed(0, "trial", 7) == derived_seed(0, "trial", 7) != derived_seed(0, "trial", 8)
        True
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def silence() -> None:
    """Telemetry off, in this process and those it starts, unless the user's environment says otherwise."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def warn_on_screen() -> None:
    """What our own parts have to say, from warnings up, in one line each, whatever other libraries do to logging."""
    handler = _ToStderr()
    handler.setFormatter(logging.Formatter("cnn: %(message)s"))
    for name in ("cnn", "flows"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.WARNING)


class _ToStderr(logging.StreamHandler[TextIO]):
    """Writes to what `sys.stderr` is by then: a live table takes its place, and shows above itself what is written."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_process(*, threads: int | None, quiet: bool = True) -> None:
    """Settle what TensorFlow reads once in the life of a process, and import it.

    To be called before anything computes: later, TensorFlow's threads are already there. A GPU's memory is taken as it
    is needed, so that several workers can share one.

    Args:
        threads: Threads an operation uses, and operations at once; 1 or more; None: one a core.
        quiet: Keep TensorFlow's notices off the screen; errors stay.
    """
    silence()
    os.environ.update(_frameworks(threads))
    if not quiet:
        with _hidden(*_UNUSED):
            import tensorflow  # noqa: TID251
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # each trial's own pipeline and network are traced anew, which TensorFlow takes for a mistake
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _without_banner(), _hidden(*_UNUSED):
        import tensorflow  # noqa: F401, TID251


def cpu_count_available() -> int:
    """Processors this process may use: affinity and a container's quota respected; 1 or more."""
    import joblib

    return int(joblib.cpu_count())


def is_alive(process: "psutil.Process | int") -> bool:
    """Whether a process still runs.

    A zombie does not: it is dead, and only its exit code has not been asked for. In a container whose first process
    asks for none it lies there for ever.

    Args:
        process: Itself, or its id, which the system may have given to another one since.
    """
    import psutil

    with suppress(psutil.Error):
        found = psutil.Process(process) if isinstance(process, int) else process
        return bool(found.is_running() and found.status() != psutil.STATUS_ZOMBIE)
    return False


def end_tree(process: "subprocess.Popen[Any]", *, spare: str = "") -> None:
    """End a process and all that it has started, and wait: first asked to, after a minute killed.

    DVC is not waited for alone: it ends as soon as the shell it runs a stage in has, while the stage still keeps what
    it found.

    Args:
        spare: A word on the command lines of those that somebody else among them ends.
    """
    import psutil

    children: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(process.pid).children(recursive=True)
    told = []
    for child in children:
        with suppress(psutil.Error):
            if not spare or spare not in child.cmdline():
                child.terminate()
                told.append(child)
    deadline = time.monotonic() + _PATIENCE_S
    while (process.poll() is None or any(map(is_alive, told))) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    for late in [process, *told]:
        with suppress(psutil.Error):
            late.kill()
    process.wait()


def devices() -> list[str]:
    """What TensorFlow can compute on: `CPU`, and each GPU by its model's name."""
    import tensorflow as tf  # noqa: TID251

    gpus = tf.config.list_physical_devices("GPU")
    return ["CPU", *(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus)]


def _frameworks(threads: int | None) -> dict[str, str]:
    settings = {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    if threads is not None:
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        settings |= dict.fromkeys(names, str(threads))
    return settings


@contextmanager
def _hidden(*modules: str) -> Iterator[None]:
    """Modules that are not loaded yet cannot be imported meanwhile."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: as if it were not installed
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _without_banner() -> Iterator[None]:
    """Hold back what is written to the error stream meanwhile, then pass on all of it but TensorFlow's notices."""
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
            held.seek(0)
            for line in held:
                if not _BANNER.match(line):
                    os.write(2, line)

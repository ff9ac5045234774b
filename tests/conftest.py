"""Every test session has a home of its own, sends no telemetry and sees no setting of the person who runs it."""

import os
import shutil
import tempfile

import psutil
import pytest
from hypothesis import settings

from cnn.runtime import cpu_count_available

QUIET = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
HOME = pytest.StashKey[str]()
WORKER_BYTES = 4 << 30  # a test that has loaded TensorFlow may start a search whose workers load it too

# Two noisy cores decide about no test, and neither does chance.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_configure(config):
    for name in [name for name in os.environ if name.startswith("CNN_")]:
        del os.environ[name]
    config.stash[HOME] = tempfile.mkdtemp(prefix="cnn-home-")
    os.environ.update(QUIET, CNN_HOME=config.stash[HOME])


def pytest_unconfigure(config):
    shutil.rmtree(config.stash[HOME], ignore_errors=True)


def pytest_xdist_auto_num_workers():
    """What `-n auto` means here: one more than there are processors, quotas respected, if there is memory for it.

    An eighth of the time a test waits for servers that come up, or for processes to end.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # the person decides
    return max(1, min(cpu_count_available() + 1, psutil.virtual_memory().total // WORKER_BYTES))

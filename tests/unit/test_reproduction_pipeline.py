"""A reproduction that is told to stop ends what it has started: no training goes on in a folder that is removed."""

import signal
import subprocess
import sys
import time

import psutil
import pytest

CODE = """
import signal
import sys
from pathlib import Path

import typer

from cnn.cli.calls import interruptible
from cnn.config.environment import Environment
from cnn.reproduction.pipeline import Pipeline
from cnn.reproduction.worktree import Place

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever started the tests may have been deaf to it
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = Path(sys.argv[1])
place = Place(folder=folder, project=folder, home=folder / "home", kept=folder / "kept")
pipeline = Pipeline(place, folder, Environment(home=folder / "home"))
pipeline.begin()
try:
    with interruptible():
        pipeline.run("train")
except typer.Exit as ending:
    sys.exit(ending.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_reproduction_that_is_ended_ends_its_training(number, tmp_path):
    (tmp_path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: echo begun > begun; exec sleep 600\n")
    started = []
    process = subprocess.Popen([sys.executable, "-c", CODE, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    try:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.1)
        started = psutil.Process(process.pid).children(recursive=True)
        assert any("sleep" in child.cmdline() for child in started)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        left = psutil.wait_procs(started, timeout=5)[1]
        for child in left:
            child.kill()
        process.wait()
        process.stderr.close()
    # It says so in a line, and neither DVC nor what DVC has started lives on.
    assert process.returncode == 130 and said.splitlines()[-1] == "cnn: interrupted", said
    assert left == []

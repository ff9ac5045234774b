"""DVC as a command: what a night may expect of a stage, of Ctrl-C and of a remote. Real DVC, stages of one line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from making import LONG_STAGE

from cnn.errors import ConfigError
from cnn.runtime import is_alive
from flows import stages

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STAGES = f"""
stages:
  long:
    cmd: {sys.executable} long.py
  mistaken:
    cmd: {sys.executable} -c "import sys; print('cnn', 'wrong', sep=chr(58) + ' ', file=sys.stderr); sys.exit(2)"
  prepare:
    cmd: echo read >> read.log && echo data > data.txt
    outs:
      - data.txt
"""

NIGHT = """
import signal
from flows.stages import run_stage
signal.signal(signal.SIGINT, signal.default_int_handler)
run_stage("long")
"""


def dvc(*words):
    subprocess.run([sys.executable, "-m", "dvc", *words], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The folder a night would run in, with its DVC stages."""
    monkeypatch.chdir(tmp_path)
    dvc("init", "--quiet", "--no-scm")
    Path("dvc.yaml").write_text(STAGES)
    Path("long.py").write_text(LONG_STAGE)
    return tmp_path


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the night alone", "to the whole terminal"])
def test_ctrl_c_ends_the_stage_before_the_night(checkout, send, shell):
    command = [sys.executable, "-c", NIGHT]
    # DVC runs a stage in the user's shell, of which some stay between the two and some do not.
    settings = os.environ | {"PYTHONPATH": str(ROOT), "SHELL": shell}
    night = subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True, start_new_session=True)
    stage = process_of(checkout / "begun", night)
    descendants = psutil.Process(night.pid).children(recursive=True)
    send(night.pid, signal.SIGINT)
    said = night.communicate(timeout=90)[1]
    left = list(filter(is_alive, descendants))
    for process in left:
        process.kill()
    # It was told, not killed: it came to its own good end, as a search that keeps what it found.
    assert (checkout / "ended_well").exists(), said
    # When the night is gone nothing of it is left: neither the stage nor DVC.
    assert stage in descendants
    assert left == []
    # Ctrl-C it was.
    assert "KeyboardInterrupt" in said


def process_of(file, night):
    """The process that has written its id there."""
    while not (file.exists() and file.read_text()):
        assert night.poll() is None, night.communicate()
        time.sleep(0.05)
    return psutil.Process(int(file.read_text()))


def test_a_lock_of_the_dead_is_mended(checkout):
    lock = checkout / ".dvc" / "tmp" / "rwlock"
    # Killed, and nobody asks for its exit code: it stays in the list of processes, as in a container without an init.
    dead = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    dead.kill()
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    holder = {"pid": dead.pid, "cmd": "dvc repro prepare"}
    for left in ("", "{", json.dumps({str(checkout / "data.txt"): {"write": holder, "read": [holder]}})):
        lock.write_text(left)
        (checkout / "data.txt").unlink(missing_ok=True)
        stages.run_stage("prepare", force=True)
        # DVC does not stumble over it.
        assert (checkout / "data.txt").exists()
    dead.wait()


def test_a_lock_of_the_living_is_left(checkout):
    lock = checkout / ".dvc" / "tmp" / "rwlock"
    lock.write_text(json.dumps({str(checkout / "data.txt"): {"write": {"pid": os.getpid(), "cmd": "dvc repro"}}}))
    # Another DVC is at work on that file: DVC refuses, and its lock stays.
    with pytest.raises(stages.StageError):
        stages.run_stage("prepare", force=True)
    assert str(os.getpid()) in lock.read_text()


def test_a_forced_stage_reads_its_source_anew(checkout):
    for force in (False, False, True):
        stages.run_stage("prepare", force=force)
    # Nothing DVC knows of has changed: the second run has nothing to do, the forced one reads all the same.
    assert (checkout / "read.log").read_text() == "read\n" * 2


def test_a_stages_exit_code_is_the_nights(checkout, capfd):
    with pytest.raises(stages.StageError) as caught:
        stages.run_stage("mistaken")
    # The stage has said what is wrong, and DVC adds nothing to it.
    assert capfd.readouterr().err == "cnn: wrong\n"
    # A user's mistake stays one: exit code 2, and trying again is no help.
    assert caught.value.code == 2
    # The night's record keeps what it has said.
    assert caught.value.reason == "wrong"


def test_a_night_is_saved_where_git_knows_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init", "--quiet")
    Path("dvc.yaml").write_text(STAGES)
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    subprocess.run(["git", *identity, "commit", "--quiet", "--all", "--message", "begin"], check=True)
    stages.run_stage("prepare")
    Path("begun.txt").write_text("for the next commit")
    subprocess.run(["git", "add", "begun.txt"], check=True)
    staged = ["git", "diff", "--cached", "--name-only"]
    before = subprocess.run(staged, check=True, capture_output=True, text=True).stdout.split()
    # As on a machine on which nobody has ever committed.
    assert stages.save("night-1") == "saved as DVC experiment night-1"
    # What a person had staged is staged still.
    assert "begun.txt" in before
    assert subprocess.run(staged, check=True, capture_output=True, text=True).stdout.split() == before
    Path("dvc.yaml").write_text("stages: [")
    # What is wrong is said, not where DVC's support is.
    assert "not saved as a DVC experiment: " in (said := stages.save("night-2")) and "support" not in said


def test_a_remote_that_nobody_configured_is_told(checkout):
    # One line that names the variable, what stood in it, and the cure.
    with pytest.raises(ConfigError, match=r"CNN_DVC_REMOTE: received stroe; .*dvc remote add stroe") as caught:
        stages.check_remote("stroe")
    assert "\n" not in str(caught.value) and "expected a configured remote" in str(caught.value)
    dvc("remote", "add", "--quiet", "store", str(checkout / ("far away" * 20) / "store"))
    # The ones there are, however long the way to them.
    with pytest.raises(ConfigError, match="expected one of store;"):
        stages.check_remote("stroe")
    stages.check_remote("store")


def test_a_remote_that_cannot_be_reached_costs_the_night_nothing(checkout, caplog):
    stages.run_stage("prepare")
    (checkout / "file").touch()
    dvc("remote", "add", "--quiet", "lost", str(checkout / "file" / "store"))
    # What a night has found stays here, and a sentence says so.
    assert stages.push("lost").startswith("not pushed to lost: ")
    forget_data(checkout)
    # The data come from their source then, and the screen says why.
    assert not stages.pull("lost")
    assert "dvc pull" in caplog.text


def forget_data(checkout):
    """As a clone has it: the lock, and neither data nor cache."""
    (checkout / "data.txt").unlink()
    shutil.rmtree(checkout / ".dvc" / "cache")


def test_what_was_pushed_can_be_pulled(checkout):
    stages.run_stage("prepare")
    dvc("remote", "add", "--quiet", "store", str(checkout / "store"))
    # A folder that does not exist yet is made by the first push.
    assert stages.push("store") == "pushed to store"
    forget_data(checkout)
    assert stages.pull("store")
    assert (checkout / "data.txt").read_text() == "data\n"

"""Nights that end early, with real Prefect and real DVC over stages of one line."""

import os
import signal
import sys
import time

import psutil
import pytest
from making import LONG_STAGE

from cnn.nights import Nights
from cnn.runtime import is_alive

pytestmark = pytest.mark.slow

SEARCHES_IN_VAIN = """
import sys
from cnn.config.environment import read_environment
from cnn.search.study import open_study

environment = read_environment()
with open_study(environment.studies, "digest", night=environment.night) as study:
    study.finish(winner=False)
print("cnn: search: received 2 trials and none with a model; expected at least one", file=sys.stderr)
sys.exit(2)
"""


def stages(project, **scripts):
    """A DVC checkout whose stages are these scripts; the step without a script does nothing."""
    for name in ("prepare", "search"):
        (project.folder / f"{name}.py").write_text(scripts.get(name, ""))
    lines = [f"  {name}: {{cmd: {sys.executable} {name}.py}}" for name in ("prepare", "search")]
    (project.folder / "dvc.yaml").write_text("\n".join(["stages:", *lines, ""]))
    (project.folder / ".dvc" / "tmp").mkdir(parents=True)
    (project.folder / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    return project


def to_the_flow(night):
    (flow,) = psutil.Process(night.pid).children()
    flow.send_signal(signal.SIGINT)


def to_the_terminal(night):
    os.killpg(night.pid, signal.SIGINT)


@pytest.mark.parametrize("send", [to_the_flow, to_the_terminal])
def test_ctrl_c_ends_the_night_and_all_it_has_started(send, new_project, tmp_path):
    project = stages(new_project(tmp_path / "project", tmp_path / "home"), prepare=LONG_STAGE)
    night = project.start("nightly")
    while not (project.folder / "begun").exists():
        # It has not ended before.
        assert night.poll() is None, night.communicate()
        time.sleep(0.1)
    started = psutil.Process(night.pid).children(recursive=True)
    send(night)
    said, _ = night.communicate(timeout=120)
    # One line, which says how to go on, and the exit code of Ctrl-C.
    assert night.returncode == 130, said
    assert said.splitlines()[-1] == "cnn: interrupted; the next night goes on where this one stopped"
    # The stage was told and has ended by itself; nothing is left, not even Prefect's server.
    assert (project.folder / "ended_well").exists()
    assert list(filter(is_alive, started)) == []
    # The night is open: the next start goes on with it.
    (record,) = Nights(project.home / "nights").all()
    assert not record.finished and not record.searched


def test_a_night_in_the_background_hears_kill(new_project, tmp_path):
    """A shell starts what it puts into the background with SIGINT ignored, and that is inherited."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        project = stages(new_project(tmp_path / "project", tmp_path / "home"), prepare=LONG_STAGE)
        night = project.start("nightly")
    finally:
        signal.signal(signal.SIGINT, before)
    while not (project.folder / "begun").exists():
        # It has not ended before.
        assert night.poll() is None, night.communicate()
        time.sleep(0.1)
    night.terminate()
    said, _ = night.communicate(timeout=120)
    # It ends as by Ctrl-C, and its stage well before it.
    assert night.returncode == 130, said
    assert (project.folder / "ended_well").exists()


def test_a_night_without_a_winner_ends_as_its_search_did(project):
    project = stages(project, search=SEARCHES_IN_VAIN)
    code, said = project.run("nightly")
    # The search's exit code, and its own line alone: no traceback, no word of DVC or Prefect about it.
    assert code == 2, said
    assert [line for line in said.splitlines() if "none with a model" in line] == [said.splitlines()[-1]]
    assert "Traceback" not in said and "ERROR" not in said
    (record,) = Nights(project.home / "nights").all()
    assert (record.finished, record.verdict) == (True, "no trial brought a model")

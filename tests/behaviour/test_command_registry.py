"""Commands about the champion through the real command line: where there is none, each says so in a line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from servers import free_port

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A command in a folder with our params.yaml, always the same home."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "params.yaml", folder)

    def command(*words, **variables):
        settings = os.environ | {"CNN_HOME": str(folder / "home")} | variables
        words = [sys.executable, "-m", "cnn", *words]
        return subprocess.run(words, cwd=folder, env=settings, check=False, capture_output=True, text=True, timeout=300)

    return command


def test_a_history_in_which_nothing_has_happened(run):
    answer = run("history")
    assert (answer.returncode, answer.stdout) == (0, "nothing was decided about cnn-overnight yet: cnn promote\n")


MISTAKES = {
    "nothing to go back to": (["rollback"], "cnn-overnight: received no champion; expected one to go back to"),
    "never a champion": (["rollback", "--to", "3"], "--to: received 3; expected a version that was champion: none"),
    "no such version": (["promote", "--version", "7"], "received no version 7"),
    "no margin": (["promote", "--set", "promote.margin=1"], "promote.margin"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line(run, case):
    words, part = MISTAKES[case]
    answer = run(*words)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1), answer.stderr
    assert answer.stderr.startswith("cnn: ") and part in answer.stderr


def test_a_registry_that_does_not_answer_is_one_line(run):
    uri = f"http://127.0.0.1:{free_port()}"
    answer = run("history", CNN_TRACKING_URI=uri)
    assert (answer.returncode, answer.stderr.count("\n")) == (2, 1), answer.stderr
    assert uri in answer.stderr and "CNN_TRACKING_URI" in answer.stderr

"""Which study a search goes on with."""

import os
import signal
import subprocess
import sys

import pytest

from cnn.errors import ServiceError
from cnn.search.study import is_busy, open_study


def test_an_unfinished_study_of_the_same_kind_is_gone_on_with(tmp_path):
    with open_study(tmp_path, "abcdef1234") as first:
        assert not first.resumed
    with open_study(tmp_path, "abcdef1234") as second:
        # Same digest, not finished: the same study.
        assert second.resumed
        assert second.name == first.name


def test_a_finished_study_is_left_alone(tmp_path):
    with open_study(tmp_path, "abcdef1234") as first:
        first.finish()
    with open_study(tmp_path, "abcdef1234") as second:
        # The next search of the same kind is a new study with a name of its own.
        assert not second.resumed
        assert second.name != first.name


def test_another_kind_of_search_is_another_study(tmp_path):
    with open_study(tmp_path, "abcdef1234") as first:
        pass
    with open_study(tmp_path, "abcdef1299") as second:
        # Even though the names begin alike.
        assert second.name != first.name


def test_a_nights_study_is_never_searched_twice(tmp_path):
    with open_study(tmp_path, "abcdef1234", night="night-1") as first:
        first.finish()
    with open_study(tmp_path, "abcdef1234", night="night-1") as second:
        # When the night's stage runs again, its finished study is opened, with nothing left to do.
        assert second.resumed
        assert second.name == first.name == "night-1"


def test_two_searches_cannot_share_a_study(tmp_path):
    with open_study(tmp_path, "abcdef1234") as study:
        assert is_busy(study.folder)
        # The second one is told who is there.
        with pytest.raises(ServiceError, match=str(os.getpid())), open_study(tmp_path, "abcdef1234"):
            pass
    assert not is_busy(study.folder)


def test_a_killed_search_holds_no_study(tmp_path):
    script = f"""
import pathlib, time
from cnn.search.study import open_study
with open_study(pathlib.Path({str(tmp_path)!r}), "abcdef1234"):
    print("open", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert next(holder.stdout) == "open\n"
        assert is_busy(tmp_path / "study-abcdef12")
        os.kill(holder.pid, signal.SIGKILL)
    # The kernel has let go of the lock.
    with open_study(tmp_path, "abcdef1234") as study:
        assert study.resumed

"""Which study a search goes on with."""

import os
import signal
import subprocess
import sys
import time

import pytest

from cnn.errors import ServiceError
from cnn.records import Cost, Outcome, Proposal, TrialState
from cnn.search.job import JobId
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


def checkpoint(study, job):
    folder = study.trial_folder(job)
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(b"w")
    return folder


def test_checkpoints_of_trials_that_are_over_do_not_stay(tmp_path):
    ended, under_way = JobId(0), JobId(1)
    with open_study(tmp_path, "abcdef1234") as study:
        for job in (ended, under_way):
            study.ledger.begin(job, Proposal(number=job.number, values={}, epochs=1), seed=0)
        folders = [checkpoint(study, job) for job in (ended, under_way)]
        outcome = Outcome(number=0, state=TrialState.COMPLETED, reason="all epochs", curve=(), cost=Cost())
        # The kill comes here: the ledger knows the end, the checkpoint still lies there.
        study.ledger.finish(ended, outcome, elapsed_s=1.0)
    with open_study(tmp_path, "abcdef1234"):
        # The next start removes it, and keeps the one that is gone on from.
        assert [folder.exists() for folder in folders] == [False, True]


def test_checkpoints_of_abandoned_studies_do_not_stay(tmp_path):
    names = ("left", "recent", "held")
    folders = {}
    for name in names:
        with open_study(tmp_path, name, night=name) as study:
            folders[name] = checkpoint(study, JobId(0))
    month_ago = time.time() - 32 * 24 * 3600
    for name in ("left", "held"):
        for path in (folders[name] / "weights", folders[name], folders[name].parent):
            os.utime(path, (month_ago, month_ago))
    with open_study(tmp_path, "held", night="held"), open_study(tmp_path, "other"):
        # Gone is what nobody has touched for a month and nobody holds now.
        assert {name: folder.exists() for name, folder in folders.items()} == {
            "left": False,
            "recent": True,
            "held": True,
        }
    # What the study has found out stays.
    assert (tmp_path / "left" / "ledger.db").exists()

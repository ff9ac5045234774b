"""Which night a start goes on with."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from cnn.errors import ServiceError
from cnn.nights import Nights

HERE, THERE = Path("/here"), Path("/there")


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path / "nights")


def long_ago(nights, night):
    return nights.write(night, began=(datetime.now().astimezone() - timedelta(days=1)).isoformat())


def test_an_unfinished_night_is_gone_on_with(nights):
    first = nights.open(HERE, "settings")
    # The same checkout and settings: the same night, a day later too, for its search is not over.
    assert nights.open(HERE, "settings") == first
    assert nights.open(HERE, "settings").name == long_ago(nights, first).name


def test_a_finished_night_is_not(nights):
    first = nights.write(nights.open(HERE, "settings"), finished=True)
    assert nights.open(HERE, "settings").name != first.name


def test_other_settings_or_another_checkout_are_another_night(nights):
    names = {nights.open(HERE, "settings").name, nights.open(THERE, "settings").name, nights.open(HERE, "others").name}
    assert len(names) == 3


def test_a_night_that_changed_settings_leave_behind_is_closed(nights):
    superseded, elsewhere = nights.open(HERE, "settings"), nights.open(THERE, "settings")
    latest = nights.open(HERE, "others")
    # Nothing will ever go on with it, and its record says so; another checkout's night is none of its business.
    assert nights.read(superseded.name).finished
    assert nights.read(superseded.name).verdict == "given up: the settings changed"
    assert [night.finished for night in map(nights.read, (elsewhere.name, latest.name))] == [False, False]
    # The settings of before do not bring it back.
    assert nights.open(HERE, "settings").name not in (superseded.name, latest.name)


def test_a_night_that_failed_after_its_search_does_not_swallow_the_next(nights):
    searched = nights.write(nights.open(HERE, "settings"), searched=True)
    # An hour later its rest is made up for.
    assert nights.open(HERE, "settings").name == searched.name
    long_ago(nights, searched)
    # The next night searches: a new one, and the old one is closed with its reason.
    assert nights.open(HERE, "settings").name != searched.name
    assert nights.read(searched.name).finished
    assert "failed" in nights.read(searched.name).verdict


def test_only_the_latest_night_counts(nights):
    old = long_ago(nights, nights.open(HERE, "settings"))
    nights.write(nights.open(HERE, "others"), finished=True)
    # Since then another night has come to its end: the old one stays behind.
    assert nights.open(HERE, "settings").name != old.name


def test_two_checkouts_that_start_at_once_get_two_nights(nights):
    with ThreadPoolExecutor(8) as starts:
        names = set(starts.map(lambda number: nights.open(Path(f"/{number}"), "settings").name, range(8)))
    # No two share a record.
    assert len(names) == 8


def test_one_night_at_a_time_in_a_checkout(nights):
    with nights.in_checkout(HERE):
        with nights.in_checkout(THERE):
            pass
        # The second one is told who is there.
        with pytest.raises(ServiceError, match=str(os.getpid())), nights.in_checkout(HERE):
            pass


def test_a_killed_night_is_not_alive(nights, tmp_path):
    script = f"""
import pathlib, time
from cnn.nights import Nights
with Nights(pathlib.Path({str(tmp_path / "nights")!r})).alive("night-1"):
    print("alive", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        assert next(holder.stdout) == "alive\n"
        assert nights.runs("night-1")
        os.kill(holder.pid, signal.SIGKILL)
    # The kernel has let go of it.
    assert not nights.runs("night-1")


def test_a_damaged_record_is_left_out_and_the_others_stay(nights, tmp_path):
    kept = nights.open(HERE, "settings")
    (tmp_path / "nights" / "night-torn.json").write_text('{"name": "night-to')
    assert [night.name for night in nights.all()] == [kept.name]

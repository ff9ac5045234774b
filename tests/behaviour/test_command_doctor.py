"""`cnn doctor`: what is wrong is found, named, and comes with its mend."""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from cnn.commands.checks import installation, machine, state
from cnn.commands.checks.finding import Grade
from cnn.config.environment import Environment
from cnn.nights import Nights
from cnn.search.study import open_study
from cnn.tracking.spool import Kind, Spool

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path):
    return Environment(home=tmp_path)


def grades(findings):
    return {finding.subject: finding.grade for finding in findings}


def tear(path):
    """A sqlite file with a table, and zeros in the middle of it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE numbers (n INTEGER)")
        db.executemany("INSERT INTO numbers VALUES (?)", ((n,) for n in range(5000)))
        db.commit()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(8192))


def test_torn_databases_are_named(environment):
    for name in ("mlflow.db", "optuna.db", "spool.db"):
        # None is missed, and none is invented before there is one.
        assert grades(state.databases(environment))[name] is Grade.OK
        tear(environment.home / name)
        (found,) = [finding for finding in state.databases(environment) if finding.subject == name]
        assert found.grade is Grade.PROBLEM and str(environment.home / name) in found.found and found.mend


def test_a_torn_ledger_of_a_study_is_named(environment):
    with open_study(environment.studies, "d" * 64) as study:
        path = study.ledger.path
    assert grades(state.databases(environment))["studies"] is Grade.OK
    path.write_bytes(path.read_bytes()[:5000])
    (found,) = [finding for finding in state.databases(environment) if finding.subject == "studies"]
    # A study is a whole night's work: its damage is a problem, told with the file's name.
    assert found.grade is Grade.PROBLEM and str(path) in found.found


def test_looking_at_a_database_does_not_change_it(environment):
    tear(environment.home / "mlflow.db")
    before = (environment.home / "mlflow.db").read_bytes()
    list(state.databases(environment))
    # A doctor mends nothing unasked.
    assert (environment.home / "mlflow.db").read_bytes() == before


def test_interrupted_and_damaged_nights_are_told_apart(environment, tmp_path):
    nights = Nights(environment.home / "nights")
    night = nights.open(tmp_path, "digest")
    with nights.alive(night.name):
        # What runs is well.
        assert grades(state.ledgers(environment))["nights"] is Grade.OK
    (found,) = [finding for finding in state.ledgers(environment) if finding.subject == "nights"]
    # What was interrupted can be gone on with.
    assert found.grade is Grade.WARNING and night.name in found.found and str(tmp_path) in found.mend
    (environment.home / f"nights/{night.name}.json").write_text('{"name": "ni')
    # What is torn is a problem.
    assert grades(state.ledgers(environment))["nights"] is Grade.PROBLEM


def test_nobody_is_told_to_go_on_with_a_night_of_other_settings(environment, tmp_path):
    nights = Nights(environment.home / "nights")
    nights.open(tmp_path, "digest")
    nights.write(nights.open(tmp_path, "others"), finished=True)
    # `make run` would begin another night, so nothing is to be mended.
    assert grades(state.ledgers(environment))["nights"] is Grade.OK


def test_a_password_in_an_address_is_not_shown(environment):
    address = "http://me:secret@127.0.0.1:9"
    (found,) = state.tracking(environment.model_copy(update={"tracking_uri": address}))
    # The server is named, and away.
    assert found.grade is Grade.PROBLEM and "http://127.0.0.1:9" in found.found and "secret" not in str(found)


def test_events_that_wait_are_counted(environment):
    spool = Spool(environment.home)
    spool.append(environment.mlflow_uri, "study/0", Kind.START, {})
    spool.close()
    (found,) = [finding for finding in state.tracking(environment) if finding.subject == "spool"]
    # What has not arrived is not lost, and the way to deliver it is named.
    assert found.grade is Grade.WARNING and "1 event" in found.found and "--reconcile" in found.mend


def test_a_remote_that_dvc_does_not_know_is_a_problem(environment):
    assert grades(state.remote(environment))["DVC remote"] is Grade.OK
    unknown = environment.model_copy(update={"dvc_remote": "nowhere"})
    # A night would fail at its first step.
    assert grades(state.remote(unknown))["DVC remote"] is Grade.PROBLEM


def test_a_port_is_free_or_taken_by_a_stranger(environment):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        taken.listen()
        chosen = environment.model_copy(update={"optuna_port": port})
        # Whoever it is, it is not ours: a server of ours would have answered.
        assert grades(machine.listeners(chosen))[f"port {port}"] is Grade.WARNING
    assert grades(machine.listeners(chosen))[f"port {port}"] is Grade.OK


def test_a_home_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    found = grades(machine.disk(Environment(home=tmp_path / "file" / "home")))
    # A file stands where the folder would have to be made.
    assert found["CNN_HOME"] is Grade.PROBLEM


def test_versions_out_of_range_are_named():
    rich = metadata.version("rich")
    wanted = [Requirement(f"rich!={rich}"), Requirement("no-such-package>=1"), Requirement("numpy")]
    # What is installed, what was wanted; what fits is not mentioned.
    assert installation.unfitnesses(wanted) == [f"rich {rich}, not !={rich}", "no-such-package is not installed"]
    # An extra that nobody asked for is not missed.
    assert installation.unfitnesses([Requirement("no-such-package; extra == 'gp'")]) == []


@pytest.mark.slow
def test_the_command_ends_with_1_when_something_must_be_mended(tmp_path):
    tear(tmp_path / "optuna.db")
    environment = os.environ | {"CNN_HOME": str(tmp_path), "COLUMNS": "200"}
    command = [sys.executable, "-m", "cnn", "doctor"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    lines = [line for line in run.stdout.splitlines() if line.startswith("problem")]
    # One problem, the torn file; a script can tell by the exit code.
    assert run.returncode == 1 and len(lines) == 1 and "optuna.db" in lines[0], run.stdout + run.stderr
    # Devices were asked for, without a framework's banner.
    assert "CPU" in run.stdout and run.stderr == ""

"""What optuna-dashboard would read, and what a broken storage or an unfit space ends in."""

import importlib.util
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna  # noqa: TID251 - read as the dashboard reads
import pytest
from making import epoch_row

from cnn.config.space import Choice, Float, Int
from cnn.errors import ConfigError, IntegrityError, ServiceError, SpaceError, UserError
from cnn.records import Outcome, TrialState
from cnn.search.engines import optuna_mirror
from cnn.search.engines.optuna import OptunaSearcher
from cnn.search.engines.searcher import StoredTrial
from cnn.search.space import Space

NUMBERS = {"rate": Float(type="float", low=0.001, high=0.1, log=True), "units": Int(type="int", low=8, high=64)}
HAS_POSTGRES = importlib.util.find_spec("psycopg2") is not None
CHOICE = Choice(type="choice", values=("adam", "sgd"))
FINAL = {state.name: state for state in optuna.trial.TrialState}


def searcher(url: str, *, sampler: str = "tpe", study: str = "night", space: dict | None = None) -> OptunaSearcher:
    return OptunaSearcher(
        Space(space or NUMBERS),
        seed=3,
        epochs=3,
        sampler=sampler,
        pruner="none",
        storage_url=url,
        study_name=study,
    )


def begun(url: str, **words) -> OptunaSearcher:
    made = searcher(url, **words)
    made.restore((), "")
    return made


def seen(url: str, study: str = "night") -> list[optuna.trial.FrozenTrial]:
    """What another process reads from the storage."""
    return optuna.load_study(study_name=study, storage=url).trials


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'deep' / 'optuna.db'}"


def test_the_dashboard_sees_a_trial_live(url):
    engine = begun(url)
    proposal = engine.ask(0)
    engine.report(0, 0, 0.4)
    (trial,) = seen(url)
    # While it runs: its values, its number and its scores, epochs counted from 1.
    assert trial.state is FINAL["RUNNING"]
    assert trial.params == proposal.values
    assert trial.user_attrs["number"] == 0
    assert trial.intermediate_values == {1: 0.4}
    engine.report(0, 1, 0.7)
    engine.tell(
        Outcome(number=0, state=TrialState.COMPLETED, reason="all epochs", curve=(epoch_row(0, 0.4), epoch_row(1, 0.7)))
    )
    (trial,) = seen(url)
    # Afterwards: its best score.
    assert trial.state is FINAL["COMPLETE"]
    assert trial.value == 0.7


@pytest.mark.parametrize(
    ("state", "accuracy", "expected", "value"),
    [
        (TrialState.COMPLETED, 0.5, "COMPLETE", 0.5),
        (TrialState.PRUNED, 0.5, "PRUNED", 0.5),
        (TrialState.FAILED, 0.5, "FAIL", None),
        (TrialState.COMPLETED, float("nan"), "FAIL", None),
        (TrialState.COMPLETED, None, "FAIL", None),
        (TrialState.PRUNED, None, "PRUNED", None),
    ],
)
def test_endings(url, state, accuracy, expected, value):
    engine = begun(url)
    engine.ask(0)
    curve = () if accuracy is None else (epoch_row(0, accuracy),)
    for epoch in curve:
        engine.report(0, 0, epoch.val_accuracy)
    engine.tell(Outcome(number=0, state=state, reason="scripted", curve=curve))
    (trial,) = seen(url)
    assert (trial.state, trial.value) == (FINAL[expected], value)


def test_what_the_ledger_does_not_know_is_failed(url):
    engine = begun(url)
    known = engine.ask(0)
    engine.ask(1)
    again = searcher(url)
    again.restore([StoredTrial(proposal=known)], "")
    # Trial 1 was asked for, the kill came before the ledger had it: it isn't under way, trial 0 is.
    assert [trial.state.name for trial in seen(url)] == ["RUNNING", "FAIL"]
    # Its number is proposed again, and each of our numbers is under way once.
    again.ask(1)
    running = [trial.user_attrs["number"] for trial in seen(url) if trial.state is FINAL["RUNNING"]]
    assert running == [0, 1]


def test_what_the_storage_missed_is_added(url, tmp_path):
    engine = begun(url)
    proposal = engine.ask(0)
    curve = (epoch_row(0, 0.4), epoch_row(1, 0.6))
    outcome = Outcome(number=0, state=TrialState.COMPLETED, reason="all epochs", curve=curve)
    ledger = [StoredTrial(proposal=proposal, curve=curve, outcome=outcome)]
    elsewhere = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    for place in (url, elsewhere):
        searcher(place).restore(ledger, "")
        (trial,) = seen(place)
        # Asked for but never reported nor told, or not there at all: now it is as in the ledger.
        assert (trial.state, trial.value) == (FINAL["COMPLETE"], 0.6)
        assert trial.params == proposal.values
        assert trial.intermediate_values == {1: 0.4, 2: 0.6}
        # A second start changes nothing.
        searcher(place).restore(ledger, "")
        assert len(seen(place)) == 1


def test_an_ending_told_twice_is_kept_once(url):
    engine = begun(url)
    proposal = engine.ask(0)
    outcome = Outcome(number=0, state=TrialState.COMPLETED, reason="all epochs", curve=(epoch_row(0, 0.4),))
    engine.tell(outcome)
    # The kill came between Optuna's storage and the ledger: the trial ends once more.
    again = searcher(url)
    again.restore([StoredTrial(proposal=proposal)], "")
    again.report(0, 0, 0.4)
    again.tell(outcome)
    assert [trial.state.name for trial in seen(url)] == ["COMPLETE"]


def test_two_studies_share_a_storage(url):
    first, second = begun(url, study="first"), begun(url, study="second")
    first.ask(0)
    second.ask(0)
    first.ask(1)
    # Each sees its own trials only.
    assert len(seen(url, "first")) == 2
    assert len(seen(url, "second")) == 1


def test_readers_do_not_wait_for_the_writer(url, tmp_path):
    begun(url)
    with sqlite3.connect(tmp_path / "deep" / "optuna.db") as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    assert mode == "wal"


@pytest.mark.parametrize("damage", ["torn", "text", "flipped"])
def test_a_broken_file_is_named(url, tmp_path, damage):
    engine = begun(url)
    for number in range(20):
        engine.ask(number)
    del engine
    path = tmp_path / "deep" / "optuna.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    whole = path.read_bytes()
    broken = {
        "torn": whole[: len(whole) // 2],
        "text": b"not a database at all" * 100,
        "flipped": whole[:4096] + b"\xff" * 4096 + whole[8192:],
    }
    path.write_bytes(broken[damage])
    with pytest.raises(IntegrityError) as caught:
        searcher(url)
    # One line with the file's name.
    assert "optuna.db" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_busy_file_is_not_called_damaged(url, tmp_path, monkeypatch):
    begun(url)
    monkeypatch.setattr(optuna_mirror, "_TIMEOUT_S", 0.1)
    with closing(sqlite3.connect(tmp_path / "deep" / "optuna.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        # Whoever reads this closes the other program; neither the file nor its address is at fault.
        with pytest.raises(ServiceError, match=r"optuna\.db.*locked.*close the program"):
            searcher(url, study="another")


KILLED = """
import os, signal, sys
from optuna.storages._rdb.storage import _VersionManager
from cnn.search.engines.optuna_mirror import make_storage
_VersionManager._init_alembic = lambda self: os.kill(os.getpid(), signal.SIGKILL)
make_storage(sys.argv[1])
"""


def test_a_file_that_a_kill_left_half_made_is_made_again(url, tmp_path):
    killed = subprocess.run([sys.executable, "-c", KILLED, url], check=False)
    assert killed.returncode == -signal.SIGKILL
    change(tmp_path / "deep" / "optuna.db", "DROP TABLE trials")
    change(tmp_path / "deep" / "optuna.db", "CREATE TABLE trials (half INTEGER)")
    begun(url).ask(0)
    # The new one takes a trial.
    assert [trial.state.name for trial in seen(url)] == ["RUNNING"]


def test_a_half_made_file_of_old_is_moved_away(url, tmp_path):
    begun(url)
    change(tmp_path / "deep" / "optuna.db", "ALTER TABLE studies RENAME TO away")
    change(tmp_path / "deep" / "optuna.db", "CREATE TABLE studies (half INTEGER)")
    # What the file itself is to blame for is mended by moving it away: it is a mirror.
    with pytest.raises(
        IntegrityError, match=r"optuna\.db.*no column.*move it away|optuna\.db.*no such column.*move it away"
    ):
        searcher(url)


@pytest.mark.parametrize("mishap", ["the file cannot be read", "the study is deleted"])
def test_a_storage_that_fails_later_stops_the_mirror_alone(url, tmp_path, caplog, mishap):
    engine, undisturbed = begun(url), begun(f"sqlite:///{tmp_path / 'undisturbed.db'}")
    first = engine.ask(0)
    assert first == undisturbed.ask(0)
    path = tmp_path / "deep" / "optuna.db"
    if mishap == "the file cannot be read":
        change(path, "ALTER TABLE trials RENAME TO away")
    else:
        optuna.delete_study(study_name="night", storage=url)
    curve = (epoch_row(0, 0.4),)
    outcome = Outcome(number=0, state=TrialState.COMPLETED, reason="all epochs", curve=curve)
    for each in (engine, undisturbed):
        each.report(0, 0, 0.4)
        each.tell(outcome)
    # The search goes on and decides the same as with a whole storage.
    assert engine.ask(1) == undisturbed.ask(1)
    # It is said once.
    assert caplog.text.count("does not follow this search any more") == 1
    if mishap == "the file cannot be read":
        change(path, "ALTER TABLE away RENAME TO trials")
    # The next start mends the mirror after the ledger.
    again = searcher(url)
    again.restore([StoredTrial(proposal=first, curve=curve, outcome=outcome)], "")
    assert [(trial.state, trial.value) for trial in seen(url)] == [(FINAL["COMPLETE"], 0.4)]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:///FOLDER/file/optuna.db", "StorageError"),
        ("sqlite:///FOLDER", "StorageError"),
        ("no url", "ConfigError"),
        ("postgresql://me:secret@localhost:1/optuna", "ServiceError" if HAS_POSTGRES else "ConfigError"),
        ("oracul://localhost/optuna", "ConfigError"),
    ],
)
def test_a_storage_that_does_not_answer(tmp_path, url, kind):
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as caught:
        searcher(url.replace("FOLDER", str(tmp_path)))
    assert type(caught.value).__name__ == kind
    # One line, without the password.
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_storage_without_its_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    # What is missing and how it comes, in a search as in `cnn up`.
    for start in (searcher, optuna_mirror.make_storage):
        with pytest.raises(ConfigError, match=r"CNN_STUDY_STORAGE: .*psycopg2.*cnn-overnight\[postgres\]"):
            start("postgresql://me:secret@127.0.0.1:1/optuna")


@pytest.mark.parametrize(
    ("sampler", "extra", "words"),
    [
        ("cmaes", {"name": CHOICE}, "choices (name)"),
        ("cmaes", {"depth": Int(type="int", low=1, high=3, when={"units": (8,)})}, "conditions"),
        ("qmc", {"depth": Int(type="int", low=1, high=3, when={"units": (8,)})}, "conditions"),
    ],
)
def test_samplers_that_do_not_fit_the_space(url, sampler, extra, words):
    with pytest.raises(SpaceError) as caught:
        searcher(url, sampler=sampler, space=NUMBERS | extra)
    assert words in str(caught.value)
    assert "choose tpe" in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
@pytest.mark.parametrize("pruner", ["hyperband", "median"])
def test_a_trial_is_pruned_when_optuna_itself_would_prune_it(url, pruner):
    epochs = 9
    curves = np.random.default_rng(0).uniform(0.2, 0.9, (30, 1)) * (1 - 0.6 ** np.arange(1, epochs + 1))
    ours = OptunaSearcher(
        Space(NUMBERS), seed=3, epochs=epochs, sampler="random", pruner=pruner, storage_url=url, study_name="night"
    )
    ours.restore((), "")
    judge = {"hyperband": optuna.pruners.HyperbandPruner(1, epochs), "median": optuna.pruners.MedianPruner()}[pruner]
    # Hyperband deals trials to brackets by the study's name.
    study = optuna.create_study(study_name="search", direction="maximize", pruner=judge)
    lengths = {"ours": [], "optuna": []}
    for number, scores in enumerate(curves):
        ours.ask(number)
        n = next((n for n in range(1, epochs + 1) if ours.report(number, n - 1, scores[n - 1])), epochs)
        curve = tuple(epoch_row(epoch, score) for epoch, score in enumerate(scores[:n]))
        state = TrialState.PRUNED if n < epochs else TrialState.COMPLETED
        ours.tell(Outcome(number=number, state=state, reason="", curve=curve))
        lengths["ours"].append(n)
        trial = study.ask()
        n = next((n for n in range(1, epochs) if _told(trial, n, scores)), epochs)
        if n == epochs:
            trial.report(scores[-1], epochs)
        study.tell(trial, *((None, FINAL["PRUNED"]) if n < epochs else (float(max(scores)), FINAL["COMPLETE"])))
        lengths["optuna"].append(n)
    # Each trial is stopped at the very epoch whose score condemns it.
    assert lengths["ours"] == lengths["optuna"]
    assert min(lengths["ours"]) < epochs


def _told(trial, n, scores):
    trial.report(scores[n - 1], n)
    return trial.should_prune()


def test_gp_without_torch_says_what_to_install(url):
    with pytest.raises(SpaceError, match=r"pip install 'cnn-overnight\[gp\]'"):
        searcher(url, sampler="gp")


def test_another_space_in_the_same_study_is_refused(url):
    begun(url, space=NUMBERS | {"name": CHOICE}).ask(0)
    other = begun(url, space=NUMBERS | {"name": Choice(type="choice", values=("adam", "lion"))})
    with pytest.raises(SpaceError, match="another name"):
        other.ask(0)


def test_optuna_is_quiet(url, capfd):
    engine = begun(url)
    engine.ask(0)
    # Nothing is printed beside our own table.
    assert capfd.readouterr() == ("", "")

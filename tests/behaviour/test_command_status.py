"""`cnn status`: with nothing, after a night, during a search."""

import os
import subprocess
import sys
import zipfile
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from making import epoch_row
from rich.console import Console

from cnn import wiring
from cnn.commands.status import status
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.nights import Night, Nights
from cnn.records import Outcome, Proposal, TrialState
from cnn.search.job import JobId
from cnn.search.study import open_study
from cnn.steps.promote import LEDGER
from cnn.steps.register import figure_tags, version_figures
from cnn.tracking.promotions import append_promotion
from cnn.tracking.registry import CHAMPION, Candidate
from cnn.tracking.tracker import Run, RunState

ROOT = Path(__file__).resolve().parents[2]
PARAMS = Params.model_validate(
    {
        "prepare": {"source": "digits"},
        "search": {"space": {"model.filters": {"type": "int", "low": 8, "high": 16}}, "budget": {"trials": 1}},
    }
)


@pytest.fixture
def environment(tmp_path):
    return Environment(home=tmp_path)


def screen(environment):
    console = Console(width=200, file=StringIO())
    status(PARAMS, environment, console)
    return console.file.getvalue()


def test_with_nothing_it_says_how_to_begin(tmp_path):
    environment = os.environ | {"CNN_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-X", "importtime", "-m", "cnn", "status"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    # The next step is named, and having nothing yet is no mistake.
    assert run.returncode == 0 and "no night yet: cnn nightly" in run.stdout and "no champion yet" in run.stdout
    loaded = {line.rpartition("|")[2].strip() for line in run.stderr.splitlines()}
    # It answers at once: no framework is imported to say that there is nothing.
    assert loaded.isdisjoint({"mlflow", "tensorflow", "keras", "optuna", "prefect"}) and "cnn.nights" in loaded
    # Looking changes nothing.
    assert not (tmp_path / "home").exists()


def test_a_finished_night_shows_its_verdict_and_its_durations(environment, tmp_path):
    nights = Nights(environment.home / "nights")
    night = nights.open(tmp_path, "digest")
    nights.write(night, finished=True, seconds={"search": 600.0, "train": 154.0}, verdict="version 1 is champion now")
    text = screen(environment)
    # What a person asks in the morning: which night, what came of it, how long each part and all of it took.
    for word in (night.name, "version 1 is champion now", "finished", "10:00", "2:34", "12:34"):
        assert word in text


def test_an_open_night_says_whether_it_runs_and_how_far_it_is(environment, tmp_path):
    nights = Nights(environment.home / "nights")
    night = nights.write(nights.open(tmp_path, "digest"), seconds={"prepare": 3.0, "search": 600.0})
    with nights.alive(night.name):
        # A process works on it.
        assert "under way; done so far: prepare, search" in screen(environment)
    # Nobody does, and the way on is named.
    assert "interrupted; done so far: prepare, search; cnn nightly goes on" in screen(environment)


def test_a_night_that_failed_says_where_and_why(environment, tmp_path):
    nights = Nights(environment.home / "nights")
    seconds = {"reconcile": 1.0, "prepare": 3.0}
    night = nights.write(nights.open(tmp_path, "d"), seconds=seconds, part="prepare", reason="pictures: received none")
    text = screen(environment)
    # The part that failed took its time and is not done.
    assert "done so far: reconcile; cnn nightly goes on" in text
    assert "stopped in" in text and "prepare: pictures: received none" in text
    with nights.alive(night.name):
        # Tried again, it has not stopped.
        assert "stopped in" not in screen(environment)


def test_a_search_under_way_shows_its_trials_and_the_best(environment):
    with open_study(environment.studies, "d" * 64) as study:
        for number in range(3):
            study.ledger.begin(JobId(number, 0), Proposal(number=number, values={}, epochs=1), seed=0)
        for number, accuracy in ((0, 0.25), (1, 0.75)):
            curve = (epoch_row(accuracy=accuracy),)
            ended = Outcome(number=number, state=TrialState.COMPLETED, reason="all epochs", curve=curve)
            study.ledger.finish(JobId(number, 0), ended, elapsed_s=61.0)
        text = screen(environment)
        # The ledger's truth while another process writes it.
        for word in ("under way; 1:01", "1 running, 2 completed", "0.7500 (trial 1)"):
            assert word in text
        study.finish()
    # A finished search is the night's business.
    assert "trial 1" not in screen(environment)


def test_an_interrupted_search_names_the_command_that_goes_on_with_it(environment):
    with open_study(environment.studies, "d" * 64):
        pass
    assert "interrupted; cnn search goes on with it" in screen(environment)


@pytest.mark.parametrize("suffix", ["", "-2"], ids=["its study", "its second study, on other data"])
def test_an_interrupted_search_of_a_night_is_gone_on_with_by_the_night(environment, tmp_path, suffix):
    nights = Nights(environment.home / "nights")
    began = "2026-11-24T01:00:00.000+00:00"
    night = Night(name="night-2026-11-24-0100", checkout=str(tmp_path), params_digest="digest", began=began)
    nights.write(night)
    with open_study(environment.studies, "d" * 64, night=f"{night.name}{suffix}"):
        pass
    # `cnn search` would begin a study of its own.
    assert "interrupted; cnn nightly goes on with it" in screen(environment)
    nights.open(tmp_path, "others")
    # Neither does the next night go on with it.
    text = screen(environment)
    assert "interrupted; its night is over: nothing goes on with it" in text
    assert "interrupted; cnn nightly goes on" not in text and "cnn search" not in text


@pytest.mark.slow
def test_a_tracking_server_that_answers_nothing_is_one_line(tmp_path):
    environment = os.environ | {"CNN_HOME": str(tmp_path), "CNN_TRACKING_URI": "http://me:secret@127.0.0.1:9"}
    command = [sys.executable, "-m", "cnn", "status"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    # The address is named in one line, after what this disk knows, and its password nowhere.
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "http://127.0.0.1:9" in run.stderr
    assert "no night yet" in run.stdout and "secret" not in run.stdout + run.stderr


def candidate(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    trained = {"best_val_accuracy": 0.74, "gap_at_best": 0.03}  # as train.json and evaluate.json have them
    tested = {"accuracy": 0.71, "accuracy_low": 0.7, "accuracy_high": 0.72, "gap_at_best": 0.03, "test_hash": "t"}
    figures = version_figures(trained, tested)
    return Candidate(
        model=tmp_path / "model.keras",
        run_key="train-1",
        labels=("a", "b"),
        image_shape=(8, 8, 1),
        example=np.zeros((1, 8, 8, 1), np.uint8),
        lineage={"git_revision": "abc", "night": "night-7"},
        metrics=figures,
        tags=figure_tags(figures),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own, as it is imported
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
def test_the_champion_is_shown_with_its_accuracy_and_where_it_comes_from(environment, tmp_path):
    with wiring.tracker(environment, "cnn-overnight", source="test") as tracker:
        tracker.start(Run(key="train-1", name="train"))
        tracker.end("train-1", RunState.FINISHED)
        tracker.flush(60.0)
    registry = wiring.registry(environment)
    version = registry.register(PARAMS.register_.name, candidate(tmp_path))
    # A version alone is no champion.
    assert "no champion of cnn-overnight yet" in screen(environment)
    registry.set_alias(version, CHAMPION)
    append_promotion(environment.home / LEDGER, {"model": version.name, "promoted": True, "challenger": 1})
    text = screen(environment)
    # How good it is, how sure that is, how much it overfits, since when it leads, and the run to look at.
    for word in (
        "cnn-overnight version 1",
        "0.7100 (0.7000 to 0.7200)",
        "+0.0300",
        "champion since",
        "night-7",
        "train-1",
    ):
        assert word in text


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own, as it is imported
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
def test_a_champion_that_cnn_did_not_register_is_one_line(environment):
    from cnn.tracking.client import connect

    client = connect(environment)
    client.create_registered_model(PARAMS.register_.name)
    client.create_model_version(PARAMS.register_.name, str(environment.home))
    client.set_registered_model_alias(PARAMS.register_.name, CHAMPION, "1")
    assert not wiring.registry(environment).version_by_alias(PARAMS.register_.name, CHAMPION).is_ours
    # Somebody pointed the alias elsewhere in MLflow: it is said, and all else is shown.
    text = screen(environment)
    assert "cnn-overnight version 1, which cnn did not register" in text and "Where to look" in text

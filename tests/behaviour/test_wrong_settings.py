"""Through the real command line: a mistake is one line on the error stream and exit code 2, and nothing is lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from servers import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path):
    """A command in a fresh folder with our params.yaml."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)

    def command(*words, **variables):
        settings = os.environ | {"CNN_HOME": str(tmp_path / "home")} | variables
        words = [sys.executable, "-m", "cnn", *words]
        return subprocess.run(words, cwd=folder, env=settings, check=False, capture_output=True, text=True, timeout=300)

    command.folder = folder
    return command


@pytest.fixture
def prepared(run):
    """The same, with the digits prepared."""
    assert run("prepare", "--set", "prepare.source=digits").returncode == 0
    return run


def one_line(answer, *parts):
    """The form that every mistake has."""
    assert answer.returncode == 2, answer.stderr
    assert answer.stderr.count("\n") == 1, answer.stderr
    assert answer.stderr.startswith("cnn: ")
    for part in (*parts, "received", "expected"):
        assert part in answer.stderr


MISTAKES = [
    (["prepare", "--set", "prepare.sorce=digits"], ["prepare.sorce", "did you mean source?"]),
    (["search", "--set", "search.budget.trials=0"], ["search.budget.trials", "0"]),
    (["search", "--set", "search.workers=many"], ["search.workers: received 'many'", "a valid integer or 'auto'"]),
    (["search", "--set", "search.engine=hyperopt"], ["search.engine", "hyperopt", "keras_tuner"]),
    (["search", "--set", "search.space={}"], ["search.space", "at least 1"]),
    (["train", "--set", "train.epochs=0"], ["train.epochs"]),
    (["evaluate", "--set", "evaluate.confidence=95"], ["evaluate.confidence"]),
    (["nightly", "--set", "promote.alpha=2"], ["promote.alpha"]),
    (["nightly", "--set", "search.recipe=nope"], ["nope", "no such recipe"]),
]


@pytest.mark.parametrize(("words", "parts"), MISTAKES, ids=lambda value: value[-1] if isinstance(value, list) else None)
def test_a_wrong_setting(run, words, parts):
    before = (run.folder / "params.yaml").read_text()
    one_line(run(*words), *parts)
    # The file is as it was.
    assert (run.folder / "params.yaml").read_text() == before


def test_a_folder_without_params(run):
    (run.folder / "params.yaml").unlink()
    one_line(run("search"), "params.yaml", "run inside the project")


@pytest.mark.parametrize(
    ("step", "file"),
    [
        ("search", "manifest.json"),
        ("train", "manifest.json"),
        ("evaluate", "manifest.json"),
        ("register", "train.json"),
    ],
)
def test_a_step_before_its_time(run, step, file):
    # It names the file that is missing, which the step before would have written.
    one_line(run(step), file, "no such file")


@pytest.mark.parametrize("step", ["search", "train", "register", "nightly", "status"])
def test_a_tracking_server_that_answers_nothing(run, step):
    uri = f"http://127.0.0.1:{free_port()}"
    # Said before any work is begun, with the setting that changes it.
    one_line(run(step, CNN_TRACKING_URI=uri), uri, "CNN_TRACKING_URI")


def test_a_remote_that_nobody_configured(run, tmp_path):
    one_line(run("nightly", CNN_DVC_REMOTE="stroe"), "CNN_DVC_REMOTE", "stroe", "dvc remote add stroe PLACE")
    # Said before the night begins: there is no record of one.
    assert list(tmp_path.glob("home/nights/*.json")) == []


def test_a_machine_setting_that_is_none(run):
    one_line(run("status", CNN_HOEM="/somewhere"), "CNN_HOEM", "CNN_HOME")


@pytest.mark.parametrize("step", ["status", "prepare", "search"])
def test_a_home_where_a_file_lies(run, step):
    path = run.folder / "file"
    path.write_text("not a folder")
    one_line(run(step, CNN_HOME=str(path)), str(path))


@pytest.mark.parametrize("step", ["search", "train", "evaluate"])
def test_a_step_on_images_that_other_settings_made(prepared, step):
    # Before anything is trained or measured: the images of one set and the settings of another.
    one_line(prepared(step, "--set", "prepare.source=mnist"), "received digits", "expected mnist", "run cnn prepare")


def test_a_recipe_that_is_none(run):
    one_line(run("describe", "resnet51"), "resnet51", "tutorial_basic")

"""A whole night on the digits: real sqlite, real processes, real DVC, real Prefect."""

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace

import psutil
import pytest

from cnn.durable import read_sealed
from cnn.nights import Nights
from cnn.search.ledger import Ledger
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.reader import MlflowReader
from cnn.tracking.registry import CHALLENGER, CHAMPION
from cnn.tracking.tracker import RunState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SEARCH = {
    "engine": "optuna",
    "sampler": "tpe",
    "pruner": "none",
    "budget": {"trials": 3, "minutes": None, "cpu_minutes": None, "epochs": 15},
    "train_limit": None,
    "workers": 2,
}
REMOTE = {"CNN_DVC_REMOTE": "store"}


def dvc(project, *words, **variables):
    command = [sys.executable, "-m", "dvc", *words]
    answer = subprocess.run(
        command, check=False, cwd=project.folder, env=project.settings(**variables), capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def git(project, *words):
    return subprocess.run(["git", *words], cwd=project.folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def checkout(new_project, tmp_path_factory):
    """A git and DVC checkout with a DVC remote, as it is before its first night."""
    folder = tmp_path_factory.mktemp("night")
    made = new_project(folder / "project", folder / "home", SEARCH)
    (made.folder / ".gitignore").write_text("/data/prepared/\n/outputs/\n")
    git(made, "init", "--quiet")
    dvc(made, "init", "--quiet")
    dvc(made, "remote", "add", "store", str(folder / "store"))
    git(made, "add", "--all")
    git(made, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", "begin")
    return made


@pytest.fixture(scope="module")
def night(checkout):
    """What the first night said; it was killed in the middle of its search and started again."""
    killed = checkout.start("nightly", "--set", "train.epochs=30", **REMOTE)
    wait_for(lambda: finished_trials(checkout) >= 1, killed)
    # all at once, as when the machine goes down; the flow has a process group of its own
    command = psutil.Process(killed.pid)
    for process in (command, *command.children(recursive=True)):
        process.kill()
    killed.communicate()
    before = finished_trials(checkout)
    code, output = checkout.run("nightly", **REMOTE)
    assert code == 0, output
    return {"output": output, "trials_before": before}


def wait_for(condition, process):
    for _ in range(1500):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError("it never came to that")


def ledgers(project):
    return sorted(project.environment.studies.glob("*/ledger.db"))


def finished_trials(project):
    try:
        with closing(sqlite3.connect(f"file:{ledgers(project)[0]}?mode=ro", uri=True)) as db:
            return db.execute("SELECT COUNT(*) FROM runs WHERE outcome IS NOT NULL").fetchone()[0]
    except (IndexError, sqlite3.OperationalError):
        return 0


def test_the_night_ends_with_a_screen_a_person_wants_to_read(night):
    # Leaderboard, test accuracy with interval, gap, version, verdict, where the time went, how to go on.
    parts = ("val accuracy", "test accuracy", "at 95%", "gap", "version 1", "champion now", "together", "cnn ui")
    for part in (*parts, "outputs/evaluate/report.html", "outputs/search/study.html"):
        assert part in night["output"]


def test_the_killed_night_was_gone_on_with(night, checkout):
    nights = Nights(checkout.environment.home / "nights").all()
    # One night, not two, and it came to its end.
    assert [record.finished for record in nights] == [True]
    # It has one study; what had been finished before the kill was kept.
    (path,) = ledgers(checkout)
    with Ledger(path) as ledger:
        trials = ledger.trials()
    assert night["trials_before"] >= 1
    assert [row.id.number for row in trials] == [0, 1, 2]


def test_the_override_is_true_of_the_file(night, checkout):
    # --set was written down, so that the lock describes what ran.
    assert checkout.params().train.epochs == 30
    assert "epochs: 30" in (checkout.folder / "dvc.lock").read_text()


def test_the_candidate_is_good(night, checkout):
    metrics = read_sealed(checkout.folder / "outputs/evaluate/evaluate.json")
    # A small network reads digits.
    assert metrics["accuracy"] > 0.9
    # The interval surrounds the figure.
    assert metrics["accuracy_low"] < metrics["accuracy"] < metrics["accuracy_high"]


def test_mlflow_shows_the_search_and_nothing_left_running(night, checkout):
    reader = MlflowReader(checkout.environment)
    (record,) = Nights(checkout.environment.home / "nights").all()
    # Whatever the kill left RUNNING has been ended.
    assert reader.open_runs("cnn-overnight") == ()
    # The parent run and each trial's run are there, with their curves.
    assert reader.read_run(record.name).state is RunState.FINISHED
    for number in range(3):
        run = reader.read_run(f"{record.name}/{number}")
        assert run.parent == record.name
        assert len(run.epochs) == 15
        assert {"gap_loss", "gap_accuracy", "learning_rate"} <= set(run.epochs[0])
        assert "curve.png" in run.files


def test_the_registry_has_a_champion_with_its_lineage(night, checkout):
    registry = MlflowRegistry(checkout.environment)
    champion = registry.version_by_alias("cnn-overnight", CHAMPION)
    # The first challenger is champion, and knows where it comes from.
    assert champion.number == registry.version_by_alias("cnn-overnight", CHALLENGER).number == 1
    assert champion.tags["git_revision"].startswith(git(checkout, "rev-parse", "HEAD").strip())
    assert champion.tags["data_hash"] == read_sealed(checkout.folder / "data/prepared/manifest.json")["data_hash"]


def test_prefect_knows_both_starts_and_shows_the_artifacts(night, checkout):
    with closing(sqlite3.connect(checkout.environment.home / "prefect" / "prefect.db")) as db:
        states = db.execute("SELECT state_type FROM flow_run ORDER BY start_time").fetchall()
        artifacts = {key for (key,) in db.execute("SELECT key FROM artifact WHERE key IS NOT NULL")}
    # The killed flow run was found and marked, the second one is complete.
    assert [state for (state,) in states] == ["CRASHED", "COMPLETED"]
    # The leaderboard and the verdict are to be seen there.
    assert {"leaderboard", "verdict", "morning-page"} <= artifacts


def test_the_morning_page_lies_in_the_home_and_with_the_candidate(night, checkout):
    nights = Nights(checkout.environment.home / "nights")
    (record,) = nights.all()
    page = nights.page(record.name).read_text(encoding="utf-8")
    # Its first screen: the champion, and that nothing is wrong, although the night was killed on its way.
    assert "There is a champion now" in page
    assert "Nothing went wrong." in page
    assert str(nights.page(record.name)) in night["output"]
    # The same page is among the files of the candidate's run.
    kept = MlflowReader(checkout.environment).read_file(record.run, f"night/{record.name}.html")
    assert kept.decode() == page
    # What each part cost, the search's workers included.
    assert record.cpu_s["search"] > 1.0
    assert record.cpu_s.keys() == record.seconds.keys()


def test_a_second_repro_does_nothing(night, checkout):
    # The lock is true: there is nothing to do.
    assert "up to date" in dvc(checkout, "repro")


@pytest.mark.parametrize(
    ("old", "new", "stage"),
    [
        ("confidence: 0.95", "confidence: 0.9", "evaluate"),
        ("high: 12", "high: 16", "search"),
    ],
)
def test_a_change_reruns_from_its_stage(night, checkout, old, new, stage):
    path = checkout.folder / "params.yaml"
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new, 1))
    try:
        planned = dvc(checkout, "repro", "--dry")
    finally:
        path.write_text(before)
    running = [line.split("'")[1] for line in planned.splitlines() if line.startswith("Running stage")]
    # That stage runs and none before it. (A dry run cannot know whether those behind it will find other inputs.)
    assert running == [stage]


def test_the_night_is_a_dvc_experiment(night, checkout):
    (record,) = Nights(checkout.environment.home / "nights").all()
    # By its name, without touching the branch.
    assert record.name in dvc(checkout, "exp", "list", "--name-only")
    metrics = json.loads(dvc(checkout, "metrics", "show", "--json"))
    assert metrics[""]["data"]["outputs/evaluate/metrics.json"]["data"]["accuracy"] > 0.9


def test_the_remote_has_what_another_clone_needs(night, checkout, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(checkout.folder), str(clone)], check=True)
    (clone / "dvc.lock").write_text((checkout.folder / "dvc.lock").read_text())
    subprocess.run(
        [sys.executable, "-m", "dvc", "pull", "--quiet", "--remote", "store"],
        cwd=clone,
        env=checkout.settings(),
        check=True,
    )
    # The same bytes arrive, the model's included.
    for name in ("data/prepared/test/images.npy", "outputs/train/model.keras", "outputs/search/winner.yaml"):
        assert (clone / name).read_bytes() == (checkout.folder / name).read_bytes()


def test_another_clone_makes_the_night_again_bit_for_bit(night, checkout, tmp_path):
    (record,) = Nights(checkout.environment.home / "nights").all()
    subprocess.run(["git", "clone", "--quiet", str(checkout.folder), str(tmp_path / "clone")], check=True)
    clone = replace(checkout, folder=tmp_path / "clone", home=tmp_path / "home")
    # Its home never heard of the night, its cache is empty: the git remote has the experiment, the DVC remote the data.
    code, output = clone.run("reproduce", record.name)
    assert code == 0, output
    assert f"{record.name}: bit-identical" in output
    assert "data from DVC remote store" in output
    # Neither a worktree nor a change is left in the clone.
    assert len(git(clone, "worktree", "list").splitlines()) == 1
    assert git(clone, "status", "--porcelain") == ""
    # By DVC's own commands it comes back too, and there is nothing left to do.
    dvc(clone, "exp", "apply", record.name)
    dvc(clone, "pull", "--remote", "store")
    assert "up to date" in dvc(clone, "repro")


def test_status_tells_of_the_night_and_the_champion(night, checkout):
    code, output = checkout.run("status")
    (record,) = Nights(checkout.environment.home / "nights").all()
    assert code == 0
    # The latest night by name, and the champion.
    assert record.name in output
    assert "champion" in output


def test_a_users_mistake_ends_before_anything_starts(night, checkout):
    code, output = checkout.run("nightly", "--set", "search.engine=hyperopt")
    # One line, exit code 2, and the file is as it was.
    assert code == 2
    assert output.count("\n") == 1
    assert "search.engine" in output
    assert checkout.params().search.engine == "optuna"

"""What a search says to its tracker."""

import pytest
from making import epoch_row, ledger_row

from cnn.records import Cost, Outcome, TrialState
from cnn.search.finalists import Standing
from cnn.search.job import JobId
from cnn.search.logbook import Logbook
from cnn.tracking.conventions import end_figures
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import RunState

TRIAL = JobId(3)
CURVE = tuple(epoch_row(epoch, accuracy, clean_train_accuracy=0.75) for epoch, accuracy in enumerate((0.5, 0.625, 0.5)))
OUTCOME = Outcome(
    number=3,
    state=TrialState.PRUNED,
    reason="pruned at epoch 3",
    curve=CURVE,
    cost=Cost(wall_s=6.0, cpu_s=9.0, epochs=3),
)


@pytest.fixture
def tracker():
    return MemoryTracker()


@pytest.fixture
def book(tracker, tmp_path):
    tags = {"git_revision": "abc", "engine": "optuna/tpe"}
    book = Logbook(tracker, "study", tags, draw=lambda curve, path, title: path.write_text(title), scratch=tmp_path)
    book.open({"seed": 0})
    yield book
    book.wait()


def say_all(book, job=TRIAL, outcome=OUTCOME):
    book.begin(job, {"model": {"filters": 32, "plan": None}}, seed=7)
    for epoch in outcome.curve:
        book.epoch(job, epoch)
    book.end(job, outcome)
    book.wait()


def test_a_trial_is_a_run_under_its_search(book, tracker):
    say_all(book)
    logged = tracker.read_run("study/3")
    assert (logged.name, logged.parent) == ("trial 3", "study")
    # All resolved hyperparameters by their paths, and the seed: enough to train it again.
    assert logged.params == {"model.filters": "32", "model.plan": "null", "seed": "7"}
    # Where it comes from, which trial it is, how it ended and why.
    assert logged.tags == {
        "git_revision": "abc",
        "engine": "optuna/tpe",
        "role": "trial",
        "trial": "3",
        "state": "pruned",
        "reason": "pruned at epoch 3",
    }
    # A pruned trial is no failed one.
    assert logged.state is RunState.FINISHED


def test_a_finalists_run_says_whose_it_is(book, tracker):
    say_all(book, JobId(3, 2))
    logged = tracker.read_run("study/3/seed-2")
    # A run of its own, which names the trial and the seed.
    assert (logged.name, logged.tags["role"], logged.tags["trial"]) == ("trial 3, fresh seed 2", "finalist", "3")


def test_end_figures_are_those_of_the_best_epoch(book, tracker):
    say_all(book)
    figures = tracker.read_run("study/3").figures
    # The second epoch is the best one: 0.625 on validation, 0.75 on clean training images.
    assert (figures["best_epoch"], figures["best_val_accuracy"], figures["gap_at_best"]) == (2.0, 0.625, 0.125)
    assert (figures["cost_wall_s"], figures["cost_cpu_s"]) == (6.0, 9.0)
    # A run without an epoch has none.
    assert end_figures(()) == {}


def test_each_epoch_has_its_eleven_figures(book, tracker):
    say_all(book)
    epochs = tracker.read_run("study/3").epochs
    assert [epoch["val_accuracy"] for epoch in epochs] == [0.5, 0.625, 0.5]
    assert all(len(epoch) == 11 for epoch in epochs)


def test_saying_all_again_changes_nothing(book, tracker, tmp_path):
    say_all(book)
    once = tracker.read_run("study/3")
    again = Logbook(
        tracker,
        "study",
        {"git_revision": "abc", "engine": "optuna/tpe"},
        draw=lambda curve, path, title: path.write_text(title),
        scratch=tmp_path,
    )
    again.repeat(JobId(3), {"model": {"filters": 32, "plan": None}}, 7, OUTCOME)
    again.wait()
    assert tracker.read_run("study/3") == once
    # It is heard again, so that it can be noted.
    assert again.heard() == [JobId(3)]


def test_a_run_is_heard_when_its_picture_is_there(book, tracker):
    say_all(book)
    # The job is named once, and its picture is among the run's files, with a title that says what it shows.
    assert book.heard() == [JobId(3)]
    assert book.heard() == []
    assert tracker.read_file("study/3", "curve.png") == b"study, trial 3: pruned"


def test_a_run_without_a_curve_has_no_picture_and_is_heard(book, tracker):
    say_all(book, outcome=Outcome(number=3, state=TrialState.FAILED, reason="out of memory"))
    logged = tracker.read_run("study/3")
    assert (logged.state, logged.tags["reason"], logged.files) == (RunState.FAILED, "out of memory", ())
    assert book.heard() == [JobId(3)]


def test_a_picture_that_cannot_be_drawn_costs_nothing_else(tracker, tmp_path, caplog):
    def draw(curve, path, title):
        raise ValueError("no ink")

    book = Logbook(tracker, "study", {}, draw=draw, scratch=tmp_path)
    say_all(book)
    # The run is whole but for the picture, and the log says why.
    assert tracker.read_run("study/3").state is RunState.FINISHED
    assert book.heard() == [JobId(3)]
    assert "no ink" in caplog.text


def test_an_interrupted_search_is_shown_as_one(book, tracker):
    book.begin(JobId(3), {}, seed=7)
    book.interrupt([JobId(3)])
    # Both the search and what was under way.
    for key in ("study", "study/3"):
        logged = tracker.read_run(key)
        assert (logged.state, logged.tags["state"]) == (RunState.KILLED, "interrupted")


def test_a_search_that_goes_on_is_shown_as_running(book, tracker):
    book.begin(JobId(3), {}, seed=7)
    book.interrupt([JobId(3)])
    book.open({"seed": 0})
    book.begin(JobId(3), {}, seed=7)
    # Neither its state nor its tag speaks of the interruption any more.
    for key in ("study", "study/3"):
        logged = tracker.read_run(key)
        assert (logged.state, logged.tags["state"]) == (None, "running")


def test_the_search_ends_with_its_winner(book, tracker, tmp_path):
    (tmp_path / "winner.yaml").write_text("trial: 3\n")
    winner = Standing(row=ledger_row(OUTCOME), score=0.625, fresh_scores=(0.5, 0.75))
    book.close(winner, {"n_completed": 4.0}, [tmp_path / "winner.yaml"])
    logged = tracker.read_run("study")
    # The mean of the fresh runs and how far the runs lie apart, beside what the trial had first promised.
    assert (logged.figures["winner_mean_score"], logged.figures["winner_first_score"]) == (0.625, 0.625)
    assert logged.figures["winner_spread"] == pytest.approx(0.125)
    assert (logged.figures["n_completed"], logged.tags["winner"], logged.files) == (4.0, "3", ("winner.yaml",))
    assert (logged.state, logged.tags["state"]) == (RunState.FINISHED, "completed")

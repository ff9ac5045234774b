"""What is shown as running and is not is ended, as the ledger says."""

from dataclasses import replace

import pytest
from making import epoch_row

from cnn.durable import exclusive
from cnn.records import Cost, Outcome, Proposal, TrialState
from cnn.search.job import JobId
from cnn.search.ledger import Ledger
from cnn.search.reconcile import reconcile
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import Run, RunState

COMPLETED = Outcome(
    number=0,
    state=TrialState.COMPLETED,
    reason="all epochs",
    curve=(epoch_row(accuracy=0.5, clean_train_accuracy=0.75),),
    cost=Cost(wall_s=3.0, cpu_s=5.0, epochs=1),
)
FAILED = Outcome(number=1, state=TrialState.FAILED, reason="out of memory")


@pytest.fixture
def tracker():
    return MemoryTracker("nights")


@pytest.fixture
def studies(tmp_path):
    """A study that was killed: trial 0 completed, trial 1 failed, trial 2 and a finalist's run under way."""
    with Ledger(tmp_path / "killed" / "ledger.db") as ledger:
        for job in (JobId(0), JobId(1), JobId(2), JobId(0, 1)):
            ledger.begin(job, Proposal(number=job.number, values={}, epochs=1), seed=0)
        ledger.finish(JobId(0), COMPLETED, elapsed_s=1.0)
        ledger.finish(JobId(1), FAILED, elapsed_s=1.0)
    return tmp_path


def left_running(tracker, *keys):
    for key in keys:
        tracker.start(Run(key=key, name=key, parent=key.partition("/")[0], tags={"state": "running"}))


def test_runs_of_a_dead_study_end_as_its_ledger_says(studies, tracker):
    left_running(tracker, "killed", "killed/0", "killed/1", "killed/2", "killed/0/seed-1")
    said = reconcile(studies, tracker, "nights")
    # Nothing is shown as running any more, and there is a sentence for each, which names it.
    assert tracker.open_runs("nights") == ()
    assert [sentence.split()[1] for sentence in said] == [
        "killed",
        "killed/0",
        "killed/0/seed-1",
        "killed/1",
        "killed/2",
    ]
    # What was over is closed with its outcome: state, reason, figures.
    completed, failed = tracker.read_run("killed/0"), tracker.read_run("killed/1")
    assert (completed.state, completed.tags["state"], completed.tags["reason"]) == (
        RunState.FINISHED,
        "completed",
        "all epochs",
    )
    assert completed.figures == {
        "best_epoch": 1.0,
        "best_val_accuracy": 0.5,
        "best_val_score": 0.5,
        "gap_at_best": 0.25,
        "cost_wall_s": 3.0,
        "cost_cpu_s": 5.0,
    }
    assert (failed.state, failed.tags["reason"]) == (RunState.FAILED, "out of memory")
    # What was under way is closed as interrupted: the next start goes on with it.
    for key in ("killed", "killed/2", "killed/0/seed-1"):
        logged = tracker.read_run(key)
        assert (logged.state, logged.tags["state"]) == (RunState.KILLED, "interrupted")


def test_a_second_look_finds_nothing_to_do(studies, tracker):
    left_running(tracker, "killed", "killed/0")
    reconcile(studies, tracker, "nights")
    # Ledgers that agree are left alone.
    assert reconcile(studies, tracker, "nights") == []


def test_runs_of_a_study_that_is_being_searched_are_left_alone(studies, tracker):
    left_running(tracker, "killed", "killed/0", "killed/2")
    with exclusive(studies / "killed" / "lock", what="a search"):
        # Somebody holds its lock: running means running.
        assert reconcile(studies, tracker, "nights") == []
    assert len(tracker.open_runs("nights")) == 3


def test_runs_of_a_study_that_is_gone_are_closed(studies, tracker):
    left_running(tracker, "vanished", "vanished/3")
    # No ledger knows them, and they are not running.
    assert len(reconcile(studies, tracker, "nights")) == 2
    assert tracker.read_run("vanished/3").state is RunState.KILLED
    # Looking for them has made no study of that name.
    assert not (studies / "vanished").exists()


def test_other_experiments_and_ended_runs_are_not_touched(studies, tracker):
    left_running(tracker, "killed/0", "killed/1")
    tracker.end("killed/0", RunState.FINISHED)
    # Nothing of another experiment, and in this one only what is open.
    assert reconcile(studies, tracker, "days") == []
    assert len(reconcile(studies, tracker, "nights")) == 1


def test_a_damaged_ledger_stops_nothing_else(studies, tracker):
    (studies / "damaged").mkdir()
    (studies / "damaged" / "ledger.db").write_bytes(b"not sqlite" * 500)
    left_running(tracker, "damaged/0", "killed/0")
    said = reconcile(studies, tracker, "nights")
    # The damaged study's run is closed, its ledger is named, and the sound study's run is closed as it should be.
    assert any("ledger.db" in sentence for sentence in said)
    assert tracker.read_run("damaged/0").state is RunState.KILLED
    assert tracker.read_run("killed/0").state is RunState.FINISHED


def test_a_pruned_trial_is_finished(studies, tracker):
    with Ledger(studies / "killed" / "ledger.db") as ledger:
        pruned = replace(COMPLETED, number=2, state=TrialState.PRUNED, reason="pruned at epoch 1")
        ledger.finish(JobId(2), pruned, elapsed_s=1.0)
    left_running(tracker, "killed/2")
    reconcile(studies, tracker, "nights")
    # Pruning is no failure: the tag says what it is.
    logged = tracker.read_run("killed/2")
    assert (logged.state, logged.tags["state"]) == (RunState.FINISHED, "pruned")

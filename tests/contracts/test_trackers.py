"""What every tracker must do, over all of them: memory, MLflow on sqlite, MLflow behind a real server."""

from dataclasses import replace

import pytest
from making import epoch_row
from servers import TrackingServer

from cnn.config.environment import Environment
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.tracker import Run, RunState

EXPERIMENT = "contract"
ROW = epoch_row()


@pytest.fixture(scope="module")
def sqlite_home(tmp_path_factory):
    """One migrated database for the module: a run's key keeps the tests apart."""
    return Environment(home=tmp_path_factory.mktemp("sqlite"))


@pytest.fixture(scope="module")
def server_home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    server = TrackingServer(folder)
    server.start()
    try:
        server.wait()
        yield Environment(home=folder / "home", tracking_uri=server.uri)
    finally:
        server.kill()


@pytest.fixture(params=["memory", "sqlite", pytest.param("server", marks=pytest.mark.slow)])
def environment(request):
    return None if request.param == "memory" else request.getfixturevalue(f"{request.param}_home")


@pytest.fixture
def tracker(environment):
    tracker = MemoryTracker(EXPERIMENT) if environment is None else MlflowTracker(environment, EXPERIMENT)
    yield tracker
    tracker.close()


def logged(tracker, key):
    assert tracker.flush(120.0), "not delivered in time"
    return tracker.read_run(key)


# What is logged reads back: name, params as text, tags, figures, the ten figures of each epoch in order.
def test_what_is_logged_reads_back(tracker):
    tags = {"state": "pruned", "git_revision": "abc"}
    tracker.start(Run(key="s1/0", name="trial 0", params={"model.filters": 32, "augment.flip": True}, tags=tags))
    rows = [replace(ROW, epoch=epoch, val_accuracy=0.5 + epoch / 8) for epoch in range(3)]
    for row in rows:
        tracker.log_epoch("s1/0", row)
    tracker.log_figures("s1/0", {"best_val_accuracy": 0.75, "loss_of_nan": float("nan")})
    tracker.end("s1/0", RunState.FINISHED)
    run = logged(tracker, "s1/0")
    assert (run.name, run.parent, run.state) == ("trial 0", "", RunState.FINISHED)
    assert run.params == {"model.filters": "32", "augment.flip": "True"}
    assert run.tags == tags
    assert run.epochs == tuple(row.figures() for row in rows)
    assert run.figures["best_val_accuracy"] == 0.75
    assert run.figures["loss_of_nan"] != run.figures["loss_of_nan"]
    assert run.figures["gap_accuracy"] == rows[-1].gap_accuracy


# Saying everything twice leaves one run with the same content.
def test_saying_a_thing_twice_changes_nothing(tracker, tmp_path):
    file = tmp_path / "curves.txt"
    file.write_text("one")

    def say_all():
        tracker.start(Run(key="s2/0", name="trial 0", params={"model.filters": 32}))
        tracker.log_epoch("s2/0", ROW)
        tracker.log_figures("s2/0", {"best_epoch": 0.0})
        tracker.set_tags("s2/0", {"state": "completed"})
        tracker.log_file("s2/0", file, "plots")
        tracker.end("s2/0", RunState.FINISHED)
        return logged(tracker, "s2/0")

    assert say_all() == say_all()


# An epoch said again by a resumed trial, with another clock reading, is the epoch that is known already.
def test_an_epoch_is_logged_once(tracker):
    tracker.start(Run(key="s3/0", name="trial 0"))
    tracker.log_epoch("s3/0", ROW)
    tracker.log_epoch("s3/0", replace(ROW, seconds=99.0))
    assert logged(tracker, "s3/0").epochs == (ROW.figures(),)


# A later tag and a later figure replace earlier ones.
def test_the_latest_word_counts(tracker):
    tracker.start(Run(key="s4/0", name="trial 0", tags={"state": "running"}))
    for state in ("completed", "running", "pruned"):
        tracker.set_tags("s4/0", {"state": state})
    for step, value in enumerate((3.0, 1.0, 2.0)):
        tracker.log_figures("s4/0", {"system/cpu_utilization_percentage": value}, step=step)
    run = logged(tracker, "s4/0")
    assert run.tags["state"] == "pruned"
    assert run.figures["system/cpu_utilization_percentage"] == 2.0


# A file's content is that of the moment it was logged, whatever happens to it afterwards.
def test_a_files_content_is_taken_at_once(tracker, tmp_path):
    file = tmp_path / "curves.png"
    tracker.start(Run(key="s5/0", name="trial 0"))
    file.write_bytes(b"first")
    tracker.log_file("s5/0", file, "plots")
    tracker.log_file("s5/0", file)
    file.write_bytes(b"later")
    tracker.log_file("s5/0", file)
    file.unlink()
    run = logged(tracker, "s5/0")
    assert run.files == ("curves.png", "plots/curves.png")
    assert tracker.read_file("s5/0", "plots/curves.png") == b"first"
    assert tracker.read_file("s5/0", "curves.png") == b"later"
    with pytest.raises(FileNotFoundError):
        tracker.read_file("s5/0", "plots/none.png")


# A child names its parent, and both read back; an unknown key reads as None.
def test_parents_and_children(tracker):
    tracker.start(Run(key="s6", name="study"))
    tracker.start(Run(key="s6/0", name="trial 0", parent="s6"))
    assert logged(tracker, "s6/0").parent == "s6"
    assert logged(tracker, "s6").parent == ""
    assert tracker.read_run("s6/1") is None


# Open runs are those that have not ended; a run begun again after its end is open again, and can end otherwise.
def test_end_states(tracker):
    ends = {"s7/0": RunState.FINISHED, "s7/1": RunState.FAILED, "s7/2": RunState.KILLED}
    for key, state in ends.items():
        tracker.start(Run(key=key, name=key))
        tracker.end(key, state)
    tracker.start(Run(key="s7/3", name="left running"))
    assert {key: logged(tracker, key).state for key in ends} == ends
    assert logged(tracker, "s7/3").state is None
    tracker.start(Run(key="s7/0", name="s7/0"))
    assert tracker.flush(60.0)
    opened = [key for key in tracker.open_runs(EXPERIMENT) if key.startswith("s7")]
    assert opened == ["s7/0", "s7/3"]
    assert tracker.open_runs("another experiment") == ()
    tracker.end("s7/0", RunState.KILLED)
    assert logged(tracker, "s7/0").state is RunState.KILLED


# A parameter longer than a tracker takes loses its tail, not its run.
def test_long_values_do_not_lose_the_run(tracker):
    tracker.start(Run(key="s8", name="long", params={"plan": "x" * 20_000}, tags={"reason": "y" * 20_000}))
    run = logged(tracker, "s8")
    assert run.params["plan"].startswith("x" * 500)
    assert run.tags["reason"].startswith("y" * 500)


# Another tracker on the same spool goes on with a run by its key, and what it repeats is known.
@pytest.mark.parametrize("environment", ["sqlite", pytest.param("server", marks=pytest.mark.slow)], indirect=True)
def test_another_tracker_goes_on(environment):
    first = MlflowTracker(environment, EXPERIMENT)
    first.start(Run(key="s9", name="study"))
    first.log_epoch("s9", ROW)
    first.close()
    second = MlflowTracker(environment, EXPERIMENT)
    second.start(Run(key="s9", name="study"))
    second.log_epoch("s9", ROW)
    second.log_epoch("s9", replace(ROW, epoch=1))
    second.end("s9", RunState.FINISHED)
    run = logged(second, "s9")
    assert run.epochs == (ROW.figures(), replace(ROW, epoch=1).figures())
    assert run.state is RunState.FINISHED
    second.close()

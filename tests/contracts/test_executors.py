"""What every executor promises, whichever it is."""

import itertools
import os
import signal
from contextlib import closing
from dataclasses import replace

import pytest

from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.reading import recipe_with
from cnn.config.recipe import Recipe
from cnn.errors import StorageError
from cnn.records import TrialState
from cnn.search.executors.inline import InlineExecutor
from cnn.search.executors.local import LocalExecutor
from cnn.search.job import EpochDone, Job, JobEnded, JobId, JobLost, WorkerSetup
from cnn.steps.prepare import prepare

pytestmark = pytest.mark.slow

EPOCHS = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    params = Params.model_validate(
        {
            "prepare": {"source": "digits"},
            "search": {"space": {"model.filters": {"type": "int", "low": 4, "high": 8}}, "budget": {"trials": 1}},
        }
    )
    return prepare(params, Environment(home=folder / "home"), folder / "prepared").folder


@pytest.fixture(scope="module")
def setup(data):
    return WorkerSetup(data=data, train_limit=300, seed=0, threads=1)


@pytest.fixture(scope="module", params=["local", "inline"])
def executor(request, setup, tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    made = {
        "local": lambda: LocalExecutor(1, setup, logs=logs, trials_per_worker=100, worker_memory_mb=8192),
        "inline": lambda: InlineExecutor(setup),
    }[request.param]()
    with closing(made):
        yield made


numbers = itertools.count()


@pytest.fixture
def job(tmp_path):
    recipe = recipe_with(
        Recipe(), {"model.filters": 4, "model.blocks": 2, "model.batch_norm": "after_pool", "training.epochs": EPOCHS}
    )
    return Job(id=JobId(next(numbers)), recipe=recipe.model_dump(mode="json"), seed=5, folder=tmp_path / "trial")


def events_of(executor, job, stop_at=None):
    """All events of a job; it is told to stop after epoch `stop_at`."""
    executor.submit(job)
    events = []
    for _ in range(600):
        for event in executor.poll(0.5):
            events.append(event)
            if isinstance(event, EpochDone):
                executor.answer(job.id, stop=event.row.epoch == stop_at)
        if events and not isinstance(events[-1], EpochDone):
            return events
    raise AssertionError(f"no end of the job after {events}")


def figures(curve):
    """A curve without its times."""
    return [replace(row, seconds=0.0) for row in curve]


def test_a_job_reports_each_epoch_and_ends_once(executor, job):
    *epochs, end = events_of(executor, job)
    # One report an epoch, in order, then the outcome with the same curve.
    assert [event.row.epoch for event in epochs] == list(range(EPOCHS))
    assert isinstance(end, JobEnded)
    assert end.outcome.state is TrialState.COMPLETED
    assert end.outcome.curve == tuple(event.row for event in epochs)
    # It says what it cost.
    assert end.outcome.cost.epochs == EPOCHS
    assert end.outcome.cost.cpu_s > 0
    # The slot is free again.
    assert executor.n_free() == 1


def test_a_stop_ends_a_job_after_the_epoch_it_answers(executor, job):
    *epochs, end = events_of(executor, job, stop_at=0)
    # The answer to epoch 0 is heard before epoch 1 begins: pruning does not depend on timing.
    assert len(epochs) == 1
    assert end.outcome.state is TrialState.PRUNED


def test_a_failing_job_is_an_outcome_and_the_next_one_runs(executor, job, tmp_path):
    bad = replace(job, recipe=job.recipe | {"model": job.recipe["model"] | {"filters": -1}})
    end = events_of(executor, bad)[-1]
    # The reason is in words, and names what is wrong.
    assert end.outcome.state is TrialState.FAILED
    assert "model.filters" in end.outcome.reason
    # The executor has survived it.
    good = replace(job, id=JobId(next(numbers)), folder=tmp_path / "good")
    assert events_of(executor, good)[-1].outcome.state is TrialState.COMPLETED


def test_a_job_goes_on_from_its_checkpoint(executor, job, tmp_path):
    whole = events_of(executor, replace(job, id=JobId(next(numbers)), folder=tmp_path / "whole"))[-1]
    events_of(executor, job, stop_at=1)
    again = events_of(executor, replace(job, id=JobId(next(numbers))))
    # The epochs of the checkpoint are reported again first, then the rest; nothing differs from never having stopped.
    assert figures(again[-1].outcome.curve) == figures(whole.outcome.curve)


def test_a_killed_worker_loses_nothing(executor, job, tmp_path):
    if isinstance(executor, InlineExecutor):
        pytest.skip("has no worker process")
    whole = events_of(executor, replace(job, id=JobId(next(numbers)), folder=tmp_path / "whole"))[-1]
    executor.submit(job)
    lost = None
    while lost is None:
        for event in executor.poll(0.5):
            if isinstance(event, EpochDone) and event.row.epoch == 1:
                os.kill(executor.pids()[0], signal.SIGKILL)
            elif isinstance(event, EpochDone):
                executor.answer(job.id, stop=False)
            else:
                lost = event
    # The death is reported with its reason, and a new worker is there.
    assert isinstance(lost, JobLost)
    assert "SIGKILL" in lost.reason
    assert executor.n_free() == 1
    # Submitted again, the job ends as if nothing had happened.
    assert figures(events_of(executor, job)[-1].outcome.curve) == figures(whole.outcome.curve)


def test_a_worker_is_renewed_after_its_share_of_trials(setup, job, tmp_path):
    with closing(LocalExecutor(1, setup, logs=tmp_path, trials_per_worker=2, worker_memory_mb=8192)) as executor:
        before = executor.pids()
        events_of(executor, job)
        # Its share is two trials: it stays for the second ...
        assert executor.pids() == before
        events_of(executor, replace(job, id=JobId(next(numbers)), folder=tmp_path / "second"))
        # ... and then another process takes its place.
        assert executor.pids() != before


def test_a_folder_that_cannot_be_written_stops_the_search_and_blames_no_recipe(executor, job, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    executor.submit(replace(job, folder=tmp_path / "file" / "trial"))
    # The user is told in one line; the trial has no outcome.
    with pytest.raises(StorageError, match="a file where a folder belongs"):
        for _ in range(600):
            assert not executor.poll(0.5)

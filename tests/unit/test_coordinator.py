"""The coordinator's decisions, over an executor whose trials are written down instead of trained."""

import csv
import json
import sqlite3
from contextlib import closing

import pytest
from scripted import (
    DIES,
    EPOCHS,
    FAILS,
    Killed,
    Listed,
    ScriptedExecutor,
    curves,
    optuna_searcher,
    random_searcher,
    search_params,
    started,
)

from cnn.config.recipe import Recipe
from cnn.errors import Interrupted, SpaceError
from cnn.records import TrialState
from cnn.search.engines.searcher import Pause
from cnn.search.job import JobId
from cnn.search.results import write_results
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import RunState

# ---- a search without mishaps


def test_fresh_seeds_decide_between_the_finalists(tmp_path):
    scripts = {
        JobId(0): [0.5, 0.6, 0.7],
        JobId(1): [0.5, 0.8, 0.9],
        JobId(2): [0.5, 0.6, 0.8],
        JobId(1, 1): [0.6],
        JobId(1, 2): [0.7],
        JobId(2, 1): [0.8],
        JobId(2, 2): [0.7],
    }
    with started(
        tmp_path, params=search_params(trials=3, seeds=2), executor=ScriptedExecutor(scripts=scripts)
    ) as search:
        winner = search.run()
        # The best two were trained again, each with a seed of its own: no two runs share one.
        assert {job.id for job in search.executor.jobs} == scripts.keys()
        assert len({job.seed for job in search.executor.jobs}) == len(scripts)
        # Trial 1 had the best score, by luck; the means of the fresh runs are 0.65 and 0.75.
        assert (winner.row.id, winner.mean) == (JobId(2), pytest.approx(0.75))
        # A fresh run has the recipe of its trial.
        recipes = {job.id: job.recipe for job in search.executor.jobs}
        assert recipes[JobId(2, 1)] == recipes[JobId(2)]


def test_all_that_happens_is_told_to_the_tracker(tmp_path):
    with started(tmp_path) as search:
        search.run()
        for job, outcome in search.outcomes().items():
            logged = search.logged(job)
            # A run a job, under the search's own, with its curve, its state and its picture.
            assert logged.parent == search.study.name
            assert [epoch["val_accuracy"] for epoch in logged.epochs] == [row.val_accuracy for row in outcome.curve]
            assert (logged.state, logged.tags["state"]) == (RunState.FINISHED, "completed")
            assert logged.files == ("curve.png",)
            # What it cost stands there too.
            assert logged.figures["cost_cpu_s"] == EPOCHS
        # The ledger knows that the tracker knows.
        assert all(row.told for row in search.study.ledger.rows())


def test_workers_are_kept_busy(tmp_path):
    executor = ScriptedExecutor(n_slots=3)
    with started(tmp_path, params=search_params(trials=7), executor=executor) as search:
        executor.before = lambda n: running.append(len(executor.runs))
        running = []
        search.run()
        # Three trials at a time, from the first moment on.
        assert running[0] == max(running) == 3
        assert len([job for job in search.outcomes() if job.repeat == 0]) == 7


# ---- engines that pause


def test_an_exhausted_engine_ends_the_search_early(tmp_path):
    searcher = Listed([{"model.filters": 8}, {"model.filters": 16}])
    with started(tmp_path, params=search_params(trials=50), searcher=searcher) as search:
        search.run()
        # Both points of its grid were tried, then both as finalists; it is not asked again once it is dry.
        assert search.outcomes().keys() == {JobId(0), JobId(1), JobId(0, 1), JobId(1, 1)}
        assert searcher.asked == 3


def test_an_engine_that_waits_is_asked_again_after_a_trial_has_ended(tmp_path):
    searcher = Listed([{"model.filters": 8}, Pause.WAIT, {"model.filters": 16}])
    with started(
        tmp_path, params=search_params(trials=2), searcher=searcher, executor=ScriptedExecutor(n_slots=2)
    ) as search:
        search.run()
        # One pause, one question more; both trials ran.
        assert searcher.asked == 3
        assert {JobId(0), JobId(1)} <= search.outcomes().keys()


# ---- budgets


def test_what_is_under_way_when_the_budget_ends_is_pruned_and_kept(tmp_path):
    # 4 s of processor time, a second an epoch: two trials at once have used it up after their second epochs.
    params = search_params(trials=None, cpu_minutes=4 / 60)
    with started(tmp_path, params=params, executor=ScriptedExecutor(n_slots=2)) as search:
        winner = search.run()
        states = {job: (outcome.state, outcome.reason) for job, outcome in search.outcomes().items()}
        pruned = (TrialState.PRUNED, "the budget ended at epoch 2")
        # The one whose epoch used up the rest stops there, the other one with its next epoch.
        assert states[JobId(1)] == pruned
        assert states[JobId(0)] == (TrialState.PRUNED, "the budget ended at epoch 3")
        # What they had learnt is not lost: one of them wins, without a fresh run, for which nothing is left.
        assert winner.fresh_scores == ()
        assert len(search.executor.jobs) == 2
        # The tracker has the reason.
        assert search.logged(1).tags["reason"] == pruned[1]


def test_a_trial_that_cannot_finish_is_not_started(tmp_path):
    # 10 s: three trials of 3 s; the fourth would need 12. No finalists.
    params = search_params(trials=None, cpu_minutes=10 / 60, finalists=1, seeds=0)
    with started(tmp_path, params=params) as search:
        search.run()
        assert [outcome.state for outcome in search.outcomes().values()] == [TrialState.COMPLETED] * 3


# ---- failures and deaths


def test_a_failed_trial_is_an_outcome(tmp_path):
    searcher = Listed([{"model.filters": n} for n in (8, 16, 32)])
    executor = ScriptedExecutor(scripts={JobId(1): [0.9, FAILS]})
    with started(tmp_path, params=search_params(trials=3), searcher=searcher, executor=executor) as search:
        winner = search.run()
        outcome = search.outcomes()[JobId(1)]
        # Its state and reason stand here, in the engine and in the tracker; what it had reached counts for nothing.
        assert (outcome.state, outcome.reason, outcome.score) == (TrialState.FAILED, "ValueError: no", None)
        assert [told.state.value for told in searcher.told] == ["completed", "failed", "completed"]
        assert (search.logged(1).state, search.logged(1).tags["reason"]) == (RunState.FAILED, "ValueError: no")
        assert winner.row.id.number == 2


def test_a_search_in_which_all_trials_fail_says_so_in_one_line(tmp_path):
    executor = ScriptedExecutor(scripts={JobId(n): [FAILS] for n in range(3)})
    with started(tmp_path, params=search_params(trials=3), executor=executor) as search:
        # The error says how many, and why.
        with pytest.raises(SpaceError, match=r"3 trials and none with a model \(ValueError: no\)") as refused:
            search.run()
        assert len(str(refused.value).splitlines()) == 1
        # The search is shown as failed, not as running for ever.
        assert search.logged().state is RunState.FAILED


def test_a_trial_outlives_its_worker_once(tmp_path):
    executor = ScriptedExecutor(scripts={JobId(1): [0.5, 0.6, DIES, 0.7]})
    with started(tmp_path, executor=executor) as search:
        search.run()
        row = search.study.ledger.row(JobId(1))
        # It has gone on from its checkpoint, to a curve without a hole or a double.
        assert [epoch.val_accuracy for epoch in row.outcome.curve] == [0.5, 0.6, 0.7]
        assert (row.deaths, row.outcome.state) == (1, TrialState.COMPLETED)
        # Both attempts are paid for, the epochs are counted once.
        assert (row.cost.cpu_s, row.cost.epochs) == (2 + 3, 3)
        assert len(search.logged(1).epochs) == 3


def test_a_trial_that_kills_its_worker_twice_has_failed(tmp_path):
    executor = ScriptedExecutor(scripts={JobId(1): [0.5, DIES, 0.6, DIES, 0.7]})
    with started(tmp_path, executor=executor) as search:
        search.run()
        outcome = search.outcomes()[JobId(1)]
        # Failed with its reason, the curve kept, and the search has gone on.
        assert (outcome.state, outcome.reason) == (TrialState.FAILED, "its worker was killed, 2 times")
        assert [epoch.val_accuracy for epoch in outcome.curve] == [0.5, 0.6]
        assert [search.outcomes()[JobId(n)].state for n in (2, 3)] == [TrialState.COMPLETED] * 2


# ---- stops, kills, starts


def undisturbed(folder, searcher, n_slots=1):
    with started(folder, searcher=searcher(), executor=ScriptedExecutor(n_slots=n_slots)) as search:
        return search.run().row.id, curves(search), search.executor.n_polls


@pytest.mark.parametrize(("searcher", "every"), [(random_searcher, 1), (optuna_searcher, 7)])
def test_a_search_killed_at_any_poll_ends_the_same(searcher, every, tmp_path):
    winner, expected, n_polls = undisturbed(tmp_path / "undisturbed", searcher)
    for instant in range(0, n_polls, every):
        folder, trackers = tmp_path / str(instant), [MemoryTracker()]

        def die(n, instant=instant):
            if n == instant:
                raise Killed

        with (
            pytest.raises(Killed),
            started(folder, searcher=searcher(), executor=ScriptedExecutor(before=die), tracker=trackers[0]) as search,
        ):
            search.run()
        with started(folder, searcher=searcher(), tracker=trackers[0]) as search:
            before = {job for job, outcome in search.outcomes().items() if outcome}
            # Same winner, same outcomes and curves; what was finished did not run again.
            assert search.run().row.id == winner
            assert curves(search) == expected
            assert before.isdisjoint(job.id for job in search.executor.jobs)
            # The tracker has a run for each, all of them ended, each epoch once.
            assert [len(search.logged(job).epochs) for job in expected] == [len(c) for _, c in expected.values()]
            assert trackers[0].open_runs("memory") == (search.study.name,)


def test_a_search_goes_on_with_fewer_workers(tmp_path):
    def die(n):
        if n == 2:
            raise Killed

    with pytest.raises(Killed), started(tmp_path, executor=ScriptedExecutor(n_slots=3, before=die)) as search:
        search.run()
    with started(tmp_path) as search:
        search.run()
        # Three trials were under way, and there is one worker now: they take turns.
        assert [job.id for job in search.executor.jobs[:3]] == [JobId(0), JobId(1), JobId(2)]
        assert len(search.outcomes()) == 6


def test_an_interrupted_search_says_so_and_goes_on(tmp_path):
    winner, expected, _ = undisturbed(tmp_path / "undisturbed", random_searcher)
    tracker, executor = MemoryTracker(), ScriptedExecutor()
    with started(tmp_path / "disturbed", tracker=tracker, executor=executor) as search:
        executor.before = lambda n: search.coordinator.interrupt() if n == 6 else None
        # The error names the study.
        with pytest.raises(Interrupted, match=search.study.name):
            search.run()
        running = next(job for job, outcome in search.outcomes().items() if outcome is None)
        # The search and the run under way are shown as interrupted, what was finished as finished.
        for logged in (search.logged(), search.logged(running)):
            assert (logged.state, logged.tags["state"]) == (RunState.KILLED, "interrupted")
        assert search.logged(0).state is RunState.FINISHED
    with started(tmp_path / "disturbed", tracker=tracker) as search:
        assert search.run().row.id == winner
        assert curves(search) == expected


def test_outcomes_the_tracker_has_not_heard_are_told_again(tmp_path):
    def die(n):
        if n == 6:
            raise Killed

    with pytest.raises(Killed), started(tmp_path, executor=ScriptedExecutor(before=die)) as search:
        search.run()
    # As if the kill had come between the ledger's word and the tracker's.
    with closing(sqlite3.connect(search.study.ledger.path, isolation_level=None)) as ledger:
        ledger.execute("UPDATE runs SET told = 0")
    with started(tmp_path) as search:
        search.run()
        logged = search.logged(0)
        # The new tracker knows the trial's curve, state and reason, although nothing has trained it again.
        assert JobId(0) not in {job.id for job in search.executor.jobs}
        assert len(logged.epochs) == EPOCHS
        assert (logged.state, logged.tags["reason"]) == (RunState.FINISHED, "all epochs")
        assert all(row.told for row in search.study.ledger.rows())


def test_a_search_goes_by_the_score_where_it_is_no_accuracy(tmp_path):
    # The second trial is less accurate and has the better score, at an epoch that is not its most accurate one.
    scripts = {JobId(0): [(0.9, 0.2), (0.8, 0.1)], JobId(1): [(0.5, 0.3), (0.4, 0.6)]}
    searcher = Listed([{"model.filters": 8}, {"model.filters": 16}])
    params = search_params(trials=2, finalists=1, seeds=0)
    executor = ScriptedExecutor(scripts=scripts)
    with started(tmp_path, params=params, searcher=searcher, executor=executor) as search:
        winner = search.run()
        # The engine hears of scores, the winner is the best of them.
        assert searcher.reported == [(0, 0, 0.2), (0, 1, 0.1), (1, 0, 0.3), (1, 1, 0.6)]
        assert (winner.row.id.number, winner.score) == (1, 0.6)
        # The tracker has both figures of the best epoch.
        figures = search.logged(JobId(1)).figures
        assert (figures["best_epoch"], figures["best_val_score"], figures["best_val_accuracy"]) == (2, 0.6, 0.4)
        write_results(tmp_path / "out", winner, Recipe(), search.study.ledger.rows(), engine="random")
    lines = list(csv.DictReader((tmp_path / "out/leaderboard.csv").read_text().splitlines()))
    # The leaderboard is in their order, and has the accuracies beside them.
    assert [(line["run"], line["val_score"], line["val_accuracy"]) for line in lines] == [
        ("1", "0.6", "0.4"),
        ("0", "0.2", "0.9"),
    ]
    assert json.loads((tmp_path / "out/search.json").read_text())["winner_mean_score"] == 0.6

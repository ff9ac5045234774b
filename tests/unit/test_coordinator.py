"""The coordinator's decisions, over an executor whose trials are written down instead of trained."""

import csv
import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from io import StringIO

import pytest
from making import epoch_row
from rich.console import Console

from cnn.config.params import SearchParams
from cnn.config.recipe import Recipe
from cnn.config.space import Float, Int
from cnn.errors import Interrupted, SpaceError
from cnn.records import Cost, Outcome, Proposal, TrialState
from cnn.search.budget import Budget
from cnn.search.coordinator import Coordinator
from cnn.search.engines.optuna import OptunaSearcher
from cnn.search.engines.random import RandomSearcher
from cnn.search.engines.searcher import Pause
from cnn.search.job import EpochDone, JobEnded, JobId, JobLost
from cnn.search.logbook import Logbook
from cnn.search.results import write_results
from cnn.search.screen import Screen
from cnn.search.space import Space
from cnn.search.study import open_study
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import RunState

EPOCHS = 3
DIMENSIONS = {
    "model.filters": Int(type="int", low=4, high=64),
    "optimizer.learning_rate": Float(type="float", low=1e-4, high=1e-1, log=True),
}
DIES, FAILS = "dies", "fails"


def learnt(job, epoch):
    """A curve that is a function of recipe and seed alone, as every real one."""
    filters, rate = job.recipe["model"]["filters"], job.recipe["optimizer"]["learning_rate"]
    return (filters / 64 + rate) / 2 * (1 - 0.5 ** (epoch + 1)) + job.seed % 100 / 1000


@dataclass
class Run:
    job: object
    words: list
    reported: int = 0
    answered: bool = True
    stopped: bool = False


def scripted_row(epoch, word):
    accuracy, score = word if isinstance(word, tuple) else (word, word)
    return epoch_row(epoch, accuracy, val_score=score)


@dataclass
class ScriptedExecutor:
    """Executes scripts: an accuracy (or it and a score) an epoch, `DIES` for a worker's death, `FAILS` for an error.

    A job reports an epoch, waits for its answer, goes on; after its worker's death the epochs of its checkpoint are
    reported again. An epoch costs a second.

    Args:
        scripts: By job; any other job learns.
        before: Called before each poll with the number of polls so far.
    """

    n_slots: int = 1
    scripts: dict = field(default_factory=dict)
    before: object = lambda n: None
    runs: dict = field(default_factory=dict)
    jobs: list = field(default_factory=list)
    n_polls: int = 0

    def n_free(self):
        return self.n_slots - len(self.runs)

    def submit(self, job):
        assert self.n_free() > 0
        self.jobs.append(job)
        words = self.scripts.get(job.id) or [learnt(job, epoch) for epoch in range(EPOCHS)]
        self.runs[job.id] = Run(job, words)

    def answer(self, job, *, stop):
        if job in self.runs:
            self.runs[job].answered, self.runs[job].stopped = True, stop

    def kill(self, job):
        if job in self.runs:
            self.runs[job].words.insert(self.runs[job].reported, DIES)
            self.runs[job].answered = True

    def poll(self, timeout_s):
        self.before(self.n_polls)
        self.n_polls += 1
        return [self._step(run) for run in list(self.runs.values()) if run.answered]

    def close(self):
        self.runs.clear()

    def _step(self, run):
        word = run.words[run.reported] if run.reported < len(run.words) else None
        if run.stopped:
            return self._ended(run, TrialState.PRUNED, "pruned")
        if word is None:
            return self._ended(run, TrialState.COMPLETED, "all epochs")
        if word is DIES:
            run.words.remove(DIES)
            del self.runs[run.job.id]
            return JobLost(id=run.job.id, reason="its worker was killed")
        if word is FAILS:
            return self._ended(run, TrialState.FAILED, "ValueError: no")
        run.reported, run.answered = run.reported + 1, False
        return EpochDone(id=run.job.id, row=scripted_row(run.reported - 1, word), cost=self._cost(run))

    def _ended(self, run, state, reason):
        del self.runs[run.job.id]
        curve = tuple(scripted_row(epoch, word) for epoch, word in enumerate(run.words[: run.reported]))
        number = run.job.id.number
        return JobEnded(
            id=run.job.id,
            outcome=Outcome(number=number, state=state, reason=reason, curve=curve, cost=self._cost(run)),
        )

    def _cost(self, run):
        return Cost(wall_s=run.reported, cpu_s=run.reported, epochs=run.reported)


@dataclass
class Listed:
    """A searcher that says what it is told to say, and can prune."""

    words: list
    told: list = field(default_factory=list)
    asked: int = 0
    reported: list = field(default_factory=list)

    def restore(self, trials, state):
        pass

    def ask(self, number):
        self.asked += 1
        word = self.words.pop(0) if self.words else Pause.EXHAUSTED
        return Proposal(number=number, values=word, epochs=EPOCHS) if isinstance(word, dict) else word

    def report(self, number, epoch, score):
        self.reported.append((number, epoch, score))
        return False

    def tell(self, outcome):
        self.told.append(outcome)

    def state(self):
        return f"{self.asked} asked"


def random_searcher():
    return RandomSearcher(Space(DIMENSIONS), seed=4, epochs=EPOCHS)


def optuna_searcher():
    return OptunaSearcher(
        Space(DIMENSIONS),
        seed=4,
        epochs=EPOCHS,
        sampler="tpe",
        pruner="hyperband",
        storage_url="sqlite:///:memory:",
        study_name="study",
    )


def search_params(trials=4, finalists=2, seeds=1, **budget):
    return SearchParams.model_validate(
        {
            "space": {"model.filters": {"type": "int", "low": 4, "high": 64}},
            "budget": {"trials": trials, "epochs": EPOCHS} | budget,
            "finalists": finalists,
            "finalist_seeds": seeds,
        }
    )


@dataclass
class Search:
    """One start of a search: its coordinator and all it was put together from."""

    coordinator: Coordinator
    executor: ScriptedExecutor
    tracker: MemoryTracker
    study: object
    logbook: Logbook
    said: StringIO

    def run(self):
        try:
            return self.coordinator.run()
        finally:
            self.logbook.wait()

    def outcomes(self):
        return {row.id: row.outcome for row in self.study.ledger.rows()}

    def logged(self, job=None):
        return self.tracker.read_run(self.study.name if job is None else f"{self.study.name}/{job}")


@contextmanager
def started(folder, *, params=None, searcher=None, executor=None, tracker=None):
    params, executor, tracker = params or search_params(), executor or ScriptedExecutor(), tracker or MemoryTracker()
    said = StringIO()
    console = Console(file=said, width=200)
    with open_study(folder, "digest") as study, Screen(console, study.name, EPOCHS) as screen:
        logbook = Logbook(
            tracker, study.name, {}, draw=lambda curve, path, title: path.write_text(title), scratch=study.folder
        )
        logbook.open({})
        coordinator = Coordinator(
            params,
            Recipe(),
            study,
            searcher=searcher or random_searcher(),
            executor=executor,
            logbook=logbook,
            budget=Budget(
                params.budget, n_workers=executor.n_slots, n_final_runs=params.finalists * params.finalist_seeds
            ),
            screen=screen,
        )
        yield Search(coordinator, executor, tracker, study, logbook, said)


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


class Killed(BaseException):
    """Stands for the end of the process at this instant: no handler of the coordinator's may see it."""


def undisturbed(folder, searcher, n_slots=1):
    with started(folder, searcher=searcher(), executor=ScriptedExecutor(n_slots=n_slots)) as search:
        return search.run().row.id, curves(search), search.executor.n_polls


def curves(search):
    return {job: (outcome.state, outcome.curve) for job, outcome in search.outcomes().items()}


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

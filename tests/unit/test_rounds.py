"""Rounds as the coordinator runs them: in the ledger, the tracker and on the screen; and without them."""

import json
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import pytest
from making import epoch_row
from rich.console import Console
from steered import EPOCHS, SIZES, SPACE, LearningExecutor

from cnn import wiring
from cnn.config.environment import Environment
from cnn.config.params import BudgetParams, Params, SearchParams
from cnn.config.recipe import Recipe
from cnn.config.space import Float, Int
from cnn.data.prepared.store import read_prepared
from cnn.diagnosis.effects import RemedyMemory
from cnn.diagnosis.steering import RemedyAdviser
from cnn.errors import Interrupted
from cnn.records import Cost, Outcome, TrialState
from cnn.search.budget import Budget
from cnn.search.coordinator import Coordinator
from cnn.search.engines.optuna import OptunaSearcher
from cnn.search.engines.random import RandomSearcher
from cnn.search.job import JobEnded
from cnn.search.logbook import Logbook
from cnn.search.rounds import Pair, Round, pairs_text, read_pairs, read_rounds, rounds_text
from cnn.search.screen import Screen
from cnn.search.space import Space
from cnn.search.steering import Steering
from cnn.search.study import open_study
from cnn.steps.prepare import prepare
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker

TRIALS = 24
PARAMS = SearchParams.model_validate(
    {
        "space": {"model.filters": {"type": "int", "low": 4, "high": 64}},  # the searcher's own space counts
        "budget": {"trials": TRIALS, "epochs": EPOCHS},
        "finalists": 1,
        "finalist_seeds": 1,
    }
)


class Pruning(RandomSearcher):
    """Would stop every trial after its third epoch, from the tenth trial on."""

    def report(self, number, epoch, score):
        return number >= 10 and epoch >= 2


@dataclass
class Search:
    coordinator: Coordinator
    executor: LearningExecutor
    tracker: MemoryTracker
    study: object
    said: StringIO

    def trials(self):
        return self.study.ledger.trials()

    def logged(self):
        return self.tracker.read_run(self.study.name)


@contextmanager
def started(folder: Path, *, searcher=RandomSearcher, before=lambda n: None, tracker=None):
    executor, tracker, said = LearningExecutor(before), tracker or MemoryTracker(), StringIO()
    with (
        open_study(folder / "studies", "digest") as study,
        Screen(Console(file=said, width=400), study.name, EPOCHS) as screen,
    ):
        adviser = RemedyAdviser(SPACE.dimensions, Recipe(), SIZES, RemedyMemory(folder / "memory.jsonl"))
        logbook = Logbook(
            tracker, study.name, {}, draw=lambda curve, path, title: path.write_text(title), scratch=study.folder
        )
        logbook.open({})
        coordinator = Coordinator(
            PARAMS,
            Recipe(),
            study,
            searcher=searcher(SPACE, seed=3, epochs=EPOCHS),
            executor=executor,
            logbook=logbook,
            budget=Budget(PARAMS.budget, n_workers=1, n_final_runs=1),
            screen=screen,
            steering=Steering(SPACE, study, adviser, seed=3, n_rounds=3),
        )
        try:
            yield Search(coordinator, executor, tracker, study, said)
        finally:
            logbook.wait()


def test_each_round_is_logged_with_its_reasons_and_shown(tmp_path):
    with started(tmp_path) as search:
        search.coordinator.run()
        rounds = read_rounds(search.study.ledger)
        # The budget is divided into as many parts.
        assert [one.first_trial for one in rounds] == [0, 8, 16]
        assert any(one.focus for one in rounds)
        logged = search.logged()
        # A tag a round says what it changed and why; the file holds the ranges too.
        assert logged.tags["rounds"] == "3"
        assert [logged.tags[f"round_{n}"] for n in (1, 2, 3)] == [
            " ".join(one.changes) or "the whole space" for one in rounds
        ]
        assert "rounds.json" in logged.files
        documents = json.loads((search.study.folder / "rounds.json").read_text())
        assert documents == [one.document() for one in rounds]
        # One line a round on the screen.
        lines = [line for line in search.said.getvalue().splitlines() if line.startswith("round ")]
        assert lines == [f"round {n}: {' '.join(one.changes) or 'the whole space'}" for n, one in enumerate(rounds, 1)]


def test_a_search_that_is_interrupted_anywhere_goes_on_as_if_nothing_had_happened(tmp_path):
    with started(tmp_path / "whole") as whole:
        whole.coordinator.run()
        expected, rounds = whole.trials(), whole.study.ledger.read("rounds")
        pairs = read_pairs(whole.study.ledger)
        jobs = {(job.id, job.seed) for job in whole.executor.jobs}
        n_polls = whole.executor.n_polls
    assert pairs
    # In the first round, in the middle of the first pair, and after it.
    begun = (EPOCHS + 1) * min(pairs) + 4
    for stop in (3 * EPOCHS, begun, (begun + n_polls) // 2):
        folder = tmp_path / str(stop)
        with started(folder) as torn:
            torn.executor.before = lambda n, stop=stop, torn=torn: n == stop and torn.coordinator.interrupt()
            with pytest.raises(Interrupted):
                torn.coordinator.run()
        with started(folder) as again:
            again.coordinator.run()
            # Same proposals and seeds, same rounds, same pairs; a job that goes on has the seed that it had.
            assert [(row.proposal, row.seed) for row in again.trials()] == [
                (row.proposal, row.seed) for row in expected
            ]
            assert again.study.ledger.read("rounds") == rounds
            assert read_pairs(again.study.ledger) == pairs
            assert {(job.id, job.seed) for job in again.executor.jobs} <= jobs
            # Whoever looks at the run sees all rounds.
            assert again.logged().tags["rounds"] == "3"


def test_a_pair_is_never_pruned(tmp_path):
    with started(tmp_path, searcher=Pruning) as search:
        search.coordinator.run()
        pairs = read_pairs(search.study.ledger)
        states = {row.id.number: row.outcome.state for row in search.trials()}
        assert pairs
        # It is compared with a run of full length; all others the engine stops.
        assert {states[number] for number in pairs} == {TrialState.COMPLETED}
        assert {states[number] for number in range(10, TRIALS) if number not in pairs} == {TrialState.PRUNED}


def test_too_few_completed_runs_change_nothing(tmp_path):
    class Strict(RandomSearcher):
        def report(self, number, epoch, score):
            return number > 1

    with started(tmp_path, searcher=Strict) as search:
        search.coordinator.run()
        # Two completed runs are no vote: the next round waits for a third.
        assert len(read_rounds(search.study.ledger)) == 1
        assert not read_pairs(search.study.ledger)


def test_an_adviser_that_fails_costs_no_search(tmp_path, monkeypatch):
    def fails(*said, **more):
        raise ZeroDivisionError

    for word in ("opening", "advise", "treatments"):
        monkeypatch.setattr(RemedyAdviser, word, fails)
    with started(tmp_path) as search:
        search.coordinator.run()
        # All trials were tried, and the rounds say what was amiss.
        assert len(search.trials()) == TRIALS
        said = ("nothing: no advice could be had (ZeroDivisionError).",)
        assert [one.changes for one in read_rounds(search.study.ledger)] == [said] * 3


def test_rounds_and_pairs_survive_the_ledger(tmp_path):
    focus = {"model.filters": Int(type="int", low=8, high=32, step=8), "x": Float(type="float", low=0.1, high=0.3)}
    rounds = [Round(part=0, first_trial=0), Round(part=2, first_trial=9, focus=focus, changes=("more", "less"))]
    pairs = {11: Pair(origin=3, remedy="dropout", verdict="overfitting")}
    with open_study(tmp_path, "digest") as study:
        assert (read_rounds(study.ledger), read_pairs(study.ledger)) == ([], {})
        study.ledger.write(rounds=rounds_text(rounds), pairs=pairs_text(pairs))
        assert (read_rounds(study.ledger), read_pairs(study.ledger)) == (rounds, pairs)


@pytest.mark.parametrize(
    ("limits", "n_asked", "expected"),
    [
        ({"trials": 40}, 10, 0.25),
        ({"minutes": 10}, 10, 0.5),
        ({"cpu_minutes": 5}, 10, 0.2),
        ({"trials": 40, "minutes": 10}, 10, 0.5),
        ({"trials": 40, "minutes": 10}, 30, 0.75),
    ],
)
def test_progress_is_that_of_the_bound_nearest_to_its_end(limits, n_asked, expected):
    budget = Budget(BudgetParams.model_validate(limits), n_workers=1, n_final_runs=0, elapsed_s=300.0)
    assert budget.progress(n_asked, [Cost(cpu_s=40.0), Cost(cpu_s=20.0)]) == pytest.approx(expected, abs=0.001)


# ---- off

OFF_SPACE = Space(
    {
        "model.filters": Int(type="int", low=8, high=64, step=8),
        "model.dropout": Float(type="float", low=0.0, high=0.5),
    }
)
# Written down from the search before it had rounds: trials 0, 1 and 13 with seed 4, the dropout being the score.
RANDOM = [(48, 0.2556637764071808), (32, 0.21697616461130825), (16, 0.19616876282517476)]
OPTUNA = [(8, 0.12865351501651445), (40, 0.0022608023663409083), (32, 0.4586056947806997)]


def optuna_searcher():
    words = {"sampler": "tpe", "pruner": "none", "storage_url": "sqlite:///:memory:", "study_name": "plain"}
    return OptunaSearcher(OFF_SPACE, seed=4, epochs=1, **words)


class ScoringExecutor(LearningExecutor):
    """One epoch a job, whose score is its dropout."""

    def poll(self, timeout_s):
        job, self._job = self._job, None
        curve = (epoch_row(0, job.recipe["model"]["dropout"]),)
        return [
            JobEnded(
                id=job.id,
                outcome=Outcome(number=job.id.number, state=TrialState.COMPLETED, reason="all epochs", curve=curve),
            )
        ]


@pytest.mark.parametrize(
    ("make", "pinned"),
    [(lambda: RandomSearcher(OFF_SPACE, seed=4, epochs=1), RANDOM), (optuna_searcher, OPTUNA)],
    ids=["random", "optuna"],
)
def test_without_remedies_the_search_is_the_plain_one_bit_for_bit(make, pinned, tmp_path):
    params = PARAMS.model_copy(update={"budget": BudgetParams(trials=14, epochs=1), "remedies": "off"})
    with open_study(tmp_path, "digest") as study, Screen(Console(quiet=True), study.name, 1) as screen:
        logbook = Logbook(MemoryTracker(), study.name, {}, draw=lambda *said: None, scratch=study.folder)
        logbook.open({})
        budget = Budget(params.budget, n_workers=1, n_final_runs=1)
        parts = {"searcher": make(), "executor": ScoringExecutor(), "logbook": logbook}
        Coordinator(params, Recipe(), study, budget=budget, screen=screen, **parts).run()
        values = [row.proposal.values for row in study.ledger.trials()]
        # The values of before there were rounds, to the last bit.
        assert [(values[n]["model.filters"], values[n]["model.dropout"]) for n in (0, 1, 13)] == pinned
        # Neither rounds nor pairs stand in its ledger.
        assert (read_rounds(study.ledger), read_pairs(study.ledger)) == ([], {})


@pytest.mark.parametrize(("word", "steered"), [("on", True), ("off", False)])
def test_remedies_are_wired_as_the_settings_say(word, steered, tmp_path):
    search = {"space": PARAMS.space, "budget": PARAMS.budget, "remedies": word}
    params = Params.model_validate({"prepare": {"source": "digits"}, "search": search})
    parts = wiring.search_parts(params, Environment(home=tmp_path), MemoryTracker())
    assert (parts.adviser is not None) is steered


# ---- the whole step


def searched(folder, *, remedies="on", seed=0):
    """A search of digits as `cnn search` runs it, but for the training."""
    search_section = {
        "engine": "random",
        "space": {path: dimension.model_dump(mode="json") for path, dimension in SPACE.dimensions.items()},
        "budget": {"trials": TRIALS, "epochs": EPOCHS},
        "remedies": remedies,
        "memory": "none",
        "seed": seed,
        "finalists": 1,
        "finalist_seeds": 0,
        "contact_sheet": False,
    }
    params = Params.model_validate({"prepare": {"source": "digits"}, "search": search_section})
    environment, tracker, said = Environment(home=folder / "home"), MemoryTracker(), StringIO()
    data = prepare(params, environment, folder / "prepared").folder
    wired = wiring.search_parts(params, environment, tracker)
    parts = replace(
        wired, executor=lambda study, data: LearningExecutor(), n_workers=1, draw=lambda curve, path, title: None
    )
    parts = replace(parts, sampler=lambda key: nullcontext())
    search(params, environment, parts, Console(file=said, width=400), data=data, out=folder / "out")
    return environment, (folder / "out" / "study.html").read_text(), (folder / "out" / "leaderboard.csv").read_bytes()


def test_a_night_learns_and_its_report_says_what_the_rounds_changed(tmp_path):
    environment, report, leaderboard = searched(tmp_path)
    (memory,) = (environment.home / "remedies").iterdir()
    # One file a data set, with what was measured and where the search ended.
    assert memory.name == f"{read_prepared(tmp_path / 'prepared').data_hash}.jsonl"
    kinds = [next(iter(json.loads(line))) for line in memory.read_text().splitlines()]
    assert kinds.count("effect") >= 1
    assert kinds.count("focus") == 1
    assert "Rounds, and what they changed" in report
    # In a home of its own, the same search repeats bit for bit, and so does what it has learnt.
    other, _, again = searched(tmp_path / "other")
    assert again == leaderboard
    assert next((other.home / "remedies").iterdir()).read_bytes() == memory.read_bytes()
    # In the same home the next night has learnt: it does not begin where this one began.
    _, _, second = searched(tmp_path)
    assert second != leaderboard


def test_without_remedies_nothing_is_learnt_and_every_night_is_the_same(tmp_path):
    environment, report, leaderboard = searched(tmp_path, remedies="off")
    assert not (environment.home / "remedies").exists()
    assert "Rounds, and what they changed" not in report
    # The second night in the same home repeats the first.
    assert searched(tmp_path, remedies="off")[2] == leaderboard

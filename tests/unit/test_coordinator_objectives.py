"""Searches after more than a score: limits and the gap, over an executor whose trials are written down."""

import json
from dataclasses import dataclass, field

import pytest
from scripted import DIMENSIONS, EPOCHS, Killed, Listed, ScriptedExecutor, curves, search_params, started

from cnn.config.objective import ObjectiveParams
from cnn.config.recipe import Recipe
from cnn.errors import SpaceError
from cnn.records import Outcome, Size, TrialState
from cnn.search import limits
from cnn.search.engines.optuna import OptunaSearcher
from cnn.search.job import JobEnded, JobId, JobSized
from cnn.search.ledger import Ledger
from cnn.search.results import front_numbers, write_results
from cnn.search.runs import MOST_OVER
from cnn.search.space import Space
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import RunState

UNDER = ObjectiveParams(of="accuracy_under", parameters=20_000)
FAST = ObjectiveParams(of="accuracy_under", latency_ms=5.0)
BOTH = ObjectiveParams(of="accuracy_and_gap", score_slack=0.05)


@dataclass
class SizingExecutor(ScriptedExecutor):
    """Measures before it trains, as a worker does: a thousand parameters a filter.

    Args:
        latency_ms: What it measures of every network, at this hour.
    """

    limits: dict = field(default_factory=lambda: UNDER.limits)
    latency_ms: float = 1.0
    measured: list = field(default_factory=list)
    sized: dict = field(default_factory=dict)

    def _step(self, run):
        job = run.job
        size = job.size or self.sized.get(job.id)
        if size is None:
            self.measured.append(job.id)
            parameters = 1000 * job.recipe["model"]["filters"]
            size = self.sized[job.id] = Size(parameters=parameters, multiply_adds=1, latency_ms=self.latency_ms)
            return JobSized(id=job.id, size=size)
        if reason := limits.reason(size, self.limits):
            del self.runs[job.id]
            infeasible = Outcome(number=job.id.number, state=TrialState.INFEASIBLE, reason=reason)
            return JobEnded(id=job.id, outcome=infeasible)
        return super()._step(run)


def filters(*numbers):
    return Listed([{"model.filters": number} for number in numbers])


def params_of(objective, **changes):
    return search_params(**changes).model_copy(update={"objective": objective})


# ---- limits


def test_what_is_over_the_limit_is_not_trained_and_takes_no_trial_from_the_budget(tmp_path):
    executor = SizingExecutor()
    params = params_of(UNDER, trials=2, finalists=1, seeds=1)
    with started(tmp_path, params=params, searcher=filters(64, 8, 32, 16), executor=executor) as search:
        winner = search.run()
        states = {job.number: outcome.state for job, outcome in search.outcomes().items() if job.repeat == 0}
        # Four proposals for two trials: the two that fit were trained, the others cost nothing.
        assert states == {
            0: TrialState.INFEASIBLE,
            1: TrialState.COMPLETED,
            2: TrialState.INFEASIBLE,
            3: TrialState.COMPLETED,
        }
        assert winner.row.id.number in (1, 3)
        # Each was measured once; a finalist's fresh run has its trial's size.
        assert executor.measured == [JobId(n) for n in range(4)]
        assert search.study.ledger.row(JobId(winner.row.id.number, 1)).size == winner.row.size
        # The tracker has the reason, the sizes as figures, and shows no failure.
        logged = search.logged(0)
        assert (logged.state, logged.tags["state"]) == (RunState.FINISHED, "infeasible")
        assert logged.tags["reason"] == "64,000 parameters, over 20,000"
        assert (logged.figures["parameters"], search.logged(1).figures["parameters"]) == (64_000, 8_000)
        files = write_results(
            tmp_path / "out", winner, Recipe(), search.study.ledger.rows(), engine="x", objective=UNDER
        )
        found = [path.read_text() for path in files]
    # Whoever reads the files sees sizes, how many did not fit, and by what the winner was chosen.
    assert ",parameters,multiply_adds,latency_ms,model.filters" in found[0].splitlines()[0]
    assert json.loads(found[1])["n_infeasible"] == 2
    assert "at most 20,000 parameters" in " ".join(found[2].split())
    # And on the screen.
    assert "infeasible" in search.said.getvalue() and "over 20,000" in search.said.getvalue()


def test_a_search_in_which_nothing_fits_ends_and_says_so_in_one_line(tmp_path):
    searcher = filters(*[30] * MOST_OVER, 40, 8)
    params = params_of(UNDER, trials=2)
    with started(tmp_path, params=params, searcher=searcher, executor=SizingExecutor()) as search:
        # It gives up after so many in a row, and names the nearest miss and what to change.
        with pytest.raises(
            SpaceError, match=rf"{MOST_OVER} trials, all over .*30,000 parameters, over 20,000"
        ) as refused:
            search.run()
        assert len(str(refused.value).splitlines()) == 1 and "search.objective" in str(refused.value)
        assert search.logged().state is RunState.FAILED


def test_a_search_that_goes_on_does_not_measure_again(tmp_path):
    def die(n):
        if n == 2:  # the first trial has been measured and has an epoch
            raise Killed

    params = params_of(FAST, trials=1, finalists=1, seeds=0)
    before = SizingExecutor(limits=FAST.limits, latency_ms=4.0, before=die)
    with pytest.raises(Killed), started(tmp_path, params=params, searcher=filters(8), executor=before) as search:
        search.run()
    # Meanwhile the machine is busy, and the network would be too slow.
    after = SizingExecutor(limits=FAST.limits, latency_ms=9.0)
    with started(tmp_path, params=params, searcher=filters(), executor=after) as search:
        winner = search.run()
        # What was measured once counts.
        assert (winner.row.id.number, winner.row.size.latency_ms) == (0, 4.0)
        assert after.measured == []


# ---- score and gap


def nsga():
    # NSGA-II has notes of its own on each trial, which a start after a kill must find.
    return OptunaSearcher(
        Space(DIMENSIONS),
        seed=4,
        epochs=EPOCHS,
        sampler="nsgaii",
        pruner="hyperband",
        storage_url="sqlite:///:memory:",
        study_name="night",
        objective=BOTH,
    )


def test_a_search_after_both_killed_at_any_poll_ends_the_same(tmp_path):
    # More than a population, so that the second generation has parents.
    params = params_of(BOTH, trials=15, finalists=2, seeds=1)
    executor = ScriptedExecutor()
    with started(tmp_path / "whole", params=params, searcher=nsga(), executor=executor) as search:
        winner, expected = search.run().row.id, curves(search)
    assert all(state is TrialState.COMPLETED for state, _ in expected.values())
    for instant in range(5, executor.n_polls, 25):
        folder, tracker = tmp_path / str(instant), MemoryTracker()

        def die(n, instant=instant):
            if n == instant:
                raise Killed

        dying = ScriptedExecutor(before=die)
        with (
            pytest.raises(Killed),
            started(folder, params=params, searcher=nsga(), executor=dying, tracker=tracker) as search,
        ):
            search.run()
        with started(folder, params=params, searcher=nsga(), tracker=tracker) as search:
            # Same proposals, same curves, same winner, wherever the kill came.
            assert search.run().row.id == winner
            assert curves(search) == expected


def test_the_front_is_marked_everywhere(tmp_path):
    # Accuracies against a clean training accuracy of 0.625: gaps of 0.125, 0.025 and 0.
    scripts = {JobId(0): [0.5], JobId(1): [0.6], JobId(2): [0.3], JobId(1, 1): [0.6], JobId(0, 1): [0.5]}
    params = params_of(BOTH, trials=3, finalists=2, seeds=1)
    executor = ScriptedExecutor(scripts=scripts)
    with started(tmp_path, params=params, searcher=filters(8, 16, 32), executor=executor) as search:
        winner = search.run()
        rows = search.study.ledger.rows()
        # Trial 1 has the best score and the smallest gap: nobody else is on the front, or trained again.
        assert front_numbers(rows, BOTH) == [1]
        assert {job for job in search.outcomes() if job.repeat} == {JobId(1, 1)}
        search.logbook.close(winner, {}, [], pareto=front_numbers(rows, BOTH))
        # In the tracker it can be filtered by.
        assert [search.logged(n).tags.get("pareto") for n in range(3)] == [None, "true", None]
        files = write_results(tmp_path / "out", winner, Recipe(), rows, engine="x", objective=BOTH)
    assert json.loads(files[1].read_text())["winner_mean_gap"] == pytest.approx(0.025)
    said = files[2].read_text()
    assert "pareto_front:\n- 1\n" in said and "smallest mean gap" in said
    # A ledger of the front is a plain ledger.
    with Ledger(search.study.ledger.path) as ledger:
        assert len(ledger.rows()) == 4

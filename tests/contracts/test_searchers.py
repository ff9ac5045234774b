"""What every engine with every sampler must do. The objective is scripted: f(values) (1 - exp(-epochs trained))."""

import importlib.util
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import mean

import pytest
from making import epoch_row

from cnn.config.objective import ObjectiveParams
from cnn.config.space import Choice, Float, Int
from cnn.errors import SpaceError
from cnn.records import Outcome, Proposal, Size, TrialState, Values
from cnn.search import limits
from cnn.search.engines.random import RandomSearcher
from cnn.search.engines.searcher import Pause, Searcher, StoredTrial
from cnn.search.focus import Focus, adjuster, is_whole
from cnn.search.pareto import overfitting
from cnn.search.space import Space

EPOCHS = 3

NUMBERS = Space(
    {
        "dropout": Float(type="float", low=0.0, high=0.5),
        "rate": Float(type="float", low=1e-4, high=1e-1, log=True),
        "units": Int(type="int", low=8, high=64, log=True),
        "filters": Int(type="int", low=16, high=64, step=8),
    }
)
SMALL = Space({path: NUMBERS.dimensions[path] for path in ("dropout", "rate")})
FLAT = Space(dict(NUMBERS.dimensions) | {"name": Choice(type="choice", values=("adam", "sgd", "rmsprop"))})
MIXED = Space(
    dict(FLAT.dimensions)
    | {
        "shift": Choice(type="choice", values=(0, 0.1)),
        "nesterov": Choice(type="choice", values=(True, False), when={"name": ("sgd",)}),
        "momentum": Float(type="float", low=0.5, high=0.99, when={"nesterov": (True,)}),
    }
)


SCORE = ObjectiveParams()
BOTH = ObjectiveParams(of="accuracy_and_gap")
UNDER = ObjectiveParams(of="accuracy_under", parameters=24_000)


@dataclass(frozen=True)
class Engine:
    """One row of the table the whole suite walks."""

    engine: str
    sampler: str = ""
    pruner: str = "none"
    space: Space = MIXED
    objective: ObjectiveParams = SCORE

    def make(self, folder: Path, *, seed: int = 1, study: str = "night", space: Space | None = None) -> Searcher:
        space = space or self.space
        if self.engine == "random":
            return RandomSearcher(space, seed=seed, epochs=EPOCHS)
        if self.engine == "keras_tuner":
            from cnn.search.engines.keras_tuner import KerasTunerSearcher

            return KerasTunerSearcher(space, seed=seed, epochs=EPOCHS, sampler=self.sampler)
        from cnn.search.engines.optuna import OptunaSearcher

        return OptunaSearcher(
            space,
            seed=seed,
            epochs=EPOCHS,
            sampler=self.sampler,
            pruner=self.pruner,
            storage_url=f"sqlite:///{folder / 'optuna.db'}",
            study_name=study,
            objective=self.objective,
        )

    def __str__(self) -> str:
        objective = "" if self.objective.of == "accuracy" else self.objective.of
        words = (self.engine, self.sampler, self.pruner, objective)
        return "-".join(word for word in words if word and word != "none")


WITHOUT_PRUNER = [
    Engine("random"),
    Engine("optuna", "tpe"),
    Engine("optuna", "random"),
    Engine("optuna", "cmaes", space=NUMBERS),
    Engine("optuna", "qmc", space=FLAT),
    Engine("optuna", "gp", space=NUMBERS),
    Engine("optuna", "tpe", objective=BOTH),
    Engine("optuna", "nsgaii", objective=BOTH),
    Engine("optuna", "tpe", objective=UNDER),
    Engine("optuna", "nsgaii", objective=UNDER),
    Engine("keras_tuner", "random"),
    Engine("keras_tuner", "bayesian", space=SMALL),
    Engine("keras_tuner", "hyperband"),
    Engine("keras_tuner", "grid"),
]
WITH_PRUNER = [Engine("optuna", "tpe", "hyperband"), Engine("optuna", "tpe", "median")]


def _param(engine: Engine):
    marks = []
    if engine.sampler == "gp":
        marks.append(pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="gp needs torch"))
    if engine.engine == "keras_tuner":
        marks.append(pytest.mark.slow)  # imports Keras: ten seconds, once
    return pytest.param(engine, id=str(engine), marks=marks)


without_pruner = pytest.mark.parametrize("engine", [_param(engine) for engine in WITHOUT_PRUNER])
with_pruner = pytest.mark.parametrize("engine", [_param(engine) for engine in WITH_PRUNER])
every_engine = pytest.mark.parametrize("engine", [_param(engine) for engine in WITHOUT_PRUNER + WITH_PRUNER])


def quality(values: Values) -> float:
    """Smooth, in (0, 1], best at dropout 0.2, rate 0.01, units 32, filters 48."""
    misses = (
        (values["dropout"] - 0.2) / 0.5,
        math.log10(values["rate"] / 0.01) / 3,
        math.log2(values.get("units", 32) / 32) / 3,
        (values.get("filters", 48) - 48) / 48,
    )
    return math.exp(-3 * sum(miss * miss for miss in misses))


def score(values: Values, epoch: int) -> float:
    return quality(values) * (1 - math.exp(-(epoch + 1)))


def epoch_of(values: Values, epoch: int):
    """The better and the less regularized, the larger the gap: no values are best in both respects."""
    accuracy = score(values, epoch)
    return epoch_row(epoch, accuracy, clean_train_accuracy=accuracy + accuracy * (0.5 - values["dropout"]))


def size_of(values: Values) -> Size:
    """A thousand parameters a filter: a third of the numbers of filters is within the limit."""
    return Size(parameters=1000 * values["filters"], multiply_adds=1)


@dataclass
class Night:
    """A coordinator in miniature: a ledger in memory, a searcher that may be lost at any point."""

    make: Callable[[], Searcher]
    workers: int = 1
    failing: Callable[[int], bool] = lambda number: False
    focus: Focus = field(default_factory=dict)  # of `space`: most trials are moved into it
    space: Space = MIXED
    objective: ObjectiveParams = SCORE
    entered: Callable[[int], bool] = lambda number: (
        False
    )  # trials that have the first one's values, whatever is proposed
    lossy: bool = False  # each call of the engine is lost before the ledger is written, and made again after a restart
    trials: list[StoredTrial] = field(default_factory=list)
    state: str = ""
    exhausted: bool = False

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.searcher = self.make()
        self.searcher.restore(tuple(self.trials), self.state)

    def run(self, n_trials: int) -> "Night":
        while True:
            running = [trial.proposal.number for trial in self.trials if trial.outcome is None]
            waiting = False
            while len(running) < self.workers and len(self.trials) < n_trials and not self.exhausted and not waiting:
                waiting = not self.ask(running)
            if not running:
                return self
            for number in running:
                self.advance(number)

    def ask(self, running: list[int]) -> bool:
        number = len(self.trials)
        proposal = self._engine(lambda: self._asked(number))
        if isinstance(proposal, Pause):
            self.exhausted = proposal is Pause.EXHAUSTED
            # Waiting makes sense only while something is under way.
            assert self.exhausted or running
            return False
        self.state = self.searcher.state()
        self.trials.append(StoredTrial(proposal=proposal))
        running.append(number)
        return True

    def _asked(self, number: int):
        if self.entered(number):
            proposal = replace(self.trials[0].proposal, number=number)
            self.searcher.enter(proposal)
            return proposal
        return self.searcher.ask(number, adjuster(self.space, self.focus, seed=5, number=number))

    def advance(self, number: int) -> None:
        trial = self.trials[number]
        epoch = len(trial.curve)
        if self.failing(number):
            self.end(number, TrialState.FAILED)
            return
        if self.objective.limits and limits.over(size_of(trial.proposal.values), self.objective.limits):
            self.end(number, TrialState.INFEASIBLE)
            return
        accuracy = score(trial.proposal.values, epoch)
        prune = self._engine(lambda: self.searcher.report(number, epoch, accuracy))
        self.trials[number] = trial = replace(trial, curve=(*trial.curve, epoch_of(trial.proposal.values, epoch)))
        if prune or len(trial.curve) == trial.proposal.epochs:
            self.end(number, TrialState.PRUNED if prune else TrialState.COMPLETED)

    def end(self, number: int, state: TrialState) -> None:
        trial = self.trials[number]
        size = size_of(trial.proposal.values) if self.objective.limits else None
        outcome = Outcome(number=number, state=state, reason="scripted", curve=trial.curve, size=size)
        self._engine(lambda: self.searcher.tell(outcome))
        self.state = self.searcher.state()
        self.trials[number] = replace(trial, outcome=outcome)

    def _engine(self, call: Callable[[], object]):
        if self.lossy:
            call()
            self.restart()
        return call()

    @property
    def proposals(self) -> list[Proposal]:
        return [trial.proposal for trial in self.trials]

    @property
    def states(self) -> list[TrialState]:
        return [trial.outcome.state for trial in self.trials]

    @property
    def best(self) -> float:
        return max(trial.outcome.score or 0.0 for trial in self.trials)


def night_of(engine: Engine, folder: Path, *, seed: int = 1, study: str = "night", **changes) -> Night:
    """A night of an engine after its own objective."""
    return Night(lambda: engine.make(folder, seed=seed, study=study), objective=engine.objective, **changes)


def plain(value: object) -> bool:
    return type(value) in (str, int, float, bool)


@every_engine
def test_proposals_lie_in_the_space(engine, tmp_path):
    night = night_of(engine, tmp_path, workers=2).run(14)
    for number, proposal in enumerate(night.proposals):
        # A proposal bears the number it was asked for.
        assert proposal.number == number
        # Each active dimension has one of its values, and no inactive one has any.
        assert engine.space.contains(proposal.values)
        # A trial trains at least one epoch and never more than it may.
        assert 1 <= proposal.epochs <= EPOCHS
        # Values are plain Python and survive JSON, as the ledger writes them.
        assert all(plain(value) for value in proposal.values.values())
        assert json.loads(json.dumps(proposal.values)) == proposal.values


@every_engine
def test_goes_on_after_failed_trials(engine, tmp_path):
    night = night_of(engine, tmp_path, workers=2, failing=lambda number: number < 8).run(14)
    # Eight failures in a row are no reason to stop.
    assert len(night.proposals) == 14
    assert night.states[:8] == [TrialState.FAILED] * 8
    assert night.best > 0


@every_engine
def test_a_score_that_is_no_number_is_a_failure_to_learn_from(engine, tmp_path):
    searcher = engine.make(tmp_path)
    searcher.restore((), "")
    for number in range(3):
        proposal = searcher.ask(number)
        rows = (epoch_row(0, math.nan),)
        searcher.report(number, 0, math.nan)
        state = TrialState.COMPLETED if number else TrialState.FAILED
        searcher.tell(Outcome(number=number, state=state, reason="NaN", curve=rows))
    # The next proposal is as good as any.
    proposal = searcher.ask(3)
    assert engine.space.contains(proposal.values)


@every_engine
def test_same_seed_same_sequence(engine, tmp_path):
    first = night_of(engine, tmp_path / "a", workers=2).run(14)
    # Neither another storage nor another name of the study changes what is proposed or pruned.
    second = night_of(engine, tmp_path / "b", study="another", workers=2).run(14)
    assert second.proposals == first.proposals
    assert second.states == first.states


@every_engine
def test_another_seed_another_sequence(engine, tmp_path):
    if engine.sampler == "grid":
        pytest.skip("a grid has one order")
    first = night_of(engine, tmp_path / "a", seed=1).run(6)
    second = night_of(engine, tmp_path / "b", seed=2).run(6)
    # The seed decides.
    assert [p.values for p in second.proposals] != [p.values for p in first.proposals]


@pytest.mark.slow
@without_pruner
def test_a_kill_at_any_point_changes_nothing(engine, tmp_path):
    n_trials = {"cmaes": 16, "bayesian": 10, "nsgaii": 30}.get(engine.sampler, 13)
    failing = {3, 7}.__contains__
    whole = night_of(engine, tmp_path / "whole", workers=2, failing=failing).run(n_trials)
    torn = night_of(engine, tmp_path / "torn", workers=2, failing=failing, lossy=True).run(n_trials)
    # With the engine lost at every ask, report and tell, the search is the one that was never disturbed.
    assert torn.proposals == whole.proposals
    assert torn.states == whole.states


@pytest.mark.slow
@with_pruner
def test_a_kill_at_any_point_prunes_the_same(engine, tmp_path):
    # One worker: with several, the order of reports between two trials is not in the ledger.
    whole = night_of(engine, tmp_path / "whole").run(15)
    torn = night_of(engine, tmp_path / "torn", lossy=True).run(15)
    assert torn.proposals == whole.proposals
    assert torn.states == whole.states
    # The script does prune, or this test would show nothing.
    assert TrialState.PRUNED in whole.states


@every_engine
def test_trials_under_way_are_not_asked_for_again(engine, tmp_path):
    night = night_of(engine, tmp_path).run(5)
    under_way = []
    night.ask(under_way)
    night.restart()
    proposal = night.searcher.ask(len(night.trials))
    # After a restart the next number is proposed, and the trial under way can still be reported and told.
    assert proposal.number == 6
    night.advance(under_way[0])
    assert night.trials[under_way[0]].curve


@every_engine
def test_repeating_a_report_is_harmless(engine, tmp_path):
    night = night_of(engine, tmp_path).run(6)
    proposal = night.searcher.ask(6)
    for epoch in range(proposal.epochs):
        first = night.searcher.report(6, epoch, score(proposal.values, epoch))
        # The same report has the same answer.
        assert night.searcher.report(6, epoch, score(proposal.values, epoch)) is first


@without_pruner
def test_without_a_pruner_nothing_is_pruned(engine, tmp_path):
    night = night_of(engine, tmp_path, workers=2).run(8)
    assert TrialState.PRUNED not in night.states


@with_pruner
def test_a_pruner_spares_the_last_epoch_and_the_best(engine, tmp_path):
    night = night_of(engine, tmp_path).run(30)
    pruned = [trial for trial in night.trials if trial.outcome.state is TrialState.PRUNED]
    # A trial is only pruned while there is something to save, ...
    assert pruned
    assert all(len(trial.curve) < EPOCHS for trial in pruned)
    # ... and never the best of all.
    best = max(night.trials, key=lambda trial: quality(trial.proposal.values))
    assert best.outcome.state is TrialState.COMPLETED


@pytest.mark.parametrize(
    "engine",
    [_param(Engine("optuna", "tpe", space=NUMBERS)), _param(Engine("keras_tuner", "bayesian", space=SMALL))],
)
def test_learns_more_than_chance(engine, tmp_path):
    random = Engine("random", space=engine.space)
    # On a smooth function, guided trials find better values than as many draws.
    assert mean_best(engine, tmp_path / "guided") > mean_best(random, tmp_path / "random")


def mean_best(engine: Engine, folder: Path) -> float:
    n_trials = 7 * len(engine.space.dimensions)
    return mean(Night(partial(engine.make, folder / str(seed), seed=seed)).run(n_trials).best for seed in range(4))


# ---- other objectives than the score alone


def test_hears_of_a_network_over_the_limit_by_how_much(tmp_path):
    engine = Engine("optuna", "tpe", objective=UNDER)
    night = night_of(engine, tmp_path).run(14)
    over = {trial.proposal.number for trial in night.trials if trial.outcome.state is TrialState.INFEASIBLE}
    stored = optuna_trials(night.searcher)
    # Optuna's own reading of a trial says which are within the limit: those, and no others, that were trained.
    assert {trial.number for trial in stored if trial.constraints["parameters"] > 0} == over
    assert {trial.number for trial in stored} - over
    # By how much is a part of the limit: 64 filters are 64,000 parameters, of at most 24,000.
    excess = {trial.params["filters"]: trial.constraints["parameters"] for trial in stored}
    assert all(part == pytest.approx(filters / 24 - 1) for filters, part in excess.items())


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_learns_to_stay_within_the_limit(sampler, tmp_path):
    night = night_of(Engine("optuna", sampler, space=NUMBERS, objective=UNDER), tmp_path).run(60)
    late = night.states[24:]
    # Chance would keep to two of seven numbers of filters; two thirds of the later proposals do.
    assert late.count(TrialState.INFEASIBLE) < len(late) / 2


@pytest.mark.parametrize("sampler", ["tpe", "nsgaii"])
def test_is_told_of_score_and_gap(sampler, tmp_path):
    night = night_of(Engine("optuna", sampler, "hyperband", objective=BOTH), tmp_path).run(14)
    told = {trial.number: trial.values for trial in optuna_trials(night.searcher)}
    # Optuna has both figures of each trial, the gap from 0 up, although a pruner was asked for, which has only one.
    assert told == {
        trial.proposal.number: [trial.outcome.score, overfitting(trial.outcome.curve)] for trial in night.trials
    }
    assert night.states == [TrialState.COMPLETED] * 14


def optuna_trials(searcher):
    return searcher._study.get_trials(deepcopy=False)


def test_the_dashboard_sees_both_directions_and_the_limits(tmp_path):
    for objective, study in ((BOTH, "both"), (UNDER, "under")):
        night_of(Engine("optuna", "tpe", objective=objective), tmp_path, study=study).run(8)
    optuna = pytest.importorskip("optuna")
    both, under = (
        optuna.load_study(study_name=name, storage=f"sqlite:///{tmp_path / 'optuna.db'}") for name in ("both", "under")
    )
    # Score up and gap down, and a front to look at.
    assert [direction.name for direction in both.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert both.best_trials
    # What was not trained is shown without a score, with the limit that it broke.
    states = {trial.state.name for trial in under.trials if trial.constraints["parameters"] > 0}
    assert states == {"PRUNED"}
    assert all(trial.values is None for trial in under.trials if trial.constraints["parameters"] > 0)


def test_a_study_of_another_objective_is_not_gone_on_with(tmp_path):
    Engine("optuna", "tpe").make(tmp_path)
    # Two values do not fit into a study of one.
    with pytest.raises(SpaceError, match="another objective"):
        Engine("optuna", "tpe", objective=BOTH).make(tmp_path)


# ---- trials with other values than were proposed

STEERABLE = [engine for engine in WITHOUT_PRUNER if engine.sampler not in ("grid", "hyperband")]
steerable = pytest.mark.parametrize("engine", [_param(engine) for engine in STEERABLE])


def steered(engine: Engine, folder: Path, **changes) -> Night:
    """A night that is told to look where dropout is high, and, where names are chosen, at sgd."""
    focus: dict = {"dropout": Float(type="float", low=0.3, high=0.4)}
    if "name" in engine.space.dimensions:
        focus["name"] = Choice(type="choice", values=("sgd",))
    entered = {4, 9}.__contains__
    return night_of(engine, folder, space=engine.space, focus=focus, entered=entered, workers=2, **changes)


@steerable
def test_tries_what_it_is_told_to_try(engine, tmp_path):
    night = steered(engine, tmp_path).run(12)
    assert engine.make(tmp_path / "other").steerable
    for number, proposal in enumerate(night.proposals):
        # What is tried lies in the space, conditions included.
        assert engine.space.contains(proposal.values)
        if number in (4, 9):
            # What the engine did not propose is taken as it is.
            assert proposal.values == night.proposals[0].values
        elif not is_whole(5, number):
            assert 0.3 <= proposal.values["dropout"] <= 0.4
            assert proposal.values.get("name", "sgd") == "sgd"


@pytest.mark.slow
@steerable
def test_a_kill_at_any_point_changes_nothing_of_what_it_is_told(engine, tmp_path):
    n_trials = 16 if engine.sampler == "cmaes" else 12
    whole = steered(engine, tmp_path / "whole").run(n_trials)
    torn = steered(engine, tmp_path / "torn", lossy=True).run(n_trials)
    # The engine is restored with what was really tried, and goes on from there as if it had never been lost.
    assert torn.proposals == whole.proposals


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["grid", "hyperband"])
def test_an_engine_that_tries_only_its_own_proposals_says_so(sampler, tmp_path):
    assert not Engine("keras_tuner", sampler).make(tmp_path).steerable

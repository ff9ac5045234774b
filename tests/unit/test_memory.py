"""What a search remembers of earlier ones in its home: what counts, what does not, and that a kill changes nothing."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import dataclass, replace
from io import StringIO

import numpy as np
import pytest
from making import epoch_row
from rich.console import Console
from steered import EPOCHS, SPACE, LearningExecutor

from cnn import wiring
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.errors import Interrupted
from cnn.records import Outcome, TrialState
from cnn.search.engines.keras_tuner import KerasTunerSearcher
from cnn.search.engines.optuna import OptunaSearcher
from cnn.search.engines.searcher import StoredTrial
from cnn.search.ledger import Ledger
from cnn.search.memory import KnownTrial, most_first
from cnn.search.study import study_names
from cnn.steps.prepare import prepare
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker

TRIALS = 12


@dataclass
class Nights:
    """Searches of digits one after the other in one home, as `cnn search` runs them, but for the training."""

    folder: object

    @property
    def environment(self):
        return Environment(home=self.folder / "home")

    def search(self, memory="full", *, seed=0, executor=None, **changes):
        """The rows of a search, by number, and what it said."""
        section = {
            "space": {path: dimension.model_dump(mode="json") for path, dimension in SPACE.dimensions.items()},
            "budget": {"trials": TRIALS, "epochs": EPOCHS},
            "pruner": "none",
            "remedies": "off",
            "memory": memory,
            "seed": seed,
            "finalists": 1,
            "finalist_seeds": 0,
            "contact_sheet": False,
        } | changes
        params = Params.model_validate({"prepare": {"source": "digits"}, "search": section})
        said = StringIO()
        data = prepare(params, self.environment, self.folder / "prepared").folder
        wired = wiring.search_parts(params, self.environment, MemoryTracker())
        parts = replace(
            wired,
            executor=lambda study, data: executor or LearningExecutor(),
            n_workers=1,
            draw=lambda curve, path, title: None,
            sampler=lambda key: nullcontext(),
        )
        console = Console(file=said, width=400)
        search(params, self.environment, parts, console, data=data, out=self.folder / "out")
        return self.rows(), said.getvalue()

    def rows(self):
        """Of the latest study."""
        with Ledger(self.environment.studies / study_names(self.environment.studies)[-1] / "ledger.db") as ledger:
            return ledger.trials()

    def memory(self):
        """As the latest study's ledger has it."""
        with Ledger(self.environment.studies / study_names(self.environment.studies)[-1] / "ledger.db") as ledger:
            return json.loads(ledger.read("memory"))


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path)


def best_values(rows, n):
    ranked = sorted(rows, key=lambda row: -row.outcome.score)
    return [dict(row.proposal.values) for row in ranked[:n]]


def test_the_best_of_the_night_before_are_tried_first(nights):
    first, said = nights.search("best")
    # There was no night before.
    assert "remembers" not in said
    second, said = nights.search("best", seed=1)
    n = most_first(TRIALS)
    # The best, in their order, as this search's own trials; what comes after is the engine's.
    assert [dict(row.proposal.values) for row in second[:n]] == best_values(first, n)
    assert dict(second[n].proposal.values) not in [dict(row.proposal.values) for row in first]
    assert f"remembers 1 earlier search: {n} recipes of the best will be tried again first" in said
    assert "engine knows" not in said


def test_an_engine_that_is_told_goes_on_where_the_last_night_was(nights):
    first, _ = nights.search("none")
    alone, _ = Nights(nights.folder / "alone").search("none", seed=1)
    second, said = nights.search("full", seed=1)
    # All trials are known: same images, epochs and recipe.
    assert f"the engine knows of {TRIALS} trials" in said
    # With what it knows the engine looks around what is good; without, it begins with random draws.
    n = most_first(TRIALS)
    mean = [sum(row.outcome.score for row in rows[n:]) / (TRIALS - n) for rows in (second, alone)]
    assert mean[0] > mean[1]
    # Nothing that was tried before costs a second time, but for those that are tried again on purpose.
    tried = [dict(row.proposal.values) for row in first]
    assert not [row for row in second[n:] if dict(row.proposal.values) in tried]


def test_nobody_remembers_unless_asked(nights):
    first, _ = nights.search("none")
    again, said = nights.search("none")
    # The same search finds the same.
    assert [row.proposal for row in again] == [row.proposal for row in first]
    assert "remembers" not in said


def test_a_search_that_was_killed_remembers_what_it_began_with(nights):
    nights.search("none")

    def stop(n):
        if n == 4 * EPOCHS:
            raise Interrupted("stopped by the test")

    with pytest.raises(Interrupted):
        nights.search("full", seed=1, executor=LearningExecutor(before=stop))
    begun, trials = nights.memory(), [row.proposal for row in nights.rows()]
    other = Nights(nights.folder / "other")
    other.search("none", seed=9)
    for study in other.environment.studies.iterdir():  # another search has come to its end here meanwhile
        shutil.copytree(study, nights.environment.studies / f"{study.name}-other")
    rows, _ = nights.search("full", seed=1)
    straight = Nights(nights.folder / "straight")
    straight.search("none")
    unbroken, _ = straight.search("full", seed=1)
    # It goes on with the same memory, to the same trials as one that nobody stopped.
    assert begun == nights.memory() and [row.proposal for row in rows][: len(trials)] == trials
    assert [row.proposal for row in rows] == [row.proposal for row in unbroken]


def test_what_cannot_be_said_in_this_space_is_not_remembered(nights):
    first, _ = nights.search("none")
    dropouts = sorted(row.proposal.values["model.dropout"] for row in first)
    space = {path: dimension.model_dump(mode="json") for path, dimension in SPACE.dimensions.items()}
    narrow = space | {"model.dropout": space["model.dropout"] | {"high": dropouts[5]}}
    nights.search("full", seed=1, space=narrow)
    # Only what lies within the narrower range.
    assert len(nights.memory()["known"]) == 6
    nights.search("full", seed=2, space={path: body for path, body in narrow.items() if path != "model.dropout"})
    # A range that is gone leaves the recipe's own value, which none of the trials has: one field further away.
    known = nights.memory()["known"]
    assert 0 < len(known) < TRIALS + 6 and all("model.dropout" not in trial["values"] for trial in known)


def test_scores_of_longer_trials_do_not_compare(nights):
    nights.search("none")
    budget = {"trials": TRIALS, "epochs": EPOCHS - 1}
    with pytest.raises(Interrupted):  # before the first trial: the scripted networks always learn for EPOCHS
        nights.search("full", seed=1, budget=budget, executor=LearningExecutor(before=_fail))
    # The recipes are tried again; their scores are told to nobody.
    assert (len(nights.memory()["first"]), nights.memory()["known"]) == (most_first(TRIALS), [])


def _fail(n):
    raise Interrupted("far enough")


def test_another_problem_has_another_memory(nights):
    nights.search("none")
    with Ledger(nights.environment.studies / study_names(nights.environment.studies)[0] / "ledger.db") as ledger:
        setting = json.loads(ledger.read("setting"))
        ledger.write(setting=json.dumps(setting | {"head": "other"}))
    _, said = nights.search("full", seed=1)
    # Other classes, other recipes.
    assert "remembers" not in said


def test_a_search_of_another_version_of_this_package_is_passed_over(nights, caplog):
    nights.search("none")
    with Ledger(nights.environment.studies / study_names(nights.environment.studies)[0] / "ledger.db") as ledger:
        setting = json.loads(ledger.read("setting"))
        ledger.write(setting=json.dumps(setting | {"base": setting["base"] | {"gone": 1}}))
    _, said = nights.search("full", seed=1)
    assert "remembers" not in said and "another version" in caplog.text


def test_a_damaged_search_is_passed_over(nights, caplog):
    nights.search("none")
    ledger = nights.environment.studies / study_names(nights.environment.studies)[0] / "ledger.db"
    for path in ledger.parent.glob("ledger.db-*"):
        path.unlink()
    ledger.write_bytes(b"SQLite format 3\0" + bytes(5000))
    _, said = nights.search("full", seed=1)
    # The night goes on without it, and says so.
    assert "remembers" not in said and "is not remembered" in caplog.text


ENGINES = {
    "optuna/tpe": lambda folder: OptunaSearcher(
        SPACE,
        seed=1,
        epochs=EPOCHS,
        sampler="tpe",
        pruner="none",
        storage_url=f"sqlite:///{folder}/o.db",
        study_name="s",
    ),
    "keras_tuner/bayesian": lambda folder: KerasTunerSearcher(SPACE, seed=1, epochs=EPOCHS, sampler="bayesian"),
}


def known_trials(n=20):
    draws = [SPACE.sample(np.random.default_rng(number)) for number in range(n)]
    scores = [None if number % 5 == 4 else 0.5 + 0.02 * number for number in range(n)]
    return [
        KnownTrial(study="earlier", number=number, values=values, score=score)
        for number, (values, score) in enumerate(zip(draws, scores, strict=True))
    ]


def told(searcher, number, proposal, score):
    outcome = Outcome(number=number, state=TrialState.COMPLETED, reason="all epochs", curve=(epoch_row(0, score),))
    searcher.tell(outcome)
    return proposal, outcome


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_with_a_memory_repeats_and_goes_on(engine, tmp_path):
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    searcher = ENGINES[engine](tmp_path / "a")
    assert searcher.learns
    searcher.remember(known_trials())
    searcher.restore([], "")
    done, before = [], ""
    for number in range(6):
        proposal = searcher.ask(number)
        # Its own trials are numbered from 0, and are in the space.
        assert proposal.number == number and SPACE.contains(proposal.values)
        if number < 5:
            done.append(told(searcher, number, proposal, 0.6 + 0.01 * number))
            before = searcher.state()
    other = ENGINES[engine](tmp_path / "b")
    other.remember(known_trials())
    other.restore(
        [StoredTrial(proposal=one, curve=end.curve, outcome=end) for one, end in done],
        before,
    )
    # After a kill it proposes what it would have proposed.
    assert other.ask(5) == proposal


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_keeps_away_from_what_diverged(engine, tmp_path):
    low = replace_scores(known_trials(60), lambda values: None if values["model.dropout"] > 0.25 else 0.8)
    searcher = ENGINES[engine](tmp_path)
    searcher.remember(low)
    searcher.restore([], "")
    asked = []
    for number in range(10):
        asked.append(searcher.ask(number))
        told(searcher, number, asked[-1], 0.8 if asked[-1].values["model.dropout"] <= 0.25 else 0.1)
    # Half of the range is known to be bad: it is hardly paid for again.
    assert sum(one.values["model.dropout"] > 0.25 for one in asked) <= 3


def replace_scores(trials, score):
    return [replace(trial, score=score(trial.values)) for trial in trials]


def test_engines_that_do_not_learn_say_so(nights):
    nights.search("none")
    _, said = nights.search("full", seed=1, engine="random")
    assert "search.memory is best: random does not learn from scores" in said
    _, said = nights.search("full", seed=1, engine="keras_tuner", sampler="grid")
    assert "search.memory is not used: keras_tuner/grid tries only what it proposes itself" in said

"""The search step on real data, with an executor under which every trial fails."""

from contextlib import nullcontext
from dataclasses import dataclass, field
from io import StringIO

import pytest
from rich.console import Console

from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.errors import ConfigError, SpaceError
from cnn.records import Outcome, TrialState
from cnn.search.engines.random import RandomSearcher
from cnn.search.job import JobEnded
from cnn.search.parts import SearchParts
from cnn.search.study import ended_without_winner, study_names
from cnn.steps.prepare import prepare
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import RunState

PARAMS = Params.model_validate(
    {
        "prepare": {"source": "digits"},
        "search": {
            "space": {"model.filters": {"type": "int", "low": 4, "high": 8}},
            "budget": {"trials": 2, "epochs": 1},
        },
    }
)


@dataclass
class FailingExecutor:
    """Every job fails as soon as it is looked at."""

    waiting: list = field(default_factory=list)

    def n_free(self):
        return 1 - len(self.waiting)

    def submit(self, job):
        self.waiting.append(job.id)

    def answer(self, job, *, stop):
        pass

    def kill(self, job):
        pass

    def poll(self, timeout_s):
        failed = {"state": TrialState.FAILED, "reason": "out of memory"}
        ended = [JobEnded(id=job, outcome=Outcome(number=job.number, **failed)) for job in self.waiting]
        self.waiting.clear()
        return ended

    def close(self):
        pass


@pytest.fixture
def failed(tmp_path):
    """Searches once, in vain: the environment and its tracker; each call searches again."""
    environment, tracker = Environment(home=tmp_path / "home"), MemoryTracker()
    data = prepare(PARAMS, environment, tmp_path / "prepared").folder
    parts = SearchParts(
        tracker=tracker,
        searcher=lambda space, name: RandomSearcher(space, seed=0, epochs=1),
        executor=lambda study, data: FailingExecutor(),
        n_workers=1,
        draw=lambda curve, path, title: None,
        sampler=lambda key: nullcontext(),
    )

    def again():
        with pytest.raises(SpaceError, match=r"2 trials and none with a model \(out of memory\)"):
            search(PARAMS, environment, parts, Console(file=StringIO()), data=data, out=tmp_path / "searched")

    again()
    return environment, tracker, again


def test_a_search_without_a_winner_is_shown_as_failed_with_its_reason(failed, tmp_path):
    environment, tracker, _ = failed
    (name,) = study_names(environment.studies)
    logged = tracker.read_run(name)
    # Whoever looks at the run in the morning sees that it failed, and why.
    assert (logged.state, logged.tags["state"]) == (RunState.FAILED, "failed")
    assert "2 trials and none with a model (out of memory)" in logged.tags["reason"]
    # Nothing is left open, and nothing is written that a later step could take for a winner.
    assert tracker.open_runs("memory") == ()
    assert not (tmp_path / "searched").exists()


def test_a_search_without_a_winner_is_not_gone_on_with(failed):
    environment, _, again = failed
    (first,) = study_names(environment.studies)
    assert ended_without_winner(environment.studies / first)
    again()
    # The same command tries two new trials in a study of its own, instead of failing at once for ever.
    assert len(study_names(environment.studies)) == 2


def test_fewer_images_than_classes_are_no_search(tmp_path):
    data = prepare(PARAMS, Environment(home=tmp_path / "home"), tmp_path / "prepared").folder
    few = PARAMS.model_copy(update={"search": PARAMS.search.model_copy(update={"train_limit": 5})})
    # Digits have ten classes: five images leave some without one.
    with pytest.raises(ConfigError, match=r"search\.train_limit: received 5; expected 10 or more"):
        search(few, Environment(home=tmp_path / "home"), None, Console(file=StringIO()), data=data)

"""Searches over an executor whose trials are written down instead of trained."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from io import StringIO

from making import epoch_row
from rich.console import Console

from cnn.config.params import SearchParams
from cnn.config.recipe import Recipe
from cnn.config.space import Float, Int
from cnn.records import Cost, Outcome, Proposal, TrialState
from cnn.search.budget import Budget
from cnn.search.coordinator import Coordinator
from cnn.search.engines.optuna import OptunaSearcher
from cnn.search.engines.random import RandomSearcher
from cnn.search.engines.searcher import Pause
from cnn.search.job import EpochDone, JobEnded, JobLost
from cnn.search.logbook import Logbook
from cnn.search.screen import Screen
from cnn.search.space import Space
from cnn.search.study import open_study
from cnn.tracking.memory import MemoryTracker

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


class Killed(BaseException):
    """Stands for the end of the process at this instant: no handler of the coordinator's may see it."""


def curves(search):
    return {job: (outcome.state, outcome.curve) for job, outcome in search.outcomes().items()}

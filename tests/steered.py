"""Searches with rounds over made-up networks: a ledger in a folder, real engines, real verdicts, no training.

The landscape: networks of many filters learn their training images by heart unless dropout keeps them from it. A curve
is a function of recipe and seed alone.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from making import epoch_row

from cnn.config.recipe import Recipe
from cnn.config.space import Choice, Float, Int
from cnn.diagnosis.effects import RemedyMemory
from cnn.diagnosis.reading import Sizes
from cnn.diagnosis.steering import RemedyAdviser
from cnn.records import Cost, Outcome, TrialState
from cnn.runtime import derived_seed
from cnn.search.engines.random import RandomSearcher
from cnn.search.job import EpochDone, JobEnded, JobId
from cnn.search.ledger import LedgerRow
from cnn.search.space import Space
from cnn.search.steering import Steering
from cnn.search.study import open_study

EPOCHS = 12
SIZES = Sizes(n_clean=5000, n_val=5000, n_classes=10)
SPACE = Space(
    {
        "model.filters": Int(type="int", low=8, high=64, step=8),
        "model.dropout": Float(type="float", low=0.0, high=0.5),
        "model.head_dropout": Float(type="float", low=0.0, high=0.6),
        "model.batch_norm": Choice(type="choice", values=("none", "before_activation")),
        "optimizer.learning_rate": Float(type="float", low=1e-4, high=1e-1, log=True),
    }
)


def learnt(values, seed, *, cure=True):
    """The curve of a network that overfits; with `cure`, dropout helps against it, else it only slows learning."""
    rng = np.random.default_rng(seed)
    rate = math.exp(-(math.log10(values["optimizer.learning_rate"] / 0.01) ** 2) / 2)
    best, dropout = 0.45 + 0.3 * rate + 0.2 * values["model.filters"] / 64, values["model.dropout"]
    regular = (values["model.dropout"] + values["model.head_dropout"]) / 1.2
    memory = 0.45 * (max(0.0, 1 - regular) if cure else 1.0)
    rows = []
    for epoch in range(EPOCHS):
        done = 1 - math.exp(-(epoch + 1) / (2 + 2 * dropout))
        train = 0.1 + (best - 0.1) * done
        val = train - memory * done * best + rng.normal(0, 0.004) - (0.0 if cure else 0.1 * dropout)
        losses = {"clean_train_loss": -math.log(train), "val_loss": -math.log(max(val, 0.05))}
        rows.append(epoch_row(epoch, val, clean_train_accuracy=train, **losses))
    return tuple(rows)


@dataclass
class Night:
    """A search of one worker, trial by trial; `run` may be called again, as after a kill."""

    folder: Path
    memory: Path
    seed: int = 0
    n_trials: int = 36
    n_rounds: int = 3
    steered: bool = True
    cure: bool = True
    space: Space = SPACE
    engine: object = RandomSearcher
    study: str = ""
    rows: list = field(default_factory=list)
    rounds: list = field(default_factory=list)

    def run(self, until=None):
        """Search until so many trials are over; what is left undone is what a kill leaves."""
        with open_study(self.folder / "studies", "digest", night=self.study) as study:
            searcher = self.engine(self.space, seed=self.seed, epochs=EPOCHS)
            searcher.restore(study.ledger.stored_trials(), study.ledger.read("engine_state"))
            adviser = RemedyAdviser(self.space.dimensions, Recipe(), SIZES, RemedyMemory(self.memory))
            steering = Steering(self.space, study, adviser, seed=self.seed, n_rounds=self.n_rounds)
            rows = study.ledger.trials()
            steering.restore(rows)
            while len(rows) < (until or self.n_trials):
                rows.append(self._tried(study, steering, searcher, rows))
                steering.ended(len(rows) - 1, rows)
            if len(rows) == self.n_trials:
                steering.close()
            self.rows, self.rounds, self.pairs = rows, steering.rounds, dict(steering._pairs)
        return self

    def _tried(self, study, steering, searcher, rows):
        number = len(rows)
        if self.steered:
            steering.turn(rows, number / self.n_trials)
            asked = steering.ask(searcher, rows)
            proposal, facts = asked.proposal, asked.facts
            seed = derived_seed(self.seed, "trial", number) if asked.seed is None else asked.seed
        else:
            proposal, facts, seed = searcher.ask(number), {}, derived_seed(self.seed, "trial", number)
        job = JobId(number)
        study.ledger.begin(job, proposal, seed, **facts)
        curve = learnt(proposal.values, seed, cure=self.cure)
        outcome = Outcome(number=number, state=TrialState.COMPLETED, reason="all epochs", curve=curve)
        searcher.tell(outcome)
        study.ledger.finish(job, outcome, elapsed_s=1.0, engine_state=searcher.state())
        row = LedgerRow(id=job, proposal=proposal, seed=seed, cost=Cost(), deaths=0, outcome=None)
        return replace(row, outcome=outcome)

    @property
    def values(self):
        """What was tried, by number."""
        return [dict(row.proposal.values) for row in self.rows]

    @property
    def scores(self):
        return [row.outcome.score for row in self.rows]


@dataclass
class LearningExecutor:
    """An executor whose networks learn as `learnt` has it; an epoch a poll, one job at a time.

    Args:
        before: Called before each poll with the number of polls so far.
    """

    before: object = lambda n: None
    jobs: list = field(default_factory=list)
    stopped: dict = field(default_factory=dict)
    n_polls: int = 0
    _job: object = None
    _epoch: int = 0

    def n_free(self):
        return 1 if self._job is None else 0

    def submit(self, job):
        self.jobs.append(job)
        self._job, self._epoch = job, 0

    def answer(self, job, *, stop):
        self.stopped[job] = stop

    def kill(self, job):
        raise AssertionError("no job is killed here")

    def poll(self, timeout_s):
        self.before(self.n_polls)
        self.n_polls += 1
        job, epoch = self._job, self._epoch
        values = {path: job.recipe[path.partition(".")[0]][path.partition(".")[2]] for path in SPACE.dimensions}
        curve = learnt(values, job.seed)
        cut, cost = self.stopped.pop(job.id, False), Cost(wall_s=1.0, cpu_s=1.0, epochs=epoch)
        if cut or epoch == EPOCHS:
            self._job = None
            state = TrialState.PRUNED if cut else TrialState.COMPLETED
            outcome = Outcome(number=job.id.number, state=state, reason="scripted", curve=curve[:epoch], cost=cost)
            return [JobEnded(id=job.id, outcome=outcome)]
        self._epoch += 1
        return [EpochDone(id=job.id, row=curve[epoch], cost=replace(cost, epochs=epoch + 1))]

    def close(self):
        self._job = None

"""Workers are killed at seeded instants of a search: no finished run is lost, none is trained twice, every curve is
the uninterrupted one, and the search finds what it would have found.
"""

import os
import random
import select
import signal
import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cnn import wiring
from cnn.records import TrialState
from cnn.search.executors.local import LocalExecutor
from cnn.search.job import EpochDone, JobEnded, JobId, WorkerSetup
from cnn.steps.search import search

pytestmark = pytest.mark.slow

DATA = Path("data/prepared")
TORN = JobId(0)
TWICE = JobId(5)  # the last trial: no proposal comes after it


class Killer(LocalExecutor):
    """The executor of one worker, and someone who kills it.

    Args:
        plan: When a job's worker is killed: for each of its deaths the epoch that it has just reported, and seconds
            from then.
    """

    def __init__(self, *words, plan, **more):
        super().__init__(*words, **more)
        self.plan = {job: list(deaths) for job, deaths in plan.items()}
        self.submitted, self.kills = Counter(), Counter()
        self.torn = None
        self._folder = self._job = None

    def submit(self, job):
        self.submitted[job.id] += 1
        self._job, self._folder = job.id, job.folder
        super().submit(job)

    def poll(self, timeout_s):
        events = super().poll(timeout_s)
        for event in events:
            if isinstance(event, JobEnded):
                self._job = None
            elif isinstance(event, EpochDone) and self._is_due(event):
                _, delay_s = self.plan[event.id].pop(0)
                # without a delay it dies before its epoch is answered
                threading.Timer(delay_s, self._strike, [event.id]).start() if delay_s else self._strike(event.id)
        return events

    def _is_due(self, event):
        deaths = self.plan.get(event.id)
        return deaths and deaths[0][0] == event.row.epoch

    def _strike(self, job):
        if job != self._job:
            return
        self.kills[job] += 1
        os.kill(self.pids()[0], signal.SIGKILL)
        if job == TORN:
            self.torn = max(self._folder.glob("epoch-*.checkpoint"))
            self.torn.write_bytes(self.torn.read_bytes()[:1000])


def planned(seed):
    """One death at an instant of five jobs, one of them with a torn checkpoint; two of the last trial."""
    rng = random.Random(seed)
    jobs = rng.sample(range(1, TWICE.number), 2)
    once = {JobId(number): [(rng.randrange(2), rng.uniform(0, 0.2))] for number in jobs}
    return once | {TORN: [(1, 0.0)], TWICE: [(0, 0.0), (0, 0.0)]}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.faults) for seed in range(1, 5))])
def test_a_search_survives_its_workers(seed, disturbed, reference):
    params = disturbed.params(f"search.recipe={disturbed.folder / 'tiny.yaml'}")
    killers = []

    def killer(study, data):
        _, threads = wiring.worker_counts(params.search)
        setup = WorkerSetup(data=data, train_limit=params.search.train_limit, seed=params.search.seed, threads=threads)
        plan = planned(seed)
        killers.append(Killer(1, setup, plan=plan, logs=study.logs, trials_per_worker=50, worker_memory_mb=8192))
        return killers[0]

    with wiring.tracker(disturbed.environment, params.search.experiment, source="cnn search") as tracker:
        parts = replace(wiring.search_parts(params, disturbed.environment, tracker), executor=killer)
        out = disturbed.folder / "outputs" / "search"
        search(params, disturbed.environment, parts, Console(quiet=True), data=disturbed.folder / DATA, out=out)
    (killed,) = killers
    rows = {row.id: row for row in disturbed.ledger()}
    # All planned deaths have happened but those that a job's end forestalled, and the ledger knows each.
    assert killed.kills.total() >= 3
    assert {job: row.deaths for job, row in rows.items() if row.deaths} == killed.kills
    # A job is started once, and once more for each death it survived: what is finished is never trained again.
    assert killed.submitted == Counter(rows.keys()) + killed.kills - Counter([TWICE])
    # Who kills its worker twice has failed, with the reason; the search went on to the finalists without it.
    assert rows[TWICE].outcome.state is TrialState.FAILED
    assert "SIGKILL" in rows[TWICE].outcome.reason
    # It was no finalist anyway, so that all other curves and the winner must be those of an undisturbed search.
    assert f"{TWICE}/seed-1" not in reference.curves
    curves = disturbed.curves()
    assert {job for job, curve in reference.curves.items() if curve != curves[job]} <= {str(TWICE)}
    assert disturbed.output("winner.yaml") == reference.winner
    # The torn checkpoint was noticed, named and not used.
    logs = (disturbed.study_folder / "logs" / "worker-0.log").read_text()
    assert f"checkpoint not used: {killed.torn}" in logs
    disturbed.check_tracked(disturbed.mlflow)


def test_a_worker_ends_with_its_coordinator(prepared, tmp_path):
    setup = WorkerSetup(data=prepared, train_limit=300, seed=0, threads=1)
    with closing(LocalExecutor(1, setup, logs=tmp_path, trials_per_worker=1, worker_memory_mb=8192)) as executor:
        (worker,) = executor._workers
        select.select([worker.connection], [], [], 120)
        # The coordinator goes without having read the worker's last words: the line is reset, not closed.
        worker.connection.close()
        # It ends by itself nevertheless.
        assert worker.process.wait(timeout=20) is not None
        executor._workers = []

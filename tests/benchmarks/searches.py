"""Whole searches, as `cnn search` runs them, with a stopwatch between the coordinator and its workers."""

import io
import time
from collections.abc import Callable
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path

from clock import Clock
from rich.console import Console

from cnn import wiring
from cnn.config.environment import read_environment
from cnn.config.params import Params
from cnn.search.job import JobEnded, JobLost
from cnn.steps.prepare import prepare
from cnn.steps.search import search

VALIDATION_FRACTION = {"cifar10": 0.01, "digits": 0.1}  # 500 and 144 images: as short trials have them
SOURCES = ("auto", *VALIDATION_FRACTION)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A home of its own for a benchmark's databases, and its prepared images."""

    root: Path
    source: str

    @property
    def data(self):
        return self.root / "prepared"

    def environment(self, name):
        """Embedded databases in a folder of this name, whatever the person's own environment says."""
        given = {"home": self.root / name, "tracking_uri": "", "study_storage": "", "night": ""}
        here = read_environment()
        return here.model_copy(update=given | {"data_cache": str(here.downloads)})

    def params(self, **search_section):
        """Settings of a search; without a contact sheet, which is drawn once, however many trials there are."""
        prepare_section = {"source": self.source, "validation_fraction": VALIDATION_FRACTION[self.source]}
        return Params.model_validate({"prepare": prepare_section, "search": {"contact_sheet": False} | search_section})


@dataclass
class Watched:
    """What a search took.

    Args:
        block_s: Of each block: from when workers are ready, or the block before is over, to its last trial's end.
        start_s: From the start of the worker processes until all are ready.
        rest_s: Of each block: until the pictures and log lines that its trials left behind were delivered.
        worker_cpu_s: Of each block: processor time of the trials, in the workers.
        coordinator_cpu_s: Of each block and its rest: processor time of the coordinator's process, all threads.
        close_s: From the last block's rest to the end of the step: winner, files, the study's report, flush.
        jobs: (recipe, seed) of the trials, by number.
    """

    block_s: list[float] = field(default_factory=list)
    start_s: float = 0.0
    rest_s: list[float] = field(default_factory=list)
    worker_cpu_s: list[float] = field(default_factory=list)
    coordinator_cpu_s: list[float] = field(default_factory=list)
    close_s: float = 0.0
    jobs: list[tuple[dict, int]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)


def prepared_place(root, source) -> Place:
    """The images, prepared; `auto` is CIFAR-10 where it has been downloaded before, else digits, which needs no net."""
    if source == "auto":
        source = "cifar10" if (read_environment().downloads / "cifar10.arrays").is_file() else "digits"
    place = Place(root=root, source=source)
    section = {"space": {"model.filters": {"type": "int", "low": 16, "high": 32}}, "budget": {"trials": 1}}
    with redirect_stdout(io.StringIO()):
        prepare(place.params(**section), place.environment("home"), place.data)
    return place


def watched_search(
    place: Place,
    params: Params,
    name: str,
    *,
    block: int,
    between: Callable[[list], None] = lambda jobs: None,
    searcher: Callable | None = None,
) -> Watched:
    """Run a search in blocks of so many trials.

    Args:
        name: Of the home of its databases.
        between: Called with the (recipe, seed) of each block when it is over and the search is at rest.
        searcher: Makes another engine than the one of the section.
    """
    watched = Watched()
    environment = place.environment(name)
    with _closing_clock(watched), wiring.tracker(environment, params.search.experiment, source="benchmark") as tracker:
        clock = watched.clock
        clock.watch(tracker, "tracker", "start", "log_epoch", "log_figures", "set_tags", "log_file", "end")
        wired = wiring.search_parts(params, environment, tracker)

        def rest(n_ended):
            started = time.perf_counter()
            while clock.calls["tracker log_file"] < n_ended:  # a picture a trial
                time.sleep(0.005)
            while not tracker.flush(60.0):
                print("the tracker is slow")
            watched.rest_s.append(time.perf_counter() - started)

        def engine(space, study):
            made = (searcher or wired.searcher)(space, study)
            clock.watch(made, "engine", "ask", "report", "tell", "state")
            return made

        def executor(study, data):
            clock.watch(study.ledger, "ledger", "begin", "spend", "finish", "told")
            started = time.perf_counter()
            made = wired.executor(study, data)
            clock.watch(made, "executor", "submit", "answer")
            blocks = _Blocks(made, watched, block=block, rest=rest, between=between)
            watched.start_s = time.perf_counter() - started
            return blocks

        draw = clock.timed("picture (own thread)", wired.draw)
        parts = replace(wired, searcher=engine, executor=executor, draw=draw)
        console = Console(file=io.StringIO())
        search(params, environment, parts, console, data=place.data, out=place.root / name / "out")
    return watched


class _Blocks:
    """An executor that passes everything on, holds the search up after each block, and keeps the time."""

    def __init__(self, executor, watched, *, block, rest, between):
        self._executor, self._watched, self._block = executor, watched, block
        self._rest, self._between = rest, between
        self._n_ended = 0
        self._trials_cpu_s = 0.0
        self._jobs = []
        self._running = set()
        # how many are ready is nobody else's business: the executor has no word for it
        while not all(worker.ready for worker in executor._workers):
            executor.poll(0.5)
        self._begin()

    def n_free(self):
        if len(self._jobs) == self._block and not self._running:
            self._end_block()
        return min(self._executor.n_free(), self._block - len(self._jobs))

    def submit(self, job):
        self._jobs.append((dict(job.recipe), job.seed))
        self._running.add(job.id)
        self._executor.submit(job)

    def poll(self, timeout_s):
        events = self._executor.poll(timeout_s)
        for event in events:
            if isinstance(event, JobLost):
                raise RuntimeError(f"a benchmark has no use for {event}")
            if isinstance(event, JobEnded):
                self._running.discard(event.id)
                self._trials_cpu_s += event.outcome.cost.cpu_s
        return events

    def answer(self, job, *, stop):
        self._executor.answer(job, stop=stop)

    def kill(self, job):
        self._executor.kill(job)

    def close(self):
        self._executor.close()

    def _begin(self):
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def _end_block(self):
        watched, jobs = self._watched, self._jobs
        watched.block_s.append(time.perf_counter() - self._began)
        watched.jobs += jobs
        self._n_ended += len(jobs)
        self._rest(self._n_ended)
        watched.coordinator_cpu_s.append(time.process_time() - self._cpu)
        watched.worker_cpu_s.append(self._trials_cpu_s)
        self._jobs, self._trials_cpu_s = [], 0.0
        self._between(jobs)
        watched.close_s = -time.perf_counter()
        self._begin()


@contextmanager
def _closing_clock(watched):
    """Adds the end to what the last block noted as its beginning."""
    yield
    watched.close_s += time.perf_counter()

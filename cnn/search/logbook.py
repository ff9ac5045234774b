"""What a search says to the tracker: a parent run, a child run a trial, and a run a finalist's fresh seed."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from cnn.durable import write_json
from cnn.records import Curve, EpochRow, Outcome, Scalar, TrialState
from cnn.search import limits
from cnn.search.finalists import Standing
from cnn.search.job import JobId
from cnn.search.rounds import Round
from cnn.tracking.conventions import RUN_STATES, diagnosis_tags, end_figures, flat
from cnn.tracking.tracker import Run, RunState, Tracker

log = logging.getLogger(__name__)

Diagnose = Callable[[Outcome, Mapping[str, Any]], Mapping[str, Any]]
"""From a run's outcome and its recipe to a document with, at least, `verdict` and `sentence`."""


def run_key(study: str, job: JobId) -> str:
    """The tracker's key of a job's run."""
    return f"{study}/{job}"


def outcome_figures(outcome: Outcome) -> dict[str, float]:
    """The end figures of a run, what it cost, and its network's size where that was measured.

    Said from one place, so that saying them again changes nothing.
    """
    cost = {"cost_wall_s": outcome.cost.wall_s, "cost_cpu_s": outcome.cost.cpu_s}
    return end_figures(outcome.curve) | cost | limits.figures(outcome.size)


def verdict_counts(diagnose: Diagnose | None, outcomes: Iterable[Outcome]) -> dict[str, float]:
    """How many runs have each verdict, as `diagnosed_<verdict>`; there is none on what was not trained."""
    trained = [outcome for outcome in outcomes if outcome.state is not TrialState.INFEASIBLE]
    verdicts = Counter(str(diagnose(outcome, {})["verdict"]) for outcome in trained) if diagnose else Counter()
    return {f"diagnosed_{verdict}": float(n) for verdict, n in sorted(verdicts.items())}


class Logbook:
    """Writes a search into a tracker.

    Args:
        draw: Draws a curve's picture into a file.
        diagnose: Says of each run what its curve shows; None: nothing is said.
        scratch: Folder for pictures on their way.
    """

    def __init__(
        self,
        tracker: Tracker,
        study: str,
        tags: Mapping[str, str],
        *,
        draw: Callable[[Curve, Path, str], None],
        scratch: Path,
        diagnose: Diagnose | None = None,
    ) -> None:
        self._tracker, self._study, self._tags = tracker, study, dict(tags)
        self._draw, self._scratch, self._diagnose = draw, scratch, diagnose
        self._recipes: dict[JobId, Mapping[str, Any]] = {}
        self._artist = ThreadPoolExecutor(1)  # a picture takes longer than an epoch may wait
        self._heard: SimpleQueue[JobId] = SimpleQueue()

    def open(self, params: Mapping[str, Scalar]) -> None:
        """The search begins, or goes on."""
        tags = self._tags | {"role": "search", "state": "running"}
        self._start(Run(key=self._study, name=self._study, params=params, tags=tags))

    def begin(self, job: JobId, recipe: Mapping[str, Any], seed: int) -> None:
        """A job begins, or goes on."""
        role = "trial" if job.repeat == 0 else "finalist"
        name = f"trial {job.number}" if job.repeat == 0 else f"trial {job.number}, fresh seed {job.repeat}"
        tags = self._tags | {"role": role, "trial": str(job.number), "state": "running"}
        params = flat(recipe) | {"seed": seed}
        self._recipes[job] = recipe
        self._start(Run(key=run_key(self._study, job), name=name, parent=self._study, params=params, tags=tags))

    def epoch(self, job: JobId, row: EpochRow) -> None:
        """A job finished an epoch."""
        self._tracker.log_epoch(run_key(self._study, job), row)

    def end(self, job: JobId, outcome: Outcome) -> None:
        """A job is over."""
        key = run_key(self._study, job)
        self._tracker.log_figures(key, outcome_figures(outcome))
        diagnosis = self._diagnosis(job, outcome)
        tags = {"state": outcome.state.value, "reason": outcome.reason}
        self._tracker.set_tags(key, tags | diagnosis_tags(diagnosis))
        self._tracker.end(key, RUN_STATES[outcome.state])
        self._artist.submit(self._picture, job, outcome, diagnosis)

    def repeat(self, job: JobId, recipe: Mapping[str, Any], seed: int, outcome: Outcome) -> None:
        """Say all of a job that is over once more, for a tracker that may have missed its end."""
        self.begin(job, recipe, seed)
        for row in outcome.curve:
            self.epoch(job, row)
        self.end(job, outcome)

    def rounds(self, rounds: Sequence[Round]) -> None:
        """The rounds so far: a tag each with what it changed, and all of them with their ranges in `rounds.json`."""
        if not rounds:
            return
        changed = {f"round_{n}": " ".join(one.changes) or "the whole space" for n, one in enumerate(rounds, 1)}
        self._tracker.set_tags(self._study, {"rounds": str(len(rounds))} | changed)
        written = self._scratch / "rounds.json"
        write_json(written, [one.document() for one in rounds])
        self._tracker.log_file(self._study, written)

    def interrupt(self, jobs: list[JobId]) -> None:
        """The search was told to stop; it can be gone on with."""
        for key in (*(run_key(self._study, job) for job in jobs), self._study):
            self._tracker.set_tags(key, {"state": "interrupted"})
            self._tracker.end(key, RunState.KILLED)
        self.wait()

    def fail(self, reason: str) -> None:
        """The search has no winner."""
        self._tracker.set_tags(self._study, {"state": "failed", "reason": reason})
        self._tracker.end(self._study, RunState.FAILED)

    def close(
        self, winner: Standing, figures: Mapping[str, float], files: list[Path], *, pareto: Iterable[int] = ()
    ) -> None:
        """The search has a winner.

        Args:
            pareto: The trials of the Pareto front, which then bear the tag `pareto: true`, to filter by.
        """
        for number in pareto:
            self._tracker.set_tags(run_key(self._study, JobId(number)), {"pareto": "true"})
        best = {"winner_mean_score": winner.mean, "winner_spread": winner.spread, "winner_first_score": winner.score}
        self._tracker.log_figures(self._study, {**best, **figures})
        self._tracker.set_tags(self._study, {"state": "completed", "winner": str(winner.row.id.number)})
        for path in files:
            self._tracker.log_file(self._study, path)
        self._tracker.end(self._study, RunState.FINISHED)

    def heard(self) -> list[JobId]:
        """The ended jobs that the tracker has heard all of, pictures included, since this was last asked."""
        return [self._heard.get() for _ in range(self._heard.qsize())]

    def wait(self) -> None:
        """Until all pictures are drawn and handed over."""
        self._artist.shutdown()

    def _start(self, run: Run) -> None:
        self._tracker.start(run)
        self._tracker.set_tags(run.key, {"state": "running"})  # one that goes on still has the tag of its interruption

    def _diagnosis(self, job: JobId, outcome: Outcome) -> Mapping[str, Any]:
        recipe = self._recipes.pop(job, {})
        if self._diagnose is None or outcome.state is TrialState.INFEASIBLE:
            return {}
        try:
            return self._diagnose(outcome, recipe)
        except Exception:  # nor is a verdict
            log.exception("no diagnosis of trial %s", job)
            return {}

    def _picture(self, job: JobId, outcome: Outcome, diagnosis: Mapping[str, Any]) -> None:
        picture, said = self._scratch / "curve.png", self._scratch / "diagnosis.json"
        try:
            if diagnosis:
                write_json(said, diagnosis)
                self._tracker.log_file(run_key(self._study, job), said)
            if outcome.curve:
                self._draw(outcome.curve, picture, f"{self._study}, trial {job}: {outcome.state.value}")
                self._tracker.log_file(run_key(self._study, job), picture)
        except Exception:  # a picture is never a reason to lose a search
            log.exception("no picture of trial %s", job)
        self._heard.put(job)

"""Ledgers compared: what the studies know against what the tracker shows.

A process that was killed leaves runs RUNNING for ever. At every start, and on demand, whatever is shown as running and
is not is ended: with its outcome where the study's ledger has one, as interrupted where the study can be gone on with,
as killed otherwise.
"""

from collections.abc import Iterable
from pathlib import Path

from cnn.errors import IntegrityError
from cnn.records import Outcome
from cnn.search.ledger import Ledger
from cnn.search.logbook import outcome_figures
from cnn.search.study import is_busy
from cnn.tracking.conventions import RUN_STATES
from cnn.tracking.tracker import ReadableTracker, RunState, Tracker


def reconcile(studies: Path, tracker: ReadableTracker, experiment: str, *, timeout_s: float = 60.0) -> list[str]:
    """Ask the tracker's server which runs of an experiment it shows as running, and end those that are not.

    Args:
        timeout_s: How long to wait for what the spool still holds; what it holds is part of the truth.

    Returns:
        A sentence for each run that was ended and each ledger that is damaged; empty when all ledgers agree.
    """
    tracker.flush(timeout_s)
    said = end_dead(studies, tracker, tracker.open_runs(experiment))
    if said:
        tracker.flush(timeout_s)
    return said


def end_dead(studies: Path, tracker: Tracker, keys: Iterable[str]) -> list[str]:
    """End those of these runs that no process works on; a sentence for each."""
    ledgers: dict[str, dict[str, Outcome]] = {}
    said = []
    for key in keys:
        study, _, job = key.partition("/")
        if is_busy(studies / study):
            continue
        if study not in ledgers:
            try:
                ledgers[study] = _outcomes(studies / study)
            except IntegrityError as error:  # one damaged study is no reason to leave the others as they are
                ledgers[study] = {}
                said.append(str(error))
        said.append(_end(tracker, key, ledgers[study].get(job)))
    return said


def _outcomes(folder: Path) -> dict[str, Outcome]:
    if not (folder / "ledger.db").exists():
        return {}
    with Ledger(folder / "ledger.db") as ledger:
        return {str(row.id): row.outcome for row in ledger.rows() if row.outcome is not None}


def _end(tracker: Tracker, key: str, outcome: Outcome | None) -> str:
    if outcome is None:
        tracker.set_tags(key, {"state": "interrupted"})
        tracker.end(key, RunState.KILLED)
        return f"run {key} was left running: closed as interrupted; the next start goes on with it"
    tracker.log_figures(key, outcome_figures(outcome))
    tracker.set_tags(key, {"state": outcome.state.value, "reason": outcome.reason})
    tracker.end(key, RUN_STATES[outcome.state])
    return f"run {key} was left running: closed as {outcome.state.value}, as its study's ledger says"

"""Ledgers compared: what the studies know against what the tracker shows.

A process that was killed leaves runs RUNNING for ever. At every start, and on demand, whatever is shown as running and
is not is ended: with its outcome where the study's ledger has one, as interrupted where the study can be gone on with,
as killed otherwise.
"""

from pathlib import Path
from typing import Protocol

from cnn.records import Outcome
from cnn.search.ledger import Ledger
from cnn.search.logbook import RUN_STATES, end_figures
from cnn.search.study import is_busy
from cnn.tracking.tracker import RunReader, RunState, Tracker


class _TrackerAndReader(Tracker, RunReader, Protocol):
    pass


def reconcile(studies: Path, tracker: _TrackerAndReader, experiment: str, *, timeout_s: float = 60.0) -> list[str]:
    """End the runs of an experiment that are shown as running and are not.

    Args:
        timeout_s: How long to wait for what the spool still holds; what it holds is part of the truth.

    Returns:
        A sentence for each run that was ended; empty when all ledgers agree.
    """
    tracker.flush(timeout_s)
    ledgers: dict[str, dict[str, Outcome]] = {}
    said = []
    for key in tracker.open_runs(experiment):
        study, _, job = key.partition("/")
        if is_busy(studies / study):
            continue
        ledgers.setdefault(study, _outcomes(studies / study))
        said.append(_end(tracker, key, ledgers[study].get(job)))
    if said:
        tracker.flush(timeout_s)
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
    tracker.log_figures(key, end_figures(outcome.curve))
    tracker.set_tags(key, {"state": outcome.state.value, "reason": outcome.reason})
    tracker.end(key, RUN_STATES[outcome.state])
    return f"run {key} was left running: closed as {outcome.state.value}, as its study's ledger says"

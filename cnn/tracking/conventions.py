"""How runs and versions are described in the tracker, the same from every step: names of tags, params and figures."""

from collections.abc import Mapping
from typing import Any

from cnn.records import Curve, Lineage, Scalar, TrialState, best_row
from cnn.tracking.tracker import RunState

RUN_STATES = {
    TrialState.COMPLETED: RunState.FINISHED,
    TrialState.PRUNED: RunState.FINISHED,
    TrialState.FAILED: RunState.FAILED,
    TrialState.INFEASIBLE: RunState.FINISHED,
}


def lineage_tags(lineage: Lineage) -> dict[str, str]:
    """Where a run comes from, as tags."""
    return {
        "git_revision": lineage.git_revision + ("+changes" if lineage.git_dirty else ""),
        "data_hash": lineage.data_hash,
        "params_digest": lineage.params_digest,
    } | ({"night": lineage.night} if lineage.night else {})


def flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """A nested document by dotted paths; lists and nulls as text.

    Example:
        >>> flat({"model": {"filters": 32, "plan": None}})
        {'model.filters': 32, 'model.plan': 'null'}
    """
    values: dict[str, Scalar] = {}
    for name, value in document.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{name}.")
        else:
            values[f"{prefix}{name}"] = value if isinstance(value, str | int | float | bool) else _text(value)
    return values


def diagnosis_tags(diagnosis: Mapping[str, Any]) -> dict[str, str]:
    """`diagnosis`, the verdict as one word to filter by, and `diagnosis_sentence`; none of an empty document."""
    names = {"diagnosis": "verdict", "diagnosis_sentence": "sentence"}
    return {tag: str(diagnosis[name]) for tag, name in names.items() if name in diagnosis}


def end_figures(curve: Curve) -> dict[str, float]:
    """`best_epoch` (from 1) with its `best_val_score`, `best_val_accuracy`, `gap_at_best`; empty for an empty curve."""
    if not curve:
        return {}
    best = best_row(curve)
    return {
        "best_epoch": float(best.epoch + 1),
        "best_val_score": best.val_score,
        "best_val_accuracy": best.val_accuracy,
        "gap_at_best": best.gap_accuracy,
    }


def _text(value: object) -> str:
    return "null" if value is None else str(value)

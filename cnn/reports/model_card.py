"""A model card: what a version is, what it was measured to do, and what it must not be trusted with.

References:
    Mitchell et al. (2019), Model Cards for Model Reporting, FAT* '19.
"""

from collections.abc import Mapping
from typing import Any

from cnn.data.prepared.store import Prepared
from cnn.records import Task

_MOST_CLASSES = 30
_OWN = ("folder", "csv", "npz")


def model_card(
    name: str,
    prepared: Prepared,
    facts: Mapping[str, Any],
    metrics: Mapping[str, Any],
    lineage: Mapping[str, str],
    *,
    confidence: float,
) -> str:
    """The card as Markdown.

    Args:
        name: Of the registered model.
        facts: The content of `train.json`.
        metrics: The content of `evaluate.json`.
        lineage: Tags that say where the model comes from.
        confidence: Level of the intervals in `metrics`.
    """
    parts = {
        "Data": _data(prepared),
        f"Measured on {metrics.get('n', 0):,} test images": _figures(metrics, confidence),
        "Overfitting": _overfitting(facts, metrics),
        "Limits": _limits(prepared, facts, metrics),
        "Licence": _licence(prepared),
        "Lineage": [f"{key}: `{value}`" for key, value in lineage.items()] + [_again(lineage)],
    }
    title = f"# {name}: {_what(prepared, facts)}\n"
    return "\n".join(
        [title, *(f"## {head}\n" + "".join(f"- {line}\n" for line in part) for head, part in parts.items())]
    )


def _what(prepared: Prepared, facts: Mapping[str, Any]) -> str:
    family = facts.get("recipe", {}).get("model", {}).get("family", "plain")
    shape = "x".join(map(str, prepared.image_shape))
    return f"a {family} network that tells {len(prepared.class_names)} classes apart in images of {shape}"


def _data(prepared: Prepared) -> list[str]:
    names = list(prepared.class_names)
    shown = ", ".join(names[:_MOST_CLASSES]) + (
        f" and {len(names) - _MOST_CLASSES} more" if names[_MOST_CLASSES:] else ""
    )
    counts = ", ".join(f"{n:,} {split}" for split, n in prepared.n_images.items())
    return [
        f"source {prepared.source}: {counts}",
        f"task {prepared.head.task}: {shown}",
        f"hash `{prepared.data_hash}`",
    ]


def _figures(metrics: Mapping[str, Any], confidence: float) -> list[str]:
    """The score of the task first; those with an interval, then the loss."""
    score = Task(metrics.get("task", Task.MULTICLASS)).score_name
    ranked = sorted((name for name in metrics if f"{name}_low" in metrics), key=lambda name: name != score)
    lines = [
        f"{name.replace('_', ' ')} {metrics[name]:.4f} "
        f"({metrics[f'{name}_low']:.4f} to {metrics[f'{name}_high']:.4f} at {confidence:.0%})"
        for name in ranked
    ]
    return lines + [f"{name.replace('_', ' ')} {metrics[name]:.4f}" for name in ("loss", "macro_f1") if name in metrics]


def _overfitting(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    gap = float(facts.get("gap_at_best", metrics.get("gap_at_best", 0.0)))
    said = facts.get("diagnosis", {}).get("sentence")
    return [f"gap {gap:+.4f}: clean training minus validation accuracy at the best epoch", *([said] if said else [])]


def _limits(prepared: Prepared, facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    lines = [
        "it answers with one of these classes whatever it is shown: it cannot say that it does not know",
        f"the figures hold for images like those of {prepared.source}; others were not measured",
    ]
    if {"accuracy_low", "accuracy_high"} <= metrics.keys():
        width = 50 * (metrics["accuracy_high"] - metrics["accuracy_low"])
        lines.append(
            f"its accuracy is known to about {width:.1f} points: smaller differences to other models may be luck"
        )
    if transfer := facts.get("recipe", {}).get("transfer"):
        lines.append(f"it started from {transfer.get('from')} and inherits what that was trained on")
    return lines


def _licence(prepared: Prepared) -> list[str]:
    of_data = "your own images" if prepared.source in _OWN else f"the data set {prepared.source}"
    return [
        f"the weights were learnt from {of_data}: the terms of those images hold for them",
        "the code is cnn-overnight, Apache-2.0",
    ]


def _again(lineage: Mapping[str, str]) -> str:
    night = lineage.get("night", "none")
    return f"make it again: `cnn reproduce {night}`" if night != "none" else "make it again: `cnn reproduce VERSION`"

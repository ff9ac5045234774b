"""Pictures of how each class fares."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure  # noqa: TID251

from cnn.evaluation.metrics import ClassMetrics, Metrics
from cnn.evaluation.plots.canvas import F1, GAP, INK, PRECISION, RECALL, plain, quiet, save


def per_class_picture(metrics: Metrics, path: Path) -> None:
    """F1 of each class as a bar, its precision and recall as marks upon it; best class first.

    Where an image bears several labels, also each one's average precision and the threshold it is predicted from.

    Raises:
        StorageError: The file cannot be written.
    """
    ranked = sorted(metrics.per_class, key=lambda entry: (entry.f1, entry.recall, entry.name))
    rows = range(len(ranked))
    figure = Figure(figsize=(7.5, 1.6 + (0.34 if len(ranked) <= 30 else 0.2) * len(ranked)), layout="constrained")
    axes = figure.subplots()
    axes.barh(rows, [entry.f1 for entry in ranked], height=0.68, color=F1, label="F1")
    marks: dict[str, Any] = {"linestyle": "none", "markersize": 5.5, "clip_on": False}
    axes.plot([entry.precision for entry in ranked], rows, marker="D", color=PRECISION, label="precision", **marks)
    axes.plot([entry.recall for entry in ranked], rows, marker="o", color=RECALL, label="recall", **marks)
    _own_marks(axes, ranked, marks)
    axes.axvline(metrics.macro_f1, color=INK, linewidth=1, linestyle=":", label=f"mean F1 {metrics.macro_f1:.3f}")
    axes.set_yticks(rows, [f"{plain(entry.name)}  ({entry.support:,})" for entry in ranked])
    axes.set(xlim=(0.0, 1.0), ylim=(-0.6, len(ranked) - 0.4))
    quiet(axes, grid="x")
    marks_first, names = axes.get_legend_handles_labels()
    figure.legend(
        marks_first[::-1],
        names[::-1],
        loc="outside upper center",
        ncols=4 if metrics.per_class[0].threshold is None else 3,
        frameon=False,
    )
    save(figure, path)


def _own_marks(axes: Any, ranked: list[ClassMetrics], marks: dict[str, Any]) -> None:
    known = [(entry, row) for row, entry in enumerate(ranked) if entry.threshold is not None]
    if not known:
        return
    thresholds, rows = zip(*((entry.threshold, row) for entry, row in known), strict=True)
    axes.plot(
        thresholds, rows, marker="|", color=INK, markeredgewidth=2, label="threshold", **marks | {"markersize": 11}
    )
    precisions = [(entry.average_precision, row) for entry, row in known if entry.average_precision is not None]
    if precisions:
        values, places = zip(*precisions, strict=True)
        axes.plot(values, places, marker="s", color=GAP, label="average precision", **marks)

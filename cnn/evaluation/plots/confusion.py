"""Pictures of what is taken for what: class by class, and at the top of a tree."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # noqa: TID251

from cnn.evaluation.metrics import Matrix, Metrics
from cnn.evaluation.plots.canvas import F1, INK, TRAIN, plain, quiet, save
from cnn.records import Head


def confusion_picture(matrix: Matrix, class_names: Sequence[str], path: Path) -> None:
    """Counts of images, actual class down and predicted class across, shaded by the part of the actual class.

    Raises:
        StorageError: The file cannot be written.
    """
    counts = np.asarray(matrix)
    n_classes = len(counts)
    side = max(2.6, (0.48 if n_classes <= 20 else 0.15) * n_classes)
    figure = Figure(figsize=(side + 2.2, side + 1.4), layout="constrained")
    _matrix_panel(figure, figure.subplots(), counts, class_names)
    save(figure, path)


def tree_picture(metrics: Metrics, head: Head, path: Path) -> None:
    """The accuracy of each level of a tree, and the confusion among the nodes nearest its top.

    Raises:
        StorageError: The file cannot be written.
    """
    tops = [way[0] for way in head.paths]
    names = list(dict.fromkeys(tops))
    under = np.array([[top == name for name in names] for top in tops], dtype=np.int64)
    side = max(2.6, 0.5 * len(names))
    figure = Figure(figsize=(side + 7.0, side + 1.8), layout="constrained")
    levels, matrix = figure.subplots(1, 2, width_ratios=(4.0, side + 2.0))
    _levels_panel(levels, metrics)
    matrix.set_title("confusion at the top level", loc="left", color=INK, fontsize=11)
    _matrix_panel(figure, matrix, under.T @ np.asarray(metrics.confusion) @ under, names)
    save(figure, path)


def _levels_panel(axes: Any, metrics: Metrics) -> None:
    values = [value for name, value in metrics.own.items() if name.startswith("accuracy_level_")]
    named = [f"level {number}" for number in range(1, len(values) + 1)]
    bars = axes.barh([*named, "class"], [*values, metrics.accuracy], height=0.6, color=[F1] * len(values) + [TRAIN])
    texts = axes.bar_label(bars, fmt="{:.3f}", label_type="center", color=INK, fontsize=9)
    texts[-1].set_text(f"{metrics.accuracy:.3f}  ({metrics.accuracy_low:.3f} to {metrics.accuracy_high:.3f})")
    texts[-1].set_color("white")
    axes.invert_yaxis()
    axes.set_xlim(0.0, 1.0)
    axes.set_title("accuracy, the top level first", loc="left", color=INK, fontsize=11)
    quiet(axes, grid="x")


def _matrix_panel(figure: Figure, axes: Any, counts: Any, names: Sequence[str]) -> None:
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.0)
    _name_cells(axes, names)
    if len(names) <= 20:
        _write_counts(axes, counts, fractions)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, aspect=30)
    bar.set_label("fraction of the actual class", color=INK)
    bar.ax.tick_params(colors=INK, labelsize=9)
    bar.outline.set_visible(False)


def _name_cells(axes: Any, class_names: Sequence[str]) -> None:
    names = [plain(name) for name in class_names]
    size = 9 if len(names) <= 20 else 6
    across = {"rotation": 90} if len(names) > 20 else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, fontsize=size, **across)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted", color=INK)
    axes.set_ylabel("actual", color=INK)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)


def _write_counts(axes: Any, counts: Any, fractions: Any) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if fractions[row, column] > 0.55 else INK
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)

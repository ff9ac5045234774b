"""Pictures of curves, confusions and classes, as PNG files whose bytes depend on the figures alone.

Drawn on `Figure` objects, never through pyplot: no global state, so any thread may draw. Colours are those of Okabe and
Ito, which colour-blind readers tell apart; where two things share a place, their shapes differ too.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # noqa: TID251
from matplotlib.ticker import MaxNLocator  # noqa: TID251

from cnn.durable import write_atomic
from cnn.evaluation.metrics import Matrix, Metrics
from cnn.records import Curve, best_row

_TRAIN, _VALIDATION, _GAP, _INK, _FAINT = "#0072B2", "#D55E00", "#E69F00", "#333333", "#9A9A9A"
_PRECISION, _RECALL, _F1 = "#D55E00", "#009E73", "#9CC9E6"
_LONGEST_NAME = 24
_DIVERGED_LOSS = 20.0  # nats: far beyond chance for any number of classes, so a log scale reads better


def curve_picture(curve: Curve, path: Path, *, title: str) -> None:
    """Loss and accuracy an epoch, side by side, the overfitting gap shaded, the best epoch marked.

    Args:
        curve: One epoch or more; rows may hold NaN.

    Raises:
        StorageError: The file cannot be written.
    """
    # Drawn once a trial, beside the training of others: margins and places by hand and few ticks, because a computed
    # layout would double what it costs.
    figure = Figure(figsize=(11, 4.6))
    figure.subplots_adjust(left=0.05, right=0.985, top=0.84, bottom=0.2, wspace=0.13)
    figure.suptitle(_plain(title, longest=110), color=_INK, fontsize=13, fontweight="bold")
    loss, accuracy = figure.subplots(1, 2)
    _curve_panel(loss, curve, "loss")
    _curve_panel(accuracy, curve, "accuracy")
    if max((row.val_loss for row in curve if math.isfinite(row.val_loss)), default=0.0) > _DIVERGED_LOSS:
        loss.set_yscale("log")
    _mark_best(loss, accuracy, curve)
    figure.legend(*accuracy.get_legend_handles_labels(), loc="lower center", ncols=4, frameon=False)
    _save(figure, path)


def confusion_picture(matrix: Matrix, class_names: Sequence[str], path: Path) -> None:
    """Counts of images, actual class down and predicted class across, shaded by the part of the actual class.

    Raises:
        StorageError: The file cannot be written.
    """
    counts = np.asarray(matrix)
    n_classes = len(counts)
    side = max(2.6, (0.48 if n_classes <= 20 else 0.15) * n_classes)
    figure = Figure(figsize=(side + 2.2, side + 1.4), layout="constrained")
    axes = figure.subplots()
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.0)
    _name_cells(axes, class_names)
    if n_classes <= 20:
        _write_counts(axes, counts, fractions)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02, aspect=30)
    bar.set_label("fraction of the actual class", color=_INK)
    bar.ax.tick_params(colors=_INK, labelsize=9)
    bar.outline.set_visible(False)
    _save(figure, path)


def per_class_picture(metrics: Metrics, path: Path) -> None:
    """F1 of each class as a bar, its precision and recall as marks upon it; best class first.

    Raises:
        StorageError: The file cannot be written.
    """
    ranked = sorted(metrics.per_class, key=lambda entry: (entry.f1, entry.recall, entry.name))
    rows = range(len(ranked))
    figure = Figure(figsize=(7.5, 1.6 + (0.34 if len(ranked) <= 30 else 0.2) * len(ranked)), layout="constrained")
    axes = figure.subplots()
    axes.barh(rows, [entry.f1 for entry in ranked], height=0.68, color=_F1, label="F1")
    marks: dict[str, Any] = {"linestyle": "none", "markersize": 5.5, "clip_on": False}
    axes.plot([entry.precision for entry in ranked], rows, marker="D", color=_PRECISION, label="precision", **marks)
    axes.plot([entry.recall for entry in ranked], rows, marker="o", color=_RECALL, label="recall", **marks)
    axes.axvline(metrics.macro_f1, color=_INK, linewidth=1, linestyle=":", label=f"mean F1 {metrics.macro_f1:.3f}")
    axes.set_yticks(rows, [f"{_plain(entry.name)}  ({entry.support:,})" for entry in ranked])
    axes.set(xlim=(0.0, 1.0), ylim=(-0.6, len(ranked) - 0.4))
    _quiet(axes, grid="x")
    marks_first, names = axes.get_legend_handles_labels()
    figure.legend(marks_first[::-1], names[::-1], loc="outside upper center", ncols=4, frameon=False)
    _save(figure, path)


def _curve_panel(axes: Any, curve: Curve, quantity: str) -> None:
    epochs = np.array([row.epoch + 1 for row in curve])
    running, clean, validation = (_line(curve, f"{prefix}_{quantity}") for prefix in ("train", "clean_train", "val"))
    style: dict[str, Any] = {"linewidth": 2 if len(curve) <= 100 else 1.2, "markersize": 3.5}
    style["marker"] = "o" if len(curve) <= 40 else ""
    axes.fill_between(epochs, clean, validation, color=_GAP, alpha=0.25, linewidth=0, label="overfitting gap")
    if len(curve) == 1:
        axes.vlines(epochs, clean, validation, color=_GAP, alpha=0.35, linewidth=7)
    axes.plot(
        epochs,
        running,
        color=_FAINT,
        label="running train",
        **style | {"linewidth": 1, "linestyle": "--", "markersize": 1.5},
    )
    axes.plot(epochs, clean, color=_TRAIN, label="clean train", **style)
    axes.plot(epochs, validation, color=_VALIDATION, label="validation", **style)
    axes.set_title("loss (nats)" if quantity == "loss" else quantity, loc="left", y=1.0, color=_INK, fontsize=11)
    axes.set_xlabel("epoch", color=_INK)
    axes.xaxis.set_label_coords(0.5, -0.11)
    axes.set_xlim(0.5, len(curve) * 1.015 + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    _quiet(axes, grid="y")


def _line(curve: Curve, name: str) -> Any:
    """One column of a curve, with a break where there is no finite number."""
    line = np.array([getattr(row, name) for row in curve], dtype=float)
    return np.where(np.isfinite(line), line, np.nan)


def _mark_best(loss: Any, accuracy: Any, curve: Curve) -> None:
    """Mark the best of the epochs that have figures; a curve of NaN alone has none."""
    scored = tuple(row for row in curve if math.isfinite(row.val_accuracy) and math.isfinite(row.val_loss))
    if not scored:
        return
    best = best_row(scored)
    for axes, value in ((loss, best.val_loss), (accuracy, best.val_accuracy)):
        axes.axvline(best.epoch + 1, color=_INK, linewidth=0.8, linestyle=":")
        axes.plot(best.epoch + 1, value, marker="o", markersize=9, markeredgecolor=_INK, markerfacecolor="none")
    text = f"best epoch {best.epoch + 1}: validation {best.val_accuracy:.4f}, gap {best.gap_accuracy:+.4f}"
    accuracy.set_title(text, loc="right", y=1.0, color=_INK, fontsize=10)


def _name_cells(axes: Any, class_names: Sequence[str]) -> None:
    names = [_plain(name) for name in class_names]
    size = 9 if len(names) <= 20 else 6
    across = {"rotation": 90} if len(names) > 20 else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(names)), names, fontsize=size, **across)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("predicted", color=_INK)
    axes.set_ylabel("actual", color=_INK)
    axes.tick_params(length=0, colors=_INK)
    axes.spines[:].set_visible(False)


def _write_counts(axes: Any, counts: Any, fractions: Any) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if fractions[row, column] > 0.55 else _INK
            axes.text(column, row, f"{count:,}", ha="center", va="center", fontsize=8, color=color)


def _quiet(axes: Any, *, grid: str) -> None:
    axes.grid(axis=grid, color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.tick_params(colors=_INK, labelsize=9)


def _plain(text: str, *, longest: int = _LONGEST_NAME) -> str:
    """One line of text that matplotlib takes for no formula; a long one loses its middle, not its ends."""
    line = " ".join(text.split())
    if len(line) > longest:
        line = f"{line[: longest // 2]}…{line[len(line) - (longest - 1) // 2 :]}"
    return line.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    # No software or date among the metadata: the same figures, the same bytes. Packing harder costs more than it saves.
    options: dict[str, Any] = {"dpi": 100, "metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}}
    write_atomic(path, lambda file: figure.savefig(file, format="png", **options))

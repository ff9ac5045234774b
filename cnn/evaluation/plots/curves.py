"""Pictures of learning curves."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # noqa: TID251
from matplotlib.ticker import MaxNLocator  # noqa: TID251

from cnn.evaluation.plots.canvas import FAINT, GAP, INK, TRAIN, VALIDATION, plain, quiet, save
from cnn.records import Curve, best_row

_WIDE = 55  # characters beside the panel's own name
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
    figure.suptitle(plain(title, longest=110), color=INK, fontsize=13, fontweight="bold")
    loss, accuracy = figure.subplots(1, 2)
    _curve_panel(loss, curve, "loss")
    _curve_panel(accuracy, curve, "accuracy")
    if max((row.val_loss for row in curve if math.isfinite(row.val_loss)), default=0.0) > _DIVERGED_LOSS:
        loss.set_yscale("log")
    _mark_best(loss, accuracy, curve)
    figure.legend(*accuracy.get_legend_handles_labels(), loc="lower center", ncols=4, frameon=False)
    save(figure, path)


def _curve_panel(axes: Any, curve: Curve, quantity: str) -> None:
    epochs = np.array([row.epoch + 1 for row in curve])
    running, clean, validation = (_line(curve, f"{prefix}_{quantity}") for prefix in ("train", "clean_train", "val"))
    style: dict[str, Any] = {"linewidth": 2 if len(curve) <= 100 else 1.2, "markersize": 3.5}
    style["marker"] = "o" if len(curve) <= 40 else ""
    axes.fill_between(epochs, clean, validation, color=GAP, alpha=0.25, linewidth=0, label="overfitting gap")
    if len(curve) == 1:
        axes.vlines(epochs, clean, validation, color=GAP, alpha=0.35, linewidth=7)
    axes.plot(
        epochs,
        running,
        color=FAINT,
        label="running train",
        **style | {"linewidth": 1, "linestyle": "--", "markersize": 1.5},
    )
    axes.plot(epochs, clean, color=TRAIN, label="clean train", **style)
    axes.plot(epochs, validation, color=VALIDATION, label="validation", **style)
    axes.set_title("loss (nats)" if quantity == "loss" else quantity, loc="left", y=1.0, color=INK, fontsize=11)
    axes.set_xlabel("epoch", color=INK)
    axes.xaxis.set_label_coords(0.5, -0.11)
    axes.set_xlim(0.5, len(curve) * 1.015 + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    quiet(axes, grid="y")


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
        axes.axvline(best.epoch + 1, color=INK, linewidth=0.8, linestyle=":")
        axes.plot(best.epoch + 1, value, marker="o", markersize=9, markeredgecolor=INK, markerfacecolor="none")
    said = f"best epoch {best.epoch + 1}"
    said += f", score {best.val_score:.4f}" if best.val_score != best.val_accuracy else ""
    text = f"{said}: validation {best.val_accuracy:.4f}, gap {best.gap_accuracy:+.4f}"
    accuracy.set_title(text, loc="right", y=1.0, color=INK, fontsize=10 if len(text) < _WIDE else 9)

"""Learning curves of several runs in one picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure  # noqa: TID251
from matplotlib.ticker import MaxNLocator  # noqa: TID251

from cnn.evaluation.plots.canvas import INK, TRAIN, VALIDATION, plain, quiet, save
from cnn.records import Curve

_COLOURS = (TRAIN, VALIDATION, "#009E73", "#CC79A7")


def compared_picture(curves: Mapping[str, Curve], path: Path) -> None:
    """Validation loss, validation score and overfitting gap an epoch, a line a run; clean training figures dashed.

    Args:
        curves: By the run's name; one to four, one epoch or more each.

    Raises:
        StorageError: The file cannot be written.
    """
    figure = Figure(figsize=(14, 4.6))
    figure.subplots_adjust(left=0.045, right=0.99, top=0.88, bottom=0.22, wspace=0.16)
    panels = {
        "validation loss (nats); dashed: clean training": ("val_loss", "clean_train_loss"),
        "validation score": ("val_score", ""),
        "overfitting gap (accuracy)": ("gap_accuracy", ""),
    }
    for axes, (title, (solid, dashed)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for colour, (name, curve) in zip(_COLOURS, curves.items(), strict=False):
            epochs = [row.epoch + 1 for row in curve]
            style = {"color": colour, "marker": "o" if len(curve) <= 40 else "", "markersize": 3.5}
            axes.plot(epochs, _column(curve, solid), linewidth=2, label=plain(name, longest=60), **style)
            if dashed:
                axes.plot(epochs, _column(curve, dashed), linewidth=1, linestyle="--", **style)
        axes.set_title(title, loc="left", color=INK, fontsize=11)
        axes.set_xlabel("epoch", color=INK)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
        quiet(axes, grid="y")
    figure.legend(*figure.axes[1].get_legend_handles_labels(), loc="lower center", ncols=2, frameon=False)
    save(figure, path)


def _column(curve: Curve, name: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """One figure of a curve, with a break where there is no finite number."""
    line = np.array([getattr(row, name) for row in curve], dtype=float)
    return np.where(np.isfinite(line), line, np.nan)

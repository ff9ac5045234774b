"""Pictures of two classes told apart at every threshold."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure  # noqa: TID251

from cnn.evaluation.metrics import Metrics
from cnn.evaluation.plots.canvas import FAINT, INK, TRAIN, VALIDATION, quiet, save


def ranking_picture(labels: Any, positive: Any, metrics: Metrics, path: Path) -> None:
    """The ROC curve and the precision-recall curve, with the point of the chosen threshold on both.

    Args:
        labels: (n,) of 0 and 1, both of which occur.
        positive: (n,) probability of the positive class.
        metrics: Those of `binary_metrics` on the same images.

    Raises:
        StorageError: The file cannot be written.
    """
    from sklearn.metrics import precision_recall_curve, roc_curve

    labels, own = np.asarray(labels), metrics.own
    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    roc, pr = figure.subplots(1, 2)
    false_positives, recalls, _ = roc_curve(labels, positive)
    chosen_false = float((np.asarray(positive, np.float64)[labels == 0] >= own["threshold"]).mean())
    roc.plot([0, 1], [0, 1], color=FAINT, linestyle=":", linewidth=1, label="chance")
    roc.plot(false_positives, recalls, color=TRAIN, linewidth=2, label=_area(own, "roc_auc"))
    _panel(roc, "ROC", "false positives, part of the negatives", "true positives, part of the positives")
    precisions, recalls, _ = precision_recall_curve(labels, positive)
    share = float(labels.mean())
    pr.axhline(share, color=FAINT, linestyle=":", linewidth=1, label=f"chance {share:.3f}")
    pr.step(recalls, precisions, where="post", color=TRAIN, linewidth=2, label=_area(own, "pr_auc"))
    _panel(pr, "precision and recall", "recall", "precision")
    for axes, place in ((roc, (chosen_false, own["recall"])), (pr, (own["recall"], own["precision"]))):
        axes.plot(*place, marker="o", markersize=9, color=VALIDATION, linestyle="none", clip_on=False,
                  label=f"threshold {own['threshold']:.3f}")  # fmt: skip
        axes.legend(loc="lower right" if axes is roc else "lower left", frameon=False)
    figure.suptitle(
        f"at the threshold: precision {own['precision']:.3f}, recall {own['recall']:.3f}, F1 {own['f1']:.3f}",
        color=INK, fontsize=12,
    )  # fmt: skip
    save(figure, path)


def _area(own: Any, name: str) -> str:
    return f"area {own[name]:.4f} ({own[f'{name}_low']:.3f} to {own[f'{name}_high']:.3f})"


def _panel(axes: Any, title: str, across: str, up: str) -> None:
    axes.set_title(title, loc="left", color=INK, fontsize=11)
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    quiet(axes, grid="both")

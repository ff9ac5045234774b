"""Sections on what a test says of a classifier of exclusive classes."""

from pathlib import Path

import numpy as np

from cnn.evaluation.calibration import Calibration, calibration
from cnn.reports.page import Picture, Section, Table, listed
from cnn.reports.pictures import calibration_picture
from cnn.reports.run_parts import Part, RunFacts

_MOST = 3
_LONGEST_TABLE = 50

_CALIBRATION_NOTE = (
    "Expected calibration error over {n_bins} bins of equal width: the mean over the answers of the distance between "
    "what a bin says and what is true of it. Guo, Pleiss, Sun and Weinberger, “On calibration of modern neural "
    "networks”, ICML 2017."
)


def confusion_section(facts: RunFacts, out: Path) -> Part:
    """Which classes are taken for which."""
    names = facts.head.class_names
    counts = np.array(facts.metrics.confusion)
    n_wrong = int(counts.sum() - np.trace(counts))
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:_MOST]
    pairs = [(*np.unravel_index(place, counts.shape), int(counts.flat[place])) for place in order]
    said = [f"“{names[a]}” is taken for “{names[b]}” {n:,} times" for a, b, n in pairs if n]
    text = f"{n_wrong:,} of {facts.metrics.n:,} images are given another class than theirs."
    text += f" Most often {listed(said)}." if said else ""
    pictures = facts.picture("confusion", "Confusion matrix, actual class down, predicted class across")
    return Section(title="What it confuses", text=(text,), pictures=pictures), ()


def classes_section(facts: RunFacts, out: Path) -> Part:
    """F1, precision and recall of each class."""
    ranked = sorted(facts.metrics.per_class, key=lambda entry: (entry.f1, entry.name))
    weakest = listed([f"“{entry.name}” ({entry.f1:.3f})" for entry in ranked[:_MOST]])
    rows = tuple(
        (entry.name, f"{entry.f1:.4f}", f"{entry.precision:.4f}", f"{entry.recall:.4f}", f"{entry.support:,}")
        for entry in ranked[:_LONGEST_TABLE]
    )
    cut = f", the weakest {_LONGEST_TABLE} of {len(ranked)}" if len(ranked) > _LONGEST_TABLE else ", the weakest first"
    header = ("class", "F1", "precision", "recall", "images")
    section = Section(
        title="Which classes it knows",
        text=(f"The weakest by F1 are {weakest}.",),
        pictures=facts.picture("per_class", "F1, precision and recall of each class"),
        tables=(Table(header=header, rows=rows, caption=f"Classes{cut}"),),
        notes=("Precision: of the images given this class, the fraction that has it. Recall: of the images that have "
               "it, the fraction given it. F1 is their harmonic mean.",),
    )  # fmt: skip
    return section, ()


def calibration_section(facts: RunFacts, out: Path) -> Part:
    """Whether it is as sure as it is right."""
    found = calibration(facts.predictions.probs.max(axis=1), facts.predictions.correct)
    return reliability(found, out, _belief(found), alt="accuracy over confidence")


def reliability(found: Calibration, out: Path, text: str, *, alt: str, **axes: str) -> Part:
    """The reliability diagram with what it says.

    Args:
        axes: Their names, as `calibration_picture` takes them.
    """
    path = out / "calibration.png"
    picture = Picture(png=calibration_picture(found, path, **axes), alt=f"Reliability diagram: {alt}")
    notes = (_CALIBRATION_NOTE.format(n_bins=found.n_bins),)
    return Section(title="Can its probabilities be believed", text=(text,), pictures=(picture,), notes=notes), (path,)


def _belief(found: Calibration) -> str:
    relation = "surer than it is right" if found.mean_confidence > found.accuracy else "less sure than it is right"
    return (
        f"The expected calibration error is {found.ece:.4f}. On average it says {found.mean_confidence:.4f} and is "
        f"right on {found.accuracy:.4f}: {relation} by {abs(found.mean_confidence - found.accuracy):.4f}."
    )

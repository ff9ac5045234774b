"""Sections that belong to one kind of classification: a ranking of two classes, labels that do not exclude each other,
a tree of classes.
"""

from pathlib import Path

import numpy as np

from cnn.evaluation.calibration import calibration
from cnn.evaluation.metrics.figures import ClassMetrics
from cnn.reports.page import Section, Table, listed
from cnn.reports.run_parts import Part, RunFacts
from cnn.reports.run_sections import reliability
from cnn.training.tree import membership, nodes

_MOST = 3
_INDENT = "\N{NO-BREAK SPACE}" * 6


def ranking_section(facts: RunFacts, out: Path) -> Part:
    """How well the positive class is told from the other, at all thresholds and at the chosen one."""
    own, positive = facts.metrics.own, facts.head.class_names[1]
    text = (
        f"A random image of “{positive}” is given more than a random other one with chance {own['roc_auc']:.4f} "
        f"(ROC AUC, {100 * facts.confidence:g} % interval {own['roc_auc_low']:.4f} to {own['roc_auc_high']:.4f}); the "
        f"average precision is {own['pr_auc']:.4f} ({own['pr_auc_low']:.4f} to {own['pr_auc_high']:.4f}).",
        f"From the threshold {own['threshold']:.3f} on, chosen on the validation images, an image is called "
        f"“{positive}”: {own['precision']:.4f} of the so called are, and {own['recall']:.4f} of those that are, are so "
        "called.",
    )
    pictures = facts.picture("per_class", "ROC and precision-recall curve, the threshold marked")
    return Section(title=f"Telling “{positive}” apart", text=text, pictures=pictures), ()


def positive_calibration_section(facts: RunFacts, out: Path) -> Part:
    """Whether the positive class is as frequent as its probability says."""
    found = calibration(facts.predictions.probs[:, 1], facts.predictions.labels == 1)
    text = (
        f"The expected calibration error is {found.ece:.4f}. On average it gives “{facts.head.class_names[1]}” a "
        f"probability of {found.mean_confidence:.4f}, and {found.accuracy:.4f} of the images are."
    )
    axes = {"across": "probability of the positive class", "up": "fraction positive"}
    return reliability(found, out, text, alt="fraction positive over probability", **axes)


def labels_section(facts: RunFacts, out: Path) -> Part:
    """Each label with its threshold; which are missed and which invented."""
    ranked = sorted(facts.metrics.per_class, key=lambda entry: (entry.f1, entry.name))
    labels, predicted = facts.predictions.labels == 1, facts.predictions.predicted == 1
    names = facts.head.class_names
    missed, invented = (labels & ~predicted).sum(axis=0), (~labels & predicted).sum(axis=0)
    text = (
        f"{int((labels != predicted).sum()):,} of {labels.size:,} answers are wrong. Most often missed: "
        f"{_most(missed, names)}. Most often seen where it is not: {_most(invented, names)}.",
    )
    header = ("label", "threshold", "F1", "precision", "recall", "average precision", "images")
    table = Table(header=header, rows=tuple(map(_label_row, ranked)), caption="Labels, the weakest first")
    section = Section(
        title="Which labels it knows",
        text=text,
        pictures=(
            *facts.picture("per_class", "F1, precision and recall of each label"),
            *facts.picture("confusion", "Which labels are missed or seen where they are not"),
        ),
        tables=(table,),
        notes=("From its threshold on, which was chosen on the validation images, a label is given.",),
    )
    return section, ()


def labels_calibration_section(facts: RunFacts, out: Path) -> Part:
    """Whether labels are as frequent as their probabilities say, all labels together."""
    found = calibration(facts.predictions.probs.ravel(), facts.predictions.labels.ravel() == 1)
    text = (
        f"The expected calibration error over all labels is {found.ece:.4f}. On average a label is given a probability "
        f"of {found.mean_confidence:.4f}, and {found.accuracy:.4f} of the images have it."
    )
    axes = {"across": "probability of a label", "up": "fraction that has it"}
    return reliability(found, out, text, alt="fraction that has the label over probability", **axes)


def tree_section(facts: RunFacts, out: Path) -> Part:
    """The tree, with what reaches each node."""
    head, under = facts.head, membership(facts.head).astype(bool)
    actual, predicted = under[facts.predictions.labels], under[facts.predictions.predicted]
    found = {}
    for place, node in enumerate(nodes(head)):
        here, said = actual[:, place], predicted[:, place]
        found[node] = int(here.sum()), int((here & said).sum()), int(said.sum())
    ordered = sorted(found, key=lambda node: [nodes(head).index(node[:depth]) for depth in range(1, len(node) + 1)])
    rows = tuple(
        (
            f"{_INDENT * (len(node) - 1)}{node[-1]}",
            f"{n:,}",
            f"{right / n:.4f}" if n else "",
            f"{right / said:.4f}" if said else "",
        )
        for node in ordered
        for n, right, said in [found[node]]
    )
    own = facts.metrics.own
    levels = [value for name, value in own.items() if name.startswith("accuracy_level_")]
    text = (
        f"Accuracy from the top of the tree: {', '.join(f'{value:.4f}' for value in levels)}. Hierarchical F1 is "
        f"{own['hierarchical_f1']:.4f} ({100 * facts.confidence:g} % interval {own['hierarchical_f1_low']:.4f} to "
        f"{own['hierarchical_f1_high']:.4f})."
    )
    header = ("node", "images", "accuracy", "precision")
    section = Section(
        title="The tree",
        text=(text,),
        pictures=facts.picture("confusion", "Accuracy of each level, and confusion at the top level"),
        tables=(Table(header=header, rows=rows),),
        notes=(
            "Accuracy of a node: of the images under it, the fraction that is placed under it. Precision: of those "
            "placed under it, the fraction that belongs there.",
        ),
    )
    return section, ()


def _label_row(entry: ClassMetrics) -> tuple[str, ...]:
    figures = (entry.threshold, entry.f1, entry.precision, entry.recall, entry.average_precision)
    return entry.name, *("" if value is None else f"{value:.4f}" for value in figures), f"{entry.support:,}"


def _most(counts: np.ndarray, names: tuple[str, ...]) -> str:
    order = np.argsort(-counts, kind="stable")[:_MOST]
    return listed([f"“{names[index]}” ({counts[index]:,} times)" for index in order if counts[index]]) or "none"

"""A run's report: what was trained, how good it is, what its curve says, where it goes wrong and where it looks."""

from pathlib import Path

from cnn.records import Task, best_row
from cnn.reports.page import Report, Section, write_report_page
from cnn.reports.run_images import grad_cam_section, mistakes_section
from cnn.reports.run_parts import RunFacts, curve_section, recipe_section
from cnn.reports.run_sections import calibration_section, classes_section, confusion_section
from cnn.reports.run_tasks import (
    labels_calibration_section,
    labels_section,
    positive_calibration_section,
    ranking_section,
    tree_section,
)

REPORT, PICTURES = "report.html", "report"

_SECTIONS = {
    Task.MULTICLASS: (confusion_section, classes_section, calibration_section),
    Task.BINARY: (ranking_section, confusion_section, positive_calibration_section),
    Task.MULTILABEL: (labels_section, labels_calibration_section),
    Task.HIERARCHICAL: (tree_section, classes_section, calibration_section),
}
"""What a test is shown by, for each kind of classification; the curve stands before, images and recipe behind."""


def write_run_report(out: Path, facts: RunFacts) -> tuple[Path, ...]:
    """Write `report.html`, whole in itself, and its own pictures as PNG files into the folder `report` beside it.

    Returns:
        All files, the report first.

    Raises:
        StorageError: A file cannot be written.
    """
    for old in (out / PICTURES).glob("*.png"):  # of another kind of classification
        old.unlink()
    of_task = _SECTIONS[facts.head.task]
    sections = (curve_section, *of_task, mistakes_section, grad_cam_section, recipe_section)
    made = [section(facts, out / PICTURES) for section in sections]
    page = write_report_page(out / REPORT, _report(facts, tuple(section for section, _ in made)))
    return (page, *(path for _, paths in made for path in paths))


def _report(facts: RunFacts, sections: tuple[Section, ...]) -> Report:
    reading = facts.reading
    return Report(
        title=f"{facts.recipe['model']['family']} on {facts.prepared.source}",
        subtitle=_subtitle(facts),
        figures=_figures(facts),
        verdict=f"Verdict on the learning curve: {reading.words}",
        tone=reading.tone,
        findings=reading.findings,
        remedies=reading.remedies,
        sections=sections,
    )


def _subtitle(facts: RunFacts) -> str:
    height, width, channels = facts.prepared.image_shape
    parts = ", ".join(f"{count:,} {name}" for name, count in facts.prepared.n_images.items())
    return (
        f"{len(facts.head.class_names)} classes, images of {height} x {width} x {channels}; {parts} images. The test "
        "images were seen by no search and no training."
    )


def _figures(facts: RunFacts) -> tuple[tuple[str, str, str], ...]:
    metrics, best, task = facts.metrics, best_row(facts.curve), facts.head.task
    level, own = f"{100 * facts.confidence:g} % interval", metrics.own
    figures = []
    if task.score_name != "accuracy":
        low, high = (own.get(f"{task.score_name}_{end}") for end in ("low", "high"))
        remark = f"{level} {low:.4f} to {high:.4f}" if low is not None else "the score of this kind of classification"
        figures.append((f"Test {task.score_words}", f"{own[task.score_name]:.4f}", remark))
    entirely = " entirely right" if task is Task.MULTILABEL else ""
    return (
        *figures,
        (
            "Test accuracy",
            f"{metrics.accuracy:.4f}",
            f"{level} {metrics.accuracy_low:.4f} to {metrics.accuracy_high:.4f}, on {metrics.n:,} images{entirely}",
        ),
        (
            f"Validation {task.score_words}",
            f"{best.val_score:.4f}",
            f"at the best epoch, {best.epoch + 1} of {len(facts.curve)}",
        ),
        ("Overfitting gap", f"{best.gap_accuracy:+.4f}", "clean training minus validation accuracy, at the best epoch"),
        ("Test loss", f"{metrics.loss:.4f}", "in nats"),
        ("Macro F1", f"{metrics.macro_f1:.4f}", "unweighted mean over the classes"),
    )

"""The files of an evaluation: figures, tables, pictures, predictions. The same results give the same bytes.

All kinds of classification write files of the same names, each with what it has to say.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

from cnn.durable import sha256_of, write_json, write_sealed, write_text
from cnn.evaluation.metrics.figures import NONE, Metrics
from cnn.evaluation.predictions import Predictions, write_predictions
from cnn.records import Scalar, Task


def write_report(
    out: Path, metrics: Metrics, predictions: Predictions, *, figures: Mapping[str, float], facts: Mapping[str, str]
) -> tuple[Path, ...]:
    """Write everything, the sealed `evaluate.json` last: where it stands, the rest is complete.

    `metrics.json` has the figures alone, for `dvc metrics` and `dvc exp show`.

    Args:
        figures: What else counts as a metric, e.g. the candidate's gap.
        facts: What else `evaluate.json` says, e.g. which test images were used.

    Returns:
        The files worth a look: tables and pictures.

    Raises:
        StorageError: A file cannot be written.
    """
    tables = _write_per_class(out / "per_class.csv", metrics), _write_confusion(out / "confusion.csv", predictions)
    pictures = out / "confusion.png", out / "per_class.png"
    _PICTURES[predictions.head.task](metrics, predictions, *pictures)
    write_predictions(out / "predictions.npz", predictions)
    said = {"task": predictions.head.task.value, "predictions_sha256": sha256_of(out / "predictions.npz")}
    numbers = {"n": metrics.n} | metrics.figures() | dict(figures)
    write_json(out / "metrics.json", numbers)
    write_sealed(out / "evaluate.json", numbers | dict(facts) | said)
    return (*tables, *pictures)


def _write_per_class(path: Path, metrics: Metrics) -> Path:
    """One line a class; labels that do not exclude each other have a threshold and an average precision each."""
    header = ["class", "precision", "recall", "f1", "support"]
    rows: list[list[Scalar]] = [
        [entry.name, entry.precision, entry.recall, entry.f1, entry.support] for entry in metrics.per_class
    ]
    if any(entry.threshold is not None for entry in metrics.per_class):
        header += ["average_precision", "threshold"]
        for row, entry in zip(rows, metrics.per_class, strict=True):
            row += ["" if value is None else value for value in (entry.average_precision, entry.threshold)]
    return _write_table(path, header, rows)


def _write_confusion(path: Path, predictions: Predictions) -> Path:
    """Pairs of names, in the form that DVC's `confusion` template counts."""
    pairs = _label_pairs if predictions.head.task is Task.MULTILABEL else _class_pairs
    return _write_table(path, ("actual", "predicted"), pairs(predictions))


def _class_pairs(predictions: Predictions) -> Iterator[tuple[str, str]]:
    """One an image."""
    names = predictions.class_names
    for actual, predicted in zip(predictions.labels, predictions.predicted, strict=True):
        yield names[actual], names[predicted]


def _label_pairs(predictions: Predictions) -> Iterator[tuple[str, str]]:
    """One for each label of an image, found or missed, and one for each that was invented."""
    for actual, predicted in zip(predictions.labels, predictions.predicted, strict=True):
        for name, held, said in zip(predictions.class_names, actual, predicted, strict=True):
            if held or said:
                yield name if held else NONE, name if said else NONE


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Scalar]]) -> Path:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
    return path


def _draw_classes(metrics: Metrics, predictions: Predictions, confusion: Path, classes: Path) -> None:
    from cnn.evaluation.plots import confusion_picture, per_class_picture

    confusion_picture(metrics.confusion, predictions.class_names, confusion)
    per_class_picture(metrics, classes)


def _draw_ranking(metrics: Metrics, predictions: Predictions, confusion: Path, classes: Path) -> None:
    from cnn.evaluation.plots import confusion_picture, ranking_picture

    confusion_picture(metrics.confusion, predictions.class_names, confusion)
    ranking_picture(predictions.labels, predictions.probs[:, 1], metrics, classes)


def _draw_labels(metrics: Metrics, predictions: Predictions, confusion: Path, classes: Path) -> None:
    from cnn.evaluation.plots import confusion_picture, per_class_picture

    confusion_picture(metrics.confusion, (*predictions.class_names, NONE), confusion)
    per_class_picture(metrics, classes)


def _draw_tree(metrics: Metrics, predictions: Predictions, confusion: Path, classes: Path) -> None:
    from cnn.evaluation.plots import per_class_picture, tree_picture

    tree_picture(metrics, predictions.head, confusion)
    per_class_picture(metrics, classes)


_PICTURES: dict[Task, Callable[[Metrics, Predictions, Path, Path], None]] = {
    Task.MULTICLASS: _draw_classes,
    Task.BINARY: _draw_ranking,
    Task.MULTILABEL: _draw_labels,
    Task.HIERARCHICAL: _draw_tree,
}
"""From the figures to `confusion.png` and `per_class.png`."""

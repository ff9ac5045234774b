"""The files of an evaluation: figures, tables, pictures, predictions. The same results give the same bytes."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path

from cnn.durable import sha256_of, write_json, write_sealed, write_text
from cnn.evaluation.metrics import Metrics
from cnn.evaluation.predictions import Predictions, write_predictions
from cnn.records import Scalar


def write_report(
    out: Path,
    metrics: Metrics,
    predictions: Predictions,
    class_names: Sequence[str],
    *,
    figures: Mapping[str, float],
    facts: Mapping[str, str],
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
    from cnn.evaluation.plots import confusion_picture, per_class_picture

    tables = (
        _write_per_class(out / "per_class.csv", metrics),
        _write_confusion(out / "confusion.csv", predictions, class_names),
    )
    pictures = out / "confusion.png", out / "per_class.png"
    confusion_picture(metrics.confusion, class_names, pictures[0])
    per_class_picture(metrics, pictures[1])
    write_predictions(out / "predictions.npz", predictions)
    digests = {"predictions_sha256": sha256_of(out / "predictions.npz")}
    numbers = {"n": metrics.n} | metrics.figures() | dict(figures)
    write_json(out / "metrics.json", numbers)
    write_sealed(out / "evaluate.json", numbers | dict(facts) | digests)
    return (*tables, *pictures)


def _write_per_class(path: Path, metrics: Metrics) -> Path:
    """One line a class."""
    header = ("class", "precision", "recall", "f1", "support")
    rows = ((entry.name, entry.precision, entry.recall, entry.f1, entry.support) for entry in metrics.per_class)
    return _write_table(path, header, rows)


def _write_confusion(path: Path, predictions: Predictions, class_names: Sequence[str]) -> Path:
    """One line an image, by names: the form that DVC's `confusion` template counts."""
    pairs = zip(predictions.labels, predictions.predicted, strict=True)
    rows = ((class_names[actual], class_names[predicted]) for actual, predicted in pairs)
    return _write_table(path, ("actual", "predicted"), rows)


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Scalar]]) -> Path:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())
    return path

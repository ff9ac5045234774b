"""What a version keeps of its test."""

from pathlib import Path
from tempfile import TemporaryDirectory

from cnn.evaluation.predictions import UNNAMED, Predictions, read_predictions
from cnn.records import Head
from cnn.tracking.registry import Registry, Version

_FILE = "predictions.npz"


def kept_predictions(version: Version, registry: Registry) -> Predictions:
    """What a version said about the test images when it was evaluated.

    Raises:
        IntegrityError: They are damaged, or were never kept.
    """
    with TemporaryDirectory() as folder:
        path = registry.download_file(version, _FILE, Path(folder))
        return read_predictions(path, version.tags[f"sha256.{_FILE}"])


def kept_head(version: Version, registry: Registry) -> Head:
    """What it was tested for; without names where no predictions were kept.

    Raises:
        IntegrityError: They are damaged.
    """
    return kept_predictions(version, registry).head if f"sha256.{_FILE}" in version.tags else UNNAMED

"""What a model says about each test image: kept, so that two models can be compared on the same images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.durable import check_file, write_atomic


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """Probabilities of k classes for n images, in the order of the test set.

    Args:
        labels: (n,) int64, the actual classes.
        probs: (n, k) float32.
        class_names: (k,); empty where they were not kept, as by earlier versions of this package.
    """

    labels: npt.NDArray[np.int64]
    probs: npt.NDArray[np.float32]
    class_names: tuple[str, ...] = ()

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(n,) the most probable class; the first one among equals."""
        predicted: npt.NDArray[np.int64] = self.probs.argmax(axis=1)
        return predicted

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """(n,) where that is the actual class."""
        return np.equal(self.predicted, self.labels)


def predict(
    model: Callable[[Any], Any], images: Any, labels: Any, *, batch_size: int, class_names: tuple[str, ...] = ()
) -> Predictions:
    """Score images batch by batch, so that a memory-mapped test set need not fit into memory.

    Args:
        model: Gives (b, k) probabilities for (b, h, w, c) images; `keras.Model.predict_on_batch`.
        images: (n, h, w, c) uint8, n at least 1.
        labels: (n,) integers.
        batch_size: Images a call, 1 or more.
    """
    starts = range(0, len(images), batch_size)
    probs = [np.asarray(model(images[start : start + batch_size]), dtype=np.float32) for start in starts]
    return Predictions(labels=np.asarray(labels, dtype=np.int64), probs=np.concatenate(probs), class_names=class_names)


def write_predictions(path: Path, predictions: Predictions) -> None:
    """An uncompressed `.npz` of `index`, `labels`, `probs` and `class_names`; equal predictions, equal bytes.

    Raises:
        StorageError: The file cannot be written.
    """
    labels, probs = predictions.labels, predictions.probs
    index, names = np.arange(len(labels)), np.array(predictions.class_names, dtype=np.str_)
    write_atomic(
        path,
        lambda file: np.savez(file, index=index, labels=labels, probs=probs, class_names=names, allow_pickle=False),
    )


def read_predictions(path: Path, sha256: str) -> Predictions:
    """Predictions as they were written.

    Args:
        sha256: Of the file, as `evaluate.json` has it.

    Raises:
        IntegrityError: The file is missing, torn or flipped.
    """
    check_file(path, sha256)
    with np.load(path, allow_pickle=False) as arrays:
        class_names = tuple(arrays["class_names"].tolist()) if "class_names" in arrays else ()
        return Predictions(labels=arrays["labels"], probs=arrays["probs"], class_names=class_names)

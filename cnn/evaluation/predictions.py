"""What a model says about each test image: kept, so that two models can be compared on the same images."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.durable import check_file, write_atomic
from cnn.records import Head, head_from
from cnn.training.answers import predictions, right

UNNAMED = Head(class_names=())
"""The head where none was kept, as by earlier versions of this package: one of k classes, without their names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """Probabilities of k classes for n images, in the order of the test set.

    Args:
        labels: (n,) int64, the actual classes; with several labels an image (n, k) of 0 and 1.
        probs: (n, k) float32.
        head: What was to be told of an image.
        thresholds: One for two classes, one a label where there are several; empty for 0.5, or where none is needed.
        names: (n,) the files the images came from; empty where they came as arrays.
    """

    labels: npt.NDArray[np.int64]
    probs: npt.NDArray[np.float32]
    head: Head = UNNAMED
    thresholds: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """(k,); empty where they were not kept."""
        return self.head.class_names

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """(n,) the predicted class; with several labels an image (n, k) of 0 and 1."""
        return predictions(self.probs, self.head.task, self.thresholds)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """(n,) where an image is answered entirely right."""
        return right(self.labels, self.probs, self.head.task, self.thresholds)


def predict(
    model: Callable[[Any], Any],
    images: Any,
    labels: Any,
    *,
    batch_size: int,
    head: Head = UNNAMED,
    thresholds: tuple[float, ...] = (),
    names: Iterable[str] | None = None,
) -> Predictions:
    """Score images batch by batch, so that a memory-mapped test set need not fit into memory.

    Args:
        model: Gives (b, k) probabilities for (b, h, w, c) images; `keras.Model.predict_on_batch`.
        images: (n, h, w, c) uint8, n at least 1.
        labels: (n,) integers, or (n, k) of 0 and 1.
        batch_size: Images a call, 1 or more.
        names: (n,) of the images' files, if they have any.
    """
    starts = range(0, len(images), batch_size)
    probs = [np.asarray(model(images[start : start + batch_size]), dtype=np.float32) for start in starts]
    return Predictions(
        labels=np.asarray(labels, dtype=np.int64),
        probs=np.concatenate(probs),
        head=head,
        thresholds=thresholds,
        names=tuple(map(str, names if names is not None else ())),
    )


def write_predictions(path: Path, predictions: Predictions) -> None:
    """An uncompressed `.npz` of `index`, `labels`, `probs`, `head` (JSON), `thresholds` and, if there are any, `names`;
    equal ones, equal bytes.

    Raises:
        StorageError: The file cannot be written.
    """
    arrays: dict[str, Any] = {
        "index": np.arange(len(predictions.labels)),
        "labels": predictions.labels,
        "probs": predictions.probs,
        "head": np.array(json.dumps(predictions.head.document(), ensure_ascii=False)),
        "thresholds": np.array(predictions.thresholds, dtype=np.float64),
    }
    if predictions.names:
        arrays["names"] = np.array(predictions.names)
    write_atomic(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def read_predictions(path: Path, sha256: str) -> Predictions:
    """Predictions as they were written.

    Args:
        sha256: Of the file, as `evaluate.json` has it.

    Raises:
        IntegrityError: The file is missing, torn or flipped.
    """
    check_file(path, sha256)
    with np.load(path, allow_pickle=False) as arrays:
        return Predictions(
            labels=arrays["labels"],
            probs=arrays["probs"],
            head=head_from(_kept_head(arrays)),
            thresholds=tuple(arrays["thresholds"].tolist()) if "thresholds" in arrays else (),
            names=tuple(arrays["names"].tolist()) if "names" in arrays else (),
        )


def _kept_head(arrays: Any) -> dict[str, Any]:
    """Of files of before there were tasks the names of the classes, or not even those."""
    if "head" in arrays:
        head: dict[str, Any] = json.loads(str(arrays["head"]))
        return head
    return {"class_names": arrays["class_names"].tolist()} if "class_names" in arrays else {}

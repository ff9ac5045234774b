"""Values that tests need and whose figures, but for the ones they name, don't matter."""

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import Prepared, write_prepared
from cnn.data.quality.fingerprint import Fingerprint, keep_fingerprint
from cnn.records import EpochRow, Head, Outcome, Proposal
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow


def epoch_row(epoch: int = 0, accuracy: float = 0.5, **figures: float) -> EpochRow:
    """An epoch of an ordinary curve. The figures are sums of halves, so that their differences are exact.

    Args:
        accuracy: On validation images; the score too.
        figures: Others of the row's fields, by name.
    """
    ordinary = {
        "train_loss": 1.5,
        "train_accuracy": 0.5,
        "clean_train_loss": 1.25,
        "clean_train_accuracy": 0.625,
        "val_loss": 1.75,
        "learning_rate": 0.0078125,
        "seconds": 2.0,
    }
    return EpochRow(**{"epoch": epoch, "val_accuracy": accuracy, "val_score": accuracy} | ordinary | figures)


def ledger_row(outcome: Outcome, repeat: int = 0) -> LedgerRow:
    """What the ledger says of a run that ended so.

    Args:
        repeat: 0 for a trial, from 1 for a finalist's fresh runs.
    """
    return LedgerRow(
        id=JobId(outcome.number, repeat),
        proposal=Proposal(number=outcome.number, values={}, epochs=max(1, len(outcome.curve))),
        seed=0,
        cost=outcome.cost,
        deaths=0,
        outcome=outcome,
    )


LONG_STAGE = """
import os, signal, time
from pathlib import Path

told = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: told.append(number))
Path("begun").write_text(str(os.getpid()))
while not told:
    time.sleep(0.05)
time.sleep(1)
Path("ended_well").touch()
raise SystemExit(130)
"""
"""A stage that runs until it is told to end; as a search, it then needs a moment, and may be told more than once."""


_KINDS = (("png", "L"), ("png", "RGBA"), ("jpg", "RGB"), ("png", "P"), ("tif", "CMYK"), ("png", "I;16"), ("png", "LA"))


def digit_folder(folder: Path, n: int = 200, *, splits: Sequence[str] = (), mixed: bool = True) -> Path:
    """Real digits as pictures, `folder/[SPLIT/]DIGIT/NUMBER.ENDING`: the first n of scikit-learn's, each once.

    Args:
        n: 1 to 1797.
        splits: `("train", "val", "test")` deals them out, of each ten seven, one and two; without it: class folders.
        mixed: Of several sizes, modes and formats; else grey PNGs of 8 x 8.
    """
    images, labels = all_digits()
    dealt = [name for name, share in zip(splits, (7, 1, 2), strict=False) for _ in range(share)] or [""]
    for number, (image, label) in enumerate(zip(images[:n], labels[:n], strict=True)):
        place = folder / dealt[number // 10 % len(dealt)] / str(label)
        ending, mode = _KINDS[number % len(_KINDS)] if mixed else ("png", "L")
        write_picture(place / f"{number:04}.{ending}", image, mode, side=(8, 11, 24, 17)[number % 4] if mixed else 8)
    return folder


def digit_csv(folder: Path, n: int = 200, *, splits: Sequence[str] = (), mixed: bool = True) -> Path:
    """The same pictures with a manifest `folder/digits.csv` of the columns path, label and, with splits, split."""
    digit_folder(folder, n, splits=splits, mixed=mixed)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*.*") if path.suffix != ".csv")
    rows = [[str(path), path.parent.name, *path.parts[: len(path.parts) - 2]] for path in files]
    return write_csv(folder / "digits.csv", ["path", "label", *(["split"] if splits else [])], rows)


def canvas_csv(folder: Path, n: int = 200, *, columns: bool = False) -> Path:
    """Pictures of several real digits with a manifest `folder/canvas.csv` of several labels each.

    Args:
        n: 1 to 3000.
        columns: A column of 0 and 1 a digit; else one column `label` such as `3|7`.
    """
    from cnn.data.sources.catalogue import SOURCES

    train = SOURCES["digits_canvas"].load(None, folder).train
    rows = []
    for number, (image, shown) in enumerate(zip(train.images[:n, ..., 0], train.labels[:n], strict=True)):
        write_picture(folder / f"{number:04}.png", image, "L", side=24)
        digits = "|".join(str(digit) for digit in np.flatnonzero(shown))
        rows.append([f"{number:04}.png", *(map(str, shown) if columns else [digits])])
    names = [str(digit) for digit in range(10)] if columns else ["label"]
    return write_csv(folder / "canvas.csv", ["path", *names], rows)


def write_picture(path: Path, image: "np.ndarray", mode: str = "L", *, side: int) -> None:
    """A grey (h, w) uint8 image as a picture of another size and mode, without loss but for JPEG."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(image).resize((side, side), Image.Resampling.NEAREST)
    if mode == "I;16":
        Image.fromarray(np.asarray(picture).astype(np.uint16) * 257).save(path)
    else:
        picture.convert("RGB").convert(mode).save(path)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    """A comma-separated table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@cache
def all_digits() -> tuple["np.ndarray", "np.ndarray"]:
    """Images (1797, 8, 8) uint8 and labels of scikit-learn's handwritten digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target


def prepared_set(
    folder: Path,
    images: "np.ndarray",
    labels: "np.ndarray",
    *,
    names: Sequence[str] = tuple("0123456789"),
    head: Head | None = None,
) -> tuple[Prepared, dict[str, Split]]:
    """Prepared arrays of the given images, and their splits: the last 500 are the test images."""
    bounds = {"train": slice(0, -600), "validation": slice(-600, -500), "test": slice(-500, None)}
    splits = {name: Split(images=images[part], labels=labels[part]) for name, part in bounds.items()}
    data = DataSet(source="npz", place="", class_names=names, train=splits["train"], test=None)
    return write_prepared(folder, data, splits, head), splits


def kept_fingerprint(folder: Path, images: "np.ndarray", labels: "np.ndarray", **kwargs: Any) -> Fingerprint:
    """What is kept in a folder of such a prepared set."""
    return keep_fingerprint(folder / "kept", *prepared_set(folder / "prepared", images, labels, **kwargs))


def digit_arrays() -> tuple["np.ndarray", "np.ndarray"]:
    """All digits as a prepared set has them: images (n, 8, 8, 1), labels (n,) int64."""
    images, labels = all_digits()
    return images[..., np.newaxis], labels.astype(np.int64)

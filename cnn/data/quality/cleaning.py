"""From a data set to splits without bad pictures, and the list of what is bad."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
import rich

from cnn.config.preparing import PrepareParams
from cnn.data.arrays import DataSet, Split
from cnn.data.findings import Finding, Reason, counts
from cnn.data.prepared.splits import SPLITS, make_splits
from cnn.data.quality.checks import class_counts
from cnn.data.quality.twins import Twin, twins
from cnn.durable import write_text
from cnn.errors import DataError

BAD_FILE = "bad_files.csv"
_N_EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cleaned:
    """Splits to train on.

    Args:
        data: The data set, perhaps with fewer classes.
        left_out: What is in none of the splits; empty for sources that are no pictures of the user's own.
    """

    data: DataSet
    splits: Mapping[str, Split]
    left_out: tuple[Finding, ...]


def cleaned(data: DataSet, params: PrepareParams, folder: Path) -> Cleaned:
    """Split the images and leave out what cannot be used, having listed it in `folder`.

    Besides the files that cannot be read these are classes that are too small to be split, and images of training that
    stand in validation or test as well, or of validation that stand in test: a test set loses nothing.

    Raises:
        DataError: There is something bad and `on_bad` is `fail`; or nothing would be left to train on.
        StorageError: The list can't be written.
    """
    if data.train.names is None:
        return Cleaned(data=data, splits=make_splits(data, params), left_out=())
    findings = list(data.findings)
    if len(data.train):
        data, small = without_small_classes(data)
        findings += small
    try:
        splits: Mapping[str, Split] = make_splits(data, params) if len(data.train) else {}
    except DataError:
        _refuse_or_list(findings, params, folder)
        raise
    found = twins(splits, params.near_duplicates) if splits else []
    findings += [_finding(twin, splits) for twin in found]
    _refuse_or_list(findings, params, folder)
    if not splits:
        change = "see bad_files.csv beside the prepared data"
        raise DataError(data.place, received="no picture to train on", expected="some", change=change)
    for name in SPLITS:
        dropped = [twin.position for twin in found if twin.split == name]
        splits = {**splits, name: splits[name].part(np.setdiff1d(np.arange(len(splits[name])), dropped))}
    return Cleaned(data=data, splits=splits, left_out=tuple(findings))


def without_small_classes(data: DataSet) -> tuple[DataSet, list[Finding]]:
    """The data set without classes that cannot be in every split, and which these are.

    A split of the source's own must show each class once; training images must be enough for the splits made of them.
    """
    needed = 1 + (data.validation is None) + (data.test is None)
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    findings: list[Finding] = []
    small: set[int] = set()
    for name, split in given.items():
        least = needed if name == "train" else 1
        n_images = class_counts(split.labels, len(data.class_names)) if split is not None else ()
        for label, n in enumerate(n_images):
            if n < least and label not in small:
                small.add(label)
                detail = f"{n} images in {name}, {least} or more are needed"
                class_name = data.class_names[label]
                findings.append(Finding(path=class_name, split=name, reason=Reason.FEW_IMAGES, detail=detail))
    if not small:
        return data, []
    kept = np.array([label for label in range(len(data.class_names)) if label not in small], dtype=np.int64)
    parts = {name: None if split is None else _of_classes(split, kept) for name, split in given.items()}
    names = tuple(data.class_names[label] for label in kept)
    train = parts["train"] or data.train
    return replace(data, class_names=names, train=train, validation=parts["validation"], test=parts["test"]), findings


def write_bad_files(path: Path, findings: Sequence[Finding]) -> None:
    """A table of path, split, reason and detail; an older one goes when there is nothing bad.

    Raises:
        StorageError: It can't be written.
    """
    if not findings:
        path.unlink(missing_ok=True)
        return
    text = StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "split", "reason", "detail"])
    for finding in findings:
        words = (finding.path, finding.split, finding.reason.value, finding.detail)
        table.writerow([word.encode(errors="backslashreplace").decode() for word in words])
    write_text(path, text.getvalue())


def _of_classes(split: Split, kept: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Split:
    """Images of these classes alone, which are numbered anew; with several labels an image, all images."""
    if split.labels.ndim == 2:
        return replace(split, labels=split.labels[:, kept])
    part = split.part(np.flatnonzero(np.isin(split.labels, kept)))
    return replace(part, labels=np.searchsorted(kept, part.labels))


def _finding(twin: Twin, splits: Mapping[str, Split]) -> Finding:
    path, like = (
        str(names[position])
        for names, position in (
            (splits[twin.split].names, twin.position),
            (splits[twin.other].names, twin.other_position),
        )
        if names is not None
    )
    reason = Reason.SAME_IMAGE if twin.exact else Reason.NEAR_DUPLICATE
    detail = f"{like} in {twin.other}" + ("" if twin.exact else f", difference {twin.difference}")
    return Finding(path=path, split=twin.split, reason=reason, detail=detail)


def _refuse_or_list(findings: Sequence[Finding], params: PrepareParams, folder: Path) -> None:
    path = folder / BAD_FILE
    write_bad_files(path, findings)
    if not findings:
        return
    if params.on_bad == "skip":
        files = "file" if len(findings) == 1 else "files"
        line = f"left out: {len(findings)} bad {files}, listed with their reasons in {path}"
        rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)
        return
    numbers = ", ".join(f"{n} {reason}" for reason, n in counts(findings).items())
    examples = "; ".join(f"{finding.path} ({finding.reason})" for finding in findings[:_N_EXAMPLES])
    raise DataError(
        params.path,
        received=f"{len(findings)} bad: {numbers}; as {examples}",
        expected="pictures that can all be used",
        change=_cure(findings, path),
    )


def _cure(findings: Sequence[Finding], path: Path) -> str:
    """What to do: pictures of other sizes are brought to one, not left out."""
    of_other_size = [finding.reason is Reason.OTHER_SIZE for finding in findings]
    if not any(of_other_size):
        return f"mend what {path} lists, or set prepare.on_bad to skip"
    cure = "set prepare.images.size to [height, width], to which all pictures are then brought"
    return cure if all(of_other_size) else f"{cure}; then mend the others that {path} lists"

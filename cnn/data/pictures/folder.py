"""Pictures in folders: `train/CLASS/...`, perhaps with `validation/` and `test/` beside it, or `CLASS/...` alone."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cnn.config.preparing import PrepareParams
from cnn.data.findings import Finding, Reason
from cnn.data.pictures.listing import SPLIT_WORDS, Listing, in_order
from cnn.errors import DataError

_LEFT_BY_SYSTEMS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What macOS and Windows put into folders that were looked at."""
_FILES = {".csv": "csv", ".tsv": "csv", ".npz": "npz"}
"""The source that a file's ending tells of."""


def folder_listing(folder: Path, params: PrepareParams) -> Listing:
    """All files of the folder, by the name of the class folder they are in; deeper folders belong to that class.

    Files that macOS and Windows leave in folders (`.DS_Store`, `Thumbs.db`, `desktop.ini`) are passed over.

    The classes are those of the training images, unless `prepare.classes` names them.

    Raises:
        DataError: No such folder, no class folder in it, or validation and test images without training images.
    """
    expected, change = "a folder of class folders", "edit prepare.path"
    if not folder.is_dir():
        received, source = "a file" if folder.exists() else "no such folder", _FILES.get(folder.suffix.lower())
        change = f"set prepare.source to {source}, or {change}" if source else change
        raise DataError(folder, received=received, expected=expected, change=change)
    words = _split_folders(folder)
    inner = [
        place for name in words or [""] for place in _folders(folder / name) if words.get(name, "train") == "train"
    ]
    class_names = params.classes or in_order(place.name for place in inner)
    if not class_names:
        raise DataError(folder, received="no folder of a class", expected=expected, change=change)
    for name in class_names:
        if not name.isprintable():
            raise DataError(folder, received=f"the class {name!r}", expected="printable names", change="rename it")
    findings: list[Finding] = []
    rows = []
    for name in sorted(_files(folder, "", frozenset(), findings)):
        parts = name.split("/")
        split = words.get(parts[0], "")
        in_class = parts[1:] if split else [] if words else parts
        if len(in_class) < 2:
            detail = (
                "expected train, validation or test" if words and not split else "expected in a folder of its class"
            )
            findings.append(Finding(path=name, split=split, reason=Reason.STRAY, detail=detail))
        elif in_class[0] not in class_names:
            detail = f"{in_class[0]} is no class of train or of prepare.classes"
            findings.append(Finding(path=name, split=split, reason=Reason.UNKNOWN_LABEL, detail=detail))
        else:
            rows.append((name, class_names.index(in_class[0]), split))
    return Listing(
        source="folder",
        place=folder,
        root=folder,
        class_names=class_names,
        names=np.array([name for name, _, _ in rows], dtype=object),
        labels=np.array([label for _, label, _ in rows], dtype=np.int64),
        splits=np.array([split for _, _, split in rows], dtype=object),
        findings=tuple(findings),
    )


def _split_folders(folder: Path) -> dict[str, str]:
    """The split of each folder that bears the name of one; none when there are no splits."""
    names = [place.name for place in _folders(folder)]
    words = {name: SPLIT_WORDS[name.lower()] for name in names if name.lower() in SPLIT_WORDS}
    if words and "train" not in words.values():
        received = f"{' and '.join(sorted(words))} without train"
        raise DataError(folder, received=received, expected="a folder train beside it", change="add or rename it")
    return words


def _folders(folder: Path) -> list[Path]:
    return [place for place in folder.iterdir() if place.is_dir()]


def _files(root: Path, inner: str, above: frozenset[str], findings: list[Finding]) -> Iterator[str]:
    """Names below `root` of all that is no folder. Links are followed, but not round in circles."""
    place = root / inner
    real = os.path.realpath(place)
    if real in above:
        detail = f"it leads back to {real}"
        findings.append(Finding(path=inner, split="", reason=Reason.LINK_LOOP, detail=detail))
        return
    try:
        with os.scandir(place) as entries:
            inside = [(entry.name, Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()) for entry in entries]
    except OSError as error:
        detail = error.strerror or type(error).__name__
        findings.append(Finding(path=inner, split="", reason=Reason.NO_PERMISSION, detail=detail))
        return
    for name, is_folder in inside:
        deeper = f"{inner}/{name}" if inner else name
        if is_folder:
            yield from _files(root, deeper, above | {real}, findings)
        elif name not in _LEFT_BY_SYSTEMS:
            yield deeper

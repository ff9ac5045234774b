"""Pictures in a table: one row a picture, with columns for its path, its label or labels and, perhaps, its split."""

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn.config.preparing import CsvParams, PrepareParams
from cnn.data.arrays import Labels
from cnn.data.findings import Finding, Reason
from cnn.data.pictures.listing import SPLIT_WORDS, Listing, in_order
from cnn.errors import DataError
from cnn.records import Task

_EXPECTED = "a table whose first line names its columns"
_BITS = {"0": False, "1": True}
_Row = dict[str, str]


class _BadRowError(Exception):
    """Why a row cannot be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A row that can be read: its words are not yet compared with the classes."""

    name: str
    words: tuple[str, ...]
    split: str
    line: int


def csv_listing(file: Path, params: PrepareParams) -> Listing:
    """The manifest's pictures in the order of their paths, whatever the order of its rows.

    The separator of its columns is the comma, semicolon or tab, whichever its first line has most of. The classes are
    those of the training images, unless `prepare.classes` names them.

    Raises:
        DataError: No such file, no table, a missing column, no row to train on.
    """
    columns, delimiter = _header(file)
    read = _label_reader(columns, params, file)
    findings: list[Finding] = []
    entries: dict[str, _Entry] = {}
    for line, row in _rows(file, delimiter):
        split, name = "", row.get(params.csv.path) or ""
        try:
            split = _split(row, params.csv)
            if not name.strip():
                raise _BadRowError(Reason.MISSING, "no path")
            name = os.path.normpath(name.strip())
            if name in entries:
                raise _BadRowError(Reason.LISTED_TWICE, f"first in line {entries[name].line}")
            entries[name] = _Entry(name=name, words=read(row), split=split, line=line)
        except _BadRowError as bad:
            detail = f"line {line}: {bad.detail}"
            findings.append(Finding(path=name, split=split, reason=bad.reason, detail=detail))
    class_names = params.classes or _columns_of_labels(columns, params) or _seen(entries.values())
    if not class_names:
        change = "edit the manifest, or prepare.csv to name its columns"
        raise DataError(file, received="no row to train on", expected="rows with path and label", change=change)
    known, unknown = _compared(sorted(entries.values(), key=lambda entry: entry.name), class_names)
    multilabel = params.task is Task.MULTILABEL
    return Listing(
        source="csv",
        place=file,
        root=file.parent,
        class_names=class_names,
        names=np.array([entry.name for entry in known], dtype=object),
        labels=_labels(known, class_names, multilabel=multilabel),
        splits=np.array([entry.split for entry in known], dtype=object),
        findings=(*findings, *unknown),
    )


def _header(file: Path) -> tuple[list[str], str]:
    """The columns' names and what stands between them."""
    with _readable(file), file.open(newline="", encoding="utf-8-sig") as lines:
        first = lines.readline()
        lines.seek(0)
        delimiter = max(",;\t", key=first.count)
        columns = next(csv.reader(lines, delimiter=delimiter), [])
    if not columns:
        change = "write the table, or edit prepare.path"
        raise DataError(file, received="a file with an empty first line", expected=_EXPECTED, change=change)
    if len(set(columns)) != len(columns):
        raise DataError(file, received="two columns of one name", expected=_EXPECTED, change="rename one of them")
    return columns, delimiter


def _rows(file: Path, delimiter: str) -> Iterator[tuple[int, _Row]]:
    """Each row with the number of its line."""
    with _readable(file), file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, delimiter=delimiter, restkey="", restval="")
        for row in reader:
            yield reader.line_num, row


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except IsADirectoryError as error:
        change = "name the file, or set prepare.source to folder"
        raise DataError(file, received="a folder", expected=_EXPECTED, change=change) from error
    except OSError as error:
        raise DataError(file, received=error.strerror, expected=_EXPECTED, change="edit prepare.path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        received = f"no text table ({error})"
        raise DataError(file, received=received, expected=_EXPECTED, change="save it as UTF-8") from error


def _columns_of_labels(columns: Sequence[str], params: PrepareParams) -> tuple[str, ...]:
    """The columns of 0 and 1 in the order of the classes; none when the labels stand in one column."""
    if params.task is not Task.MULTILABEL or (params.csv.labels is None and params.csv.label in columns):
        return ()
    others = {params.csv.path, params.csv.split}
    return params.classes or params.csv.labels or tuple(name for name in columns if name not in others)


def _label_reader(columns: Sequence[str], params: PrepareParams, file: Path) -> Callable[[_Row], tuple[str, ...]]:
    """What takes a row's labels in words from it."""
    several = _columns_of_labels(columns, params)
    # without a column of the default name the table has no splits; one that was named must be there
    named = [] if params.csv.split == CsvParams().split else [params.csv.split]
    for name in (params.csv.path, *(several or [params.csv.label]), *named):
        if name not in columns:
            received, expected = f"the columns {', '.join(columns)}", f"one named {name}"
            raise DataError(file, received=received, expected=expected, change="rename it, or edit prepare.csv")
    separator = params.csv.separator

    def one(row: _Row) -> tuple[str, ...]:
        word = row[params.csv.label].strip()
        if not word:
            raise _BadRowError(Reason.BAD_LABEL, "no label")
        return (word,)

    def separated(row: _Row) -> tuple[str, ...]:
        return tuple(word.strip() for word in row[params.csv.label].split(separator) if word.strip())

    def flags(row: _Row) -> tuple[str, ...]:
        for name in several:
            if row[name].strip() not in _BITS:
                raise _BadRowError(Reason.BAD_LABEL, f"column {name} has {row[name]!r}, expected 0 or 1")
        return tuple(name for name in several if _BITS[row[name].strip()])

    if several:
        return flags
    return separated if params.task is Task.MULTILABEL else one


def _split(row: _Row, csv_params: CsvParams) -> str:
    if csv_params.split not in row:
        return ""
    word = row[csv_params.split].strip()
    if word.lower() not in SPLIT_WORDS:
        raise _BadRowError(Reason.UNKNOWN_SPLIT, f"{word!r}, expected train, validation or test")
    return SPLIT_WORDS[word.lower()]


def _seen(entries: Iterable[_Entry]) -> tuple[str, ...]:
    """The labels of the training images."""
    return in_order(word for entry in entries if entry.split in ("", "train") for word in entry.words)


def _compared(entries: Sequence[_Entry], class_names: Sequence[str]) -> tuple[list[_Entry], list[Finding]]:
    """The entries all of whose labels are classes, and what is to be said of the others."""
    classes, known, unknown = frozenset(class_names), [], []
    for entry in entries:
        strange = [word for word in entry.words if word not in classes]
        if strange:
            detail = f"line {entry.line}: {strange[0]} is no class of train or of prepare.classes"
            reason = Reason.UNKNOWN_LABEL
            unknown.append(Finding(path=entry.name, split=entry.split, reason=reason, detail=detail))
        else:
            known.append(entry)
    return known, unknown


def _labels(entries: Sequence[_Entry], class_names: Sequence[str], *, multilabel: bool) -> Labels:
    numbers = {name: number for number, name in enumerate(class_names)}
    if not multilabel:
        return np.array([numbers[entry.words[0]] for entry in entries], dtype=np.int64)
    labels = np.zeros((len(entries), len(class_names)), dtype=np.uint8)
    for row, entry in enumerate(entries):
        labels[row, [numbers[word] for word in entry.words]] = 1
    return labels

"""Labels and probabilities of pictures, batch by batch: memory is bounded, however many there are."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnn.config.preparing import ImagesParams
from cnn.data.pictures.picture import BadPictureError, read_picture
from cnn.errors import DataError
from cnn.records import Task
from cnn.training.answers import predictions

if TYPE_CHECKING:
    from cnn.commands.chosen_model import ChosenModel

_BATCH = 64
_THREADS = 4  # each may hold one decoded picture of the largest size
_WIDEST = 30

NOTHING = "(none)"
"""With several labels an image: that none of them is seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is said of one file: its probabilities (k,), or why there are none."""

    path: Path
    probs: Any = None
    error: str = ""


def predict(paths: Sequence[Path], chosen: "ChosenModel", *, as_json: bool = False) -> int:
    """Print a line a picture: a table, or with `as_json` JSON objects. Files that are no pictures are named, not passed
    over: on the error output, or as a JSON object with `error`.

    Args:
        paths: Files, and folders whose every file is taken, hidden ones apart.

    Returns:
        The exit code: 0 when all files were predicted, 1 when some were not.

    Raises:
        DataError: A path does not exist, there is no file in any, or none could be predicted.
    """
    n_files = sum(1 for _ in _files(paths))
    if not n_files:
        raise DataError(listed(paths), received="no files", expected="pictures", change="name files or folders of them")
    n_bad, say = 0, _line_of_json if as_json else _line_of_table
    if not as_json:
        print(f"{'label':<{_width(chosen.head.class_names)}}  probability  file")
    with _progress(n_files) as progress:
        task = progress.add_task("predicting", total=n_files)
        for answer in answers(_files(paths), chosen):
            n_bad += bool(answer.error)
            say(answer, chosen)
            progress.advance(task)
    if n_bad == n_files:
        received = f"{n_bad:,} {'file' if n_bad == 1 else 'files'}, none readable"
        raise DataError(listed(paths), received=received, expected="at least one picture", change="name other files")
    if n_bad:
        print(f"cnn: {n_bad:,} of {n_files:,} files could not be predicted", file=sys.stderr)
    return int(n_bad > 0)


def answers(files: Iterable[Path], chosen: "ChosenModel") -> Iterator[Answer]:
    """An answer a file, in their order."""
    read = partial(_read, form=chosen.images)
    remaining = iter(files)
    with ThreadPoolExecutor(_THREADS) as readers:
        while batch := list(islice(remaining, _BATCH)):
            yield from _answered(batch, list(readers.map(read, batch)), chosen.model.predict_on_batch)


def said(answer: Answer, chosen: "ChosenModel") -> list[int]:
    """The classes an answer names: one, or with several labels an image any number, the surest first."""
    task, probs = chosen.head.task, answer.probs
    held = predictions(probs[None], task, chosen.thresholds)[0]
    return sorted(held.nonzero()[0].tolist(), key=lambda index: -probs[index]) if held.ndim else [int(held)]


def listed(paths: Sequence[Path]) -> str:
    """The first few paths, for a line of text."""
    names = [printable(str(path)) for path in paths[:3]]
    return ", ".join(names) + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")


def printable(text: str) -> str:
    r"""Text without anything that could move a terminal's cursor or end a line.

    Example:
        >>> printable("a" + chr(10) + "b")
        'a\\nb'
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _answered(batch: Sequence[Path], pictures: Sequence[Any], model: Callable[[Any], Any]) -> Iterator[Answer]:
    import numpy as np

    readable = [picture for picture in pictures if not isinstance(picture, str)]
    probs = iter(np.asarray(model(np.stack(readable)), dtype=float) if readable else ())
    for path, picture in zip(batch, pictures, strict=True):
        if isinstance(picture, str):
            yield Answer(path=path, error=picture)
        else:
            yield Answer(path=path, probs=next(probs))


def _read(path: Path, form: ImagesParams) -> Any:
    """The picture (h, w, c), or why there is none."""
    try:
        return read_picture(path, form)
    except BadPictureError as error:
        return f"{error.reason} ({error.detail})"


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, those of folders in order of their names, folders within folders included."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _line_of_table(answer: Answer, chosen: "ChosenModel") -> None:
    if answer.error:
        print(f"cnn: {printable(str(answer.path))}: {printable(answer.error)}", file=sys.stderr)
        return
    names, file = chosen.head.class_names, printable(str(answer.path))
    held = said(answer, chosen)
    labels = ", ".join(printable(names[index]) for index in held) or NOTHING
    probs = ", ".join(f"{answer.probs[index]:.4f}" for index in held)
    print(f"{labels:<{_width(names)}}  {probs:<11}  {file}")


def _line_of_json(answer: Answer, chosen: "ChosenModel") -> None:
    if answer.error:
        print(json.dumps({"file": str(answer.path), "error": answer.error}))
        return
    names = chosen.head.class_names
    probs = {name: round(float(prob), 6) for name, prob in zip(names, answer.probs, strict=True)}
    labels = [names[index] for index in said(answer, chosen)]
    if chosen.head.task is Task.MULTILABEL:
        found: dict[str, Any] = {"labels": labels}
    else:
        found = {"label": labels[0], "probability": probs[labels[0]]}
    if chosen.head.task is Task.HIERARCHICAL:
        found["path"] = list(chosen.head.paths[names.index(labels[0])])
    print(json.dumps({"file": str(answer.path), **found, "probabilities": probs}))


def _width(class_names: Sequence[str]) -> int:
    return min(_WIDEST, max(len(NOTHING), *(len(printable(name)) for name in class_names)))


def _progress(n_files: int) -> Progress:
    """On the error output, where it is a terminal and there is something to wait for."""
    screen = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = n_files <= _BATCH or not screen.is_terminal
    # what goes into a pipe or a file must not go to the screen
    piped = not sys.stdout.isatty()
    return Progress(*columns, console=screen, transient=True, disable=hidden, redirect_stdout=not piped)

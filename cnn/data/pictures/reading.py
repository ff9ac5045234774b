"""Listed pictures to a data set: in parallel, with a progress bar, in bounded memory, going on after a kill."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
import rich
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cnn.config.preparing import ImagesParams, PrepareParams
from cnn.data.arrays import DataSet, Images, Indices, Split
from cnn.data.findings import Finding, Reason
from cnn.data.pictures.listing import Listing
from cnn.data.pictures.picture import BadPictureError, read_picture
from cnn.data.pictures.rows import ImageRows, OpenFile
from cnn.data.pictures.scratch import (
    IMAGES,
    Bad,
    Chunk,
    chunks_of,
    drop_other_plans,
    finished,
    lock_of,
    plan,
    read_chunk,
)
from cnn.durable import exclusive, storage_errors
from cnn.errors import DataError
from cnn.runtime import cpu_count_available

FOLDER = "pictures"
_ALONE_S = 4.0
"""What one process reads in so many seconds isn't worth the start of others."""
_N_TRIED = 8
_SAID_EVERY = 0.1


def read_pictures(listing: Listing, params: PrepareParams, cache: Path) -> DataSet:
    """All pictures of a listing; those that cannot be used are in none of the splits but among the findings.

    The images stay in `cache` until `drop_pictures`, and are read from there a slice at a time.

    Raises:
        DataError: No picture can be used, or one kills the process that reads it.
        StorageError: The cache can't be written.
        ServiceError: Another process reads the same pictures.
    """
    form = params.images
    image_shape = _image_shape(listing, form)
    folder = cache / FOLDER / plan(listing, form)
    with exclusive(lock_of(folder), what="the reading of these pictures"):
        with storage_errors(folder):
            folder.mkdir(exist_ok=True)
            (folder / IMAGES).touch()
        drop_other_plans(folder)
        bad = _read(chunks_of(listing, image_shape, folder), form)
        file = OpenFile(folder / IMAGES)
    findings = [
        Finding(path=str(listing.names[row]), split=str(listing.splits[row]), reason=Reason(reason), detail=detail)
        for row, reason, detail in sorted(bad)
    ]
    good = np.setdiff1d(np.arange(len(listing.names)), [row for row, _, _ in bad]).astype(np.int64)
    by_split = {name: good[listing.splits[good] == name] for name in ("train", "validation", "test")}
    if not any(listing.splits):
        by_split["train"] = good

    def split_of(rows: Indices) -> Split:
        images = cast("Images", ImageRows(file, image_shape, rows))
        return Split(images=images, labels=listing.labels[rows], names=listing.names[rows])

    return DataSet(
        source=listing.source,
        place=str(listing.place),
        class_names=listing.class_names,
        train=split_of(by_split["train"]),
        validation=split_of(by_split["validation"]) if "validation" in listing.splits else None,
        test=split_of(by_split["test"]) if "test" in listing.splits else None,
        findings=(*listing.findings, *findings),
    )


def drop_pictures(cache: Path) -> None:
    """Remove what was decoded, once it is prepared."""
    if (cache / FOLDER).is_dir():
        drop_other_plans(cache / FOLDER / "none")


def _image_shape(listing: Listing, form: ImagesParams) -> tuple[int, int, int]:
    """As `form` says, else that of the first picture that can be read."""
    if form.size is not None:
        return *form.size, form.channels
    for row in range(len(listing.names)):
        try:
            height, width, channels = read_picture(listing.path(row), form).shape
        except BadPictureError:
            continue
        return height, width, channels
    return 1, 1, form.channels


def _read(chunks: list[Chunk], form: ImagesParams) -> list[Bad]:
    """Bad pictures of all chunks, those of an earlier run included."""
    earlier = {chunk.number: bad for chunk in chunks if (bad := finished(chunk)) is not None}
    left = [chunk for chunk in chunks if chunk.number not in earlier]
    n_images = sum(len(chunk.names) for chunk in chunks)
    n_left = sum(len(chunk.names) for chunk in left)
    if earlier:
        _say(f"going on: {n_images - n_left:,} of {n_images:,} pictures were read before")
    bad = [line for lines in earlier.values() for line in lines]
    with _progress(n_images, n_images - n_left) as advance:
        alone = not left or n_left * _seconds(left[0], form) < _ALONE_S
        done = _alone(left, form) if alone else _in_parallel(left, form)
        for chunk, lines in done:
            bad += lines
            advance(len(chunk.names))
    return bad


def _seconds(chunk: Chunk, form: ImagesParams) -> float:
    """What a picture costs of processor time, to judge by the first ones."""
    _try_to_read(chunk, 0, form)  # which pays for Pillow's own start
    began, n = time.process_time(), min(_N_TRIED, len(chunk.names))
    for place in range(n):
        _try_to_read(chunk, place, form)
    return (time.process_time() - began) / n


def _try_to_read(chunk: Chunk, place: int, form: ImagesParams) -> None:
    with suppress(BadPictureError):
        read_picture(chunk.root / chunk.names[place], form)


def _alone(chunks: Iterable[Chunk], form: ImagesParams) -> Iterator[tuple[Chunk, list[Bad]]]:
    return ((chunk, read_chunk(chunk, form)) for chunk in chunks)


def _in_parallel(chunks: list[Chunk], form: ImagesParams) -> Iterator[tuple[Chunk, list[Bad]]]:
    """A few chunks more than there are processes are under way at a time."""
    n_workers = cpu_count_available()
    context = multiprocessing.get_context("spawn")
    read = partial(read_chunk, form=form)
    waiting, under_way = iter(chunks), dict[Future[list[Bad]], Chunk]()
    with ProcessPoolExecutor(n_workers, mp_context=context, initializer=_die_with_parent) as pool:
        while True:
            for chunk in islice(waiting, 2 * n_workers - len(under_way)):
                under_way[pool.submit(read, chunk)] = chunk
            if not under_way:
                return
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                chunk = under_way.pop(future)
                try:
                    yield chunk, future.result()
                except BrokenProcessPool as error:
                    received = f"a process that died over pictures {chunk.names[0]} to {chunk.names[-1]}"
                    change = "free memory, lower prepare.images.max_pixels, or move these pictures away"
                    raise DataError("pictures", received=received, expected="all read", change=change) from error


def _die_with_parent() -> None:
    """A killed preparation leaves no process behind."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[int], None]]:
    """What is to be called with a number of further pictures; without a terminal a line for each tenth."""
    console = rich.get_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading pictures", total=total, completed=done)
        said = done

        def advance(n: int) -> None:
            nonlocal done, said
            done += n
            progress.update(task, completed=done)
            if not console.is_terminal and (done == total or done - said >= _SAID_EVERY * total):
                _say(f"read {done:,} of {total:,} pictures")
                said = done

        yield advance


def _say(line: str) -> None:
    rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)

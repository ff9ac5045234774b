"""Pictures on their way to prepared arrays: decoded into one file, chunk by chunk, so that a kill costs one chunk.

    CNN_HOME/cache/pictures/PLAN/
    ├── images.u8         row i is picture i of the listing, zeros where it is bad
    ├── chunk-00000.json  sealed: the digest of the chunk's rows, and its bad pictures
    └── ...

PLAN is a digest of what is to be read and how, each file's size and times included: another plan is another folder.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnn.config.preparing import ImagesParams
from cnn.config.reading import digest
from cnn.data.arrays import Images
from cnn.data.findings import Reason
from cnn.data.pictures.listing import Listing
from cnn.data.pictures.picture import BadPictureError, read_picture
from cnn.durable import exclusive, read_sealed, storage_errors, write_sealed
from cnn.errors import IntegrityError, ServiceError

IMAGES = "images.u8"
CHUNK_BYTES, CHUNK_ROWS = 1 << 24, 256
Bad = tuple[int, str, str]
"""Row, reason, detail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some neighbouring pictures: all that a process needs to read them.

    Args:
        names: Of rows `start` and following, below `root` or absolute.
        image_shape: Height, width, channels of every picture.
    """

    number: int
    start: int
    names: Sequence[str]
    root: Path
    image_shape: tuple[int, int, int]
    folder: Path

    @property
    def images_file(self) -> Path:
        return self.folder / IMAGES

    @property
    def record(self) -> Path:
        return self.folder / f"chunk-{self.number:05}.json"


def chunks_of(listing: Listing, image_shape: tuple[int, int, int], folder: Path) -> list[Chunk]:
    """The listing in pieces of a few megabytes each, whatever the size of an image."""
    step = max(1, min(CHUNK_ROWS, CHUNK_BYTES // int(np.prod(image_shape))))
    starts = range(0, len(listing.names), step)
    return [
        Chunk(
            number=number,
            start=start,
            names=listing.names[start : start + step].tolist(),
            root=listing.root,
            image_shape=image_shape,
            folder=folder,
        )
        for number, start in enumerate(starts)
    ]


def read_chunk(chunk: Chunk, form: ImagesParams) -> list[Bad]:
    """Decode a chunk's pictures into the scratch file and write its record.

    Raises:
        StorageError: The disk is full or the folder can't be written.
    """
    images = np.zeros((len(chunk.names), *chunk.image_shape), np.uint8)
    bad: list[Bad] = []
    for place, name in enumerate(chunk.names):
        try:
            images[place] = _of_shape(read_picture(chunk.root / name, form), chunk.image_shape)
        except BadPictureError as error:
            detail = error.detail.encode(errors="backslashreplace").decode()
            bad.append((chunk.start + place, error.reason.value, detail))
    with storage_errors(chunk.images_file):
        handle = os.open(chunk.images_file, os.O_WRONLY | os.O_CREAT, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.seek(chunk.start * int(np.prod(chunk.image_shape)))
            file.write(images.data)
    sha256 = hashlib.sha256(images.data).hexdigest()
    write_sealed(chunk.record, {"start": chunk.start, "pixels": sha256, "bad": [list(line) for line in bad]})
    return bad


def finished(chunk: Chunk) -> list[Bad] | None:
    """What an earlier run found bad in the chunk; None when it did not get so far or its rows are damaged."""
    if not chunk.record.exists():
        return None
    try:
        record = read_sealed(chunk.record)
    except IntegrityError:
        return None
    n_bytes = int(np.prod(chunk.image_shape))
    with chunk.images_file.open("rb") as file:
        file.seek(chunk.start * n_bytes)
        pixels = hashlib.sha256(file.read(len(chunk.names) * n_bytes)).hexdigest()
    if pixels != record["pixels"]:
        return None
    return [(row, reason, detail) for row, reason, detail in record["bad"]]


def plan(listing: Listing, form: ImagesParams) -> str:
    """Digest of the files to be read, with their sizes and times, and of what becomes of them."""
    files = hashlib.sha256()
    root = f"{listing.root}/"
    for name in listing.names:
        try:
            status = os.stat(name if name.startswith("/") else root + name)  # noqa: PTH116 - a million of them
            state = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        except (OSError, ValueError):
            state = "none"
        files.update(f"{name}\0{state}\n".encode(errors="surrogateescape"))
    return digest(str(listing.root.absolute()), form, files.hexdigest())[:16]


def drop_other_plans(folder: Path) -> None:
    """Remove what other plans have left beside `folder`, but for those that are being read now."""
    for other in folder.parent.iterdir():
        if other.is_dir() and other != folder:
            with suppress(ServiceError), exclusive(lock_of(other), what="the removal of old pictures", patience_s=0.0):
                shutil.rmtree(other, ignore_errors=True)
                lock_of(other).unlink(missing_ok=True)


def lock_of(folder: Path) -> Path:
    """The lock of a plan's folder, beside it."""
    return folder.with_name(f"{folder.name}.lock")


def _of_shape(image: Images, shape: tuple[int, int, int]) -> Images:
    if image.shape != shape:
        received, expected = (f"{height} x {width}" for height, width, _ in (image.shape, shape))
        detail = f"{received}, the first picture has {expected}: set prepare.images.size"
        raise BadPictureError(Reason.OTHER_SIZE, detail)
    return image

"""Downloaded sets, decoded, kept between runs: one file each, whose SHA-256 is the set's content hash."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rich

from cnn.data.arrays import content_hash
from cnn.data.sources.layouts import Arrays
from cnn.durable import read_sealed, storage_errors, write_atomic, write_sealed
from cnn.errors import IntegrityError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCache:
    """The arrays of one set as `NAME.arrays`, their bytes one after the other; where they came from as `NAME.json`."""

    folder: Path
    name: str
    sha256: str
    image_shape: tuple[int, int, int]
    n_train: int
    n_test: int

    def write(self, arrays: Arrays, place: str) -> None:
        """Keep the arrays.

        Raises:
            StorageError: The folder can't be written.
        """
        write_sealed(self._origin, {"source": self.name, "place": place, "content_hash": self.sha256})
        write_atomic(self._arrays, lambda file: [file.write(np.ascontiguousarray(array).data) for array in arrays])

    def read(self) -> tuple[Arrays, str] | None:
        """The arrays and the place they came from; None when there are none, or (which is said) damaged ones."""
        if not self._arrays.is_file():
            return None
        content = np.fromfile(self._arrays, dtype=np.uint8)
        if content_hash(content) != self.sha256:
            line = f"{self._arrays} is damaged: fetching {self.name} again"
            rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)
            return None
        n_pixels = int(np.prod(self.image_shape))
        sizes = (self.n_train * n_pixels, self.n_train, self.n_test * n_pixels)
        train, train_labels, test, test_labels = np.split(content, np.cumsum(sizes))
        images, test_images = (part.reshape(-1, *self.image_shape) for part in (train, test))
        return (images, train_labels, test_images, test_labels), self._place()

    def _place(self) -> str:
        try:
            return str(read_sealed(self._origin)["place"])
        except (IntegrityError, KeyError):
            return "the download cache"

    @property
    def _arrays(self) -> Path:
        return self.folder / f"{self.name}.arrays"

    @property
    def _origin(self) -> Path:
        return self.folder / f"{self.name}.json"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with its holder, however that ends.

    Raises:
        StorageError: The folder can't be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

"""Images of a file too large for memory: a view that reads rows only when they are asked for."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.data.arrays import Images, Indices
from cnn.errors import IntegrityError


class OpenFile:
    """A file open for reading for as long as somebody holds this: it can be read even after its removal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)


class ImageRows:
    """Rows of a file of raw uint8 images, in any order; as much of an array as preparing images needs.

    A slice or a number gives an array, read now. Positions give another view, so that splits of splits cost nothing.
    Nothing is mapped: what is read is all that is held.

    Args:
        file: The images' bytes, one image after the other.
        image_shape: Height, width, channels.
        rows: (n,) which images of the file.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, file: OpenFile, image_shape: tuple[int, int, int], rows: Indices) -> None:
        self._file, self._image_shape, self._rows = file, image_shape, rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return len(self._rows), *self._image_shape

    def __getitem__(self, key: Any) -> "ImageRows | Images":
        if isinstance(key, slice):
            return self._read(self._rows[key])
        if isinstance(key, np.ndarray):
            return ImageRows(self._file, self._image_shape, self._rows[key])
        image: Images = self._read(self._rows[[key]])[0]
        return image

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return self._read(self._rows).astype(dtype or np.uint8, copy=False)

    def _read(self, rows: Indices) -> Images:
        """Neighbours in the file are read at once."""
        images = np.empty((len(rows), *self._image_shape), np.uint8)
        n_bytes = int(np.prod(self._image_shape))
        edges = np.flatnonzero(np.diff(rows) != 1) + 1
        for start, stop in zip([0, *edges], [*edges, len(rows)], strict=True):
            if start < stop:
                room = images[start:stop].reshape(-1).data
                if os.preadv(self._file.handle, [room], int(rows[start]) * n_bytes) != (stop - start) * n_bytes:
                    change = "run cnn prepare again"
                    raise IntegrityError(self._file.path, received="a short file", expected="all images", change=change)
        return images

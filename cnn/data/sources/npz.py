"""The user's own arrays in one `.npz` file."""

import zipfile
import zlib
from collections.abc import Collection
from lzma import LZMAError
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.data.arrays import DataSet, Split
from cnn.data.quality.checks import checked_images, checked_labels
from cnn.errors import DataError, IntegrityError

_KEYS = "x_train and y_train (and x_test and y_test), or images and labels; optionally class_names"
_SETS = (("x_train", "y_train"), ("images", "labels"))
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_UNREADABLE = (RuntimeError, MemoryError, TokenError, SyntaxError, TypeError, OverflowError)


class NpzSource:
    """Arrays by the names `x_train`, `y_train` and, with a test set of their own, `x_test`, `y_test`.

    `images` and `labels` do as well when there is no test set. Images are uint8 (n, h, w) or (n, h, w, c) with one or
    three channels, labels whole numbers from 0, or (n, k) of 0 and 1 for k labels. `class_names` is an array of
    strings; without it classes bear their number.
    """

    def load(self, path: Path | None, downloads: Path) -> DataSet:
        """The arrays of the file `path`.

        Raises:
            DataError: No such file, no `.npz` file, a missing key, or arrays that cannot be trained on.
            IntegrityError: The file is torn.
        """
        file = path or Path()
        arrays = _read(file)
        images, labels = next((pair for pair in _SETS if set(pair) <= arrays.keys()), _SETS[0])
        _require(arrays, (images, labels), file)
        given = _class_names(arrays, file)
        train = _split(arrays, images, labels, given, file)
        lowest = int(train.labels.min())
        if train.labels.ndim == 1 and not given and lowest > 0:
            counted, change = f"labels from {lowest} to {train.labels.max()}", f"save {labels} - {lowest}"
            raise DataError(f"{file}: {labels}", received=counted, expected="labels that count from 0", change=change)
        n_classes = train.labels.shape[1] if train.labels.ndim == 2 else int(train.labels.max()) + 1
        names = given or tuple(map(str, range(n_classes)))
        has_test = bool({"x_test", "y_test"} & arrays.keys())
        test = _split(arrays, "x_test", "y_test", names, file) if has_test else None
        if test is not None and test.images.shape[1:] != train.images.shape[1:]:
            received, expected = test.images.shape[1:], f"{train.images.shape[1:]} as in {images}"
            raise DataError(f"{file}: x_test", received=received, expected=expected, change="mend the file")
        if test is not None and test.labels.ndim != train.labels.ndim:
            shape, like = f"shape {test.labels.shape}", f"labels like those of {labels}"
            raise DataError(f"{file}: y_test", received=shape, expected=like, change="mend the file")
        return DataSet(source="npz", place=str(file), class_names=names, train=train, test=test)


def _split(
    arrays: dict[str, npt.NDArray[Any]], images: str, labels: str, class_names: tuple[str, ...], file: Path
) -> Split:
    _require(arrays, (images, labels), file)
    checked = checked_images(arrays[images], f"{file}: {images}")
    return Split(images=checked, labels=checked_labels(arrays[labels], len(checked), class_names, f"{file}: {labels}"))


def _read(file: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of the file; pickled objects are refused."""
    if not file.is_file():
        raise DataError(file, received="no such file", expected="an .npz file", change="edit prepare.path")
    if not zipfile.is_zipfile(file) or _beginning(file) not in _ZIP:  # numpy goes by the first bytes
        raise DataError(file, received="no .npz file", expected=f"numpy.savez of {_KEYS}", change="edit prepare.path")
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: _array(archive, name, file) for name in archive.files}
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error, LZMAError) as error:
        raise IntegrityError(
            file, received=f"a torn file ({error})", expected="what was saved", change="save it again"
        ) from error
    except _UNREADABLE as error:  # whole, but encrypted, packed in a way of its own, or with a header that is none
        received = f"what numpy cannot read ({error})"
        change = "save it with numpy.savez, without a password, and as much as memory holds"
        raise DataError(file, received=received, expected="an .npz file of arrays", change=change) from error


def _beginning(file: Path) -> bytes:
    with file.open("rb") as content:
        return content.read(4)


def _array(archive: Any, name: str, file: Path) -> npt.NDArray[Any]:
    try:
        array = archive[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise DataError(
                f"{file}: {name}", received=error, expected="a numpy array", change="save it again"
            ) from error
        received = "an array of objects: images of mixed shape, or names that are no strings"
        change = "bring all images to one height, width and number of channels, then numpy.stack them"
        raise DataError(f"{file}: {name}", received=received, expected="one numeric array", change=change) from error
    if not isinstance(array, np.ndarray):
        raise DataError(f"{file}: {name}", received="bytes", expected="a numpy array", change="use numpy.savez")
    return array


def _require(arrays: Collection[str], names: tuple[str, ...], file: Path) -> None:
    missing = [name for name in names if name not in arrays]
    if missing:
        received = f"no {missing[0]}, only {', '.join(sorted(arrays)) or 'nothing'}"
        raise DataError(file, received=received, expected=_KEYS, change="save the arrays under these names")


def _class_names(arrays: dict[str, npt.NDArray[Any]], file: Path) -> tuple[str, ...]:
    """The names given; empty when there are none."""
    if "class_names" not in arrays:
        return ()
    names = arrays["class_names"]
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) != len(names):
        received, expected = f"{names.dtype} {names.shape}", "a list of different strings"
        raise DataError(f"{file}: class_names", received=received, expected=expected, change="mend the file")
    return tuple(names.tolist())

"""The file formats in which mirrors keep the built-in sets, each decoded to the same four arrays.

Arrays are training images (n, h, w, c), training labels (n,), test images and test labels, all uint8.
"""

import io
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from cnn.errors import DataError, IntegrityError

Bytes = npt.NDArray[np.uint8]
Files = Mapping[str, bytes]
Arrays = tuple[Bytes, Bytes, Bytes, Bytes]

_SIDE, _CHANNELS = 32, 3
_PIXELS = _SIDE * _SIDE
_RECORD = 1 + _CHANNELS * _PIXELS
_MAX_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Files by name, and how they become arrays. `decode` may count on every file being there."""

    names: frozenset[str]
    decode: Callable[[Files], Arrays]


def decode_idx(files: Files) -> Arrays:
    """The four idx files of MNIST and its kin.

    Raises:
        IntegrityError: A file is torn.
    """
    train, train_labels, test, test_labels = (_idx(files, name) for name in _IDX_NAMES)
    return train[..., np.newaxis], train_labels, test[..., np.newaxis], test_labels


def decode_cifar_binary(files: Files) -> Arrays:
    """CIFAR-10's binary version: records of one label and 3 x 32 x 32 bytes, channel by channel.

    Raises:
        IntegrityError: A file is torn.
    """
    batches = [_cifar_records(files, name) for name in _BINARY_NAMES]
    train, test = np.concatenate(batches[:-1]), batches[-1]
    return _cifar_images(train), train[:, 0], _cifar_images(test), test[:, 0]


def decode_cifar_png(files: Files) -> Arrays:
    """CIFAR-10 as pictures of 1,024 columns, one image a row, and labels in JSON (spelt `lables` there).

    Raises:
        DataError: A picture is no PNG, or has another size.
        IntegrityError: The labels are torn.
    """
    batches = [_png_rows(files, name).reshape(-1, _SIDE, _SIDE, _CHANNELS) for name in _PNG_NAMES]
    train_labels, test_labels = (_json_labels(files, name) for name in _JSON_NAMES)
    return np.concatenate(batches[:-1]), train_labels, batches[-1], test_labels


def _idx(files: Files, name: str) -> Bytes:
    """One idx file: two zeros, the type (8: uint8), the number of axes, each axis as 32 bits, then the bytes."""
    content = files[name]
    n_axes = 3 if "images" in name else 1
    start = 4 + 4 * n_axes
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], dtype=">u4"))
    if content[:4] != bytes((0, 0, 8, n_axes)) or len(content) - start != np.prod(shape, dtype=np.int64):
        raise _torn(name, "an idx file")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _cifar_records(files: Files, name: str) -> Bytes:
    content = np.frombuffer(files[name], dtype=np.uint8)
    if len(content) == 0 or len(content) % _RECORD:
        raise _torn(name, f"records of {_RECORD} bytes")
    return content.reshape(-1, _RECORD)


def _cifar_images(records: Bytes) -> Bytes:
    images = records[:, 1:].reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images)


def _png_rows(files: Files, name: str) -> Bytes:
    """The picture's pixels; its size is looked at before any pixel is decoded."""
    expected = f"an RGB PNG of {_PIXELS} columns and at most {_MAX_ROWS} rows"
    change = "delete the archive and run again"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(files[name]), formats=["PNG"])
            if picture.mode != "RGB" or picture.width != _PIXELS or picture.height > _MAX_ROWS:
                received = f"{picture.mode}, {picture.width} x {picture.height}"
                raise DataError(name, received=received, expected=expected, change=change)
            return np.asarray(picture)
    except UnidentifiedImageError as error:
        raise DataError(name, received="no image", expected=expected, change=change) from error
    except (OSError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DataError(name, received=f"a torn image ({error})", expected=expected, change=change) from error


def _json_labels(files: Files, name: str) -> Bytes:
    try:
        labels = json.loads(files[name])
    except ValueError as error:
        raise _torn(name, "a JSON list of labels") from error
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label <= 255 for label in labels):
        raise _torn(name, "a JSON list of labels in 0 .. 255")
    return np.array(labels, dtype=np.uint8)


def _torn(name: str, expected: str) -> IntegrityError:
    return IntegrityError(name, received="a torn file", expected=expected, change="delete the archive and run again")


_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_BINARY_NAMES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_PNG_NAMES = (*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png")
_JSON_NAMES = ("train_lables.json", "test_lables.json")

IDX = Layout(names=frozenset(_IDX_NAMES), decode=decode_idx)
CIFAR_BINARY = Layout(names=frozenset(_BINARY_NAMES), decode=decode_cifar_binary)
CIFAR_PNG = Layout(names=frozenset(_PNG_NAMES + _JSON_NAMES), decode=decode_cifar_png)

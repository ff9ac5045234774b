"""What must hold before anything trains. Each breach ends in one line that names the place and the cure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.data.arrays import Images, Labels, Split
from cnn.errors import DataError


def checked_images(array: npt.NDArray[Any], where: str) -> Images:
    """The images as (n, h, w, c).

    Args:
        array: (n, h, w) or (n, h, w, c), c is 1 or 3, uint8.
        where: What the array is called, for the error.

    Raises:
        DataError: Another dtype or shape, or no image at all.
    """
    if array.dtype != np.uint8:
        raise DataError(where, received=_described(array), expected="uint8 in 0 .. 255", change=_conversion(array))
    images = array[..., np.newaxis] if array.ndim == 3 else array
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        expected = "(n, h, w) or (n, h, w, c) with c of 1 or 3, and at least one image"
        raise DataError(where, received=f"shape {array.shape}", expected=expected, change="reshape the array")
    return np.ascontiguousarray(images)


def checked_labels(array: npt.NDArray[Any], n: int, class_names: Sequence[str], where: str) -> Labels:
    """The labels as (n,) int64, or with several columns of 0 and 1 as (n, k) uint8.

    Args:
        array: (n,) or (n, 1), whole numbers; multilabel: (n, k) of 0 and 1, k is 2 or more.
        n: How many images there are.
        class_names: The classes, when they are known; else empty, and any label from 0 goes.

    Raises:
        DataError: Another dtype, shape or number, or a label out of range.
    """
    if array.ndim == 2 and array.shape[1] > 1:
        return _checked_columns(array, n, class_names, where)
    if array.dtype.kind not in "iu":
        received = f"{array.dtype} of shape {array.shape}"
        change = "number the classes from 0 and use a whole-number dtype"
        raise DataError(where, received=received, expected="whole numbers, one an image", change=change)
    if array.shape not in ((n,), (n, 1)):
        received, expected = f"shape {array.shape}", f"({n},), one label an image"
        raise DataError(where, received=received, expected=expected, change="mend the labels")
    highest = len(class_names) - 1 if class_names else min(n, np.iinfo(np.int64).max) - 1
    bad = np.flatnonzero((array < 0) | (array > highest))
    if bad.size:
        received = f"label {array.ravel()[bad[0]]} of image {bad[0]} (and {bad.size - 1} more out of range)"
        raise DataError(where, received=received, expected=f"0 .. {highest}", change="mend the labels or class_names")
    return array.ravel().astype("<i8")


def _checked_columns(array: npt.NDArray[Any], n: int, class_names: Sequence[str], where: str) -> Labels:
    """(n, k) uint8 of 0 and 1, one column a class."""
    k = len(class_names) or array.shape[1]
    if array.shape != (n, k):
        received, expected = f"shape {array.shape}", f"({n},), one label an image, or ({n}, {k}) of 0 and 1"
        raise DataError(where, received=received, expected=expected, change="mend the labels")
    if array.dtype.kind not in "iub" or not np.isin(array, (0, 1)).all():
        expected = "0 and 1, one column a class"
        raise DataError(where, received=_described(array), expected=expected, change="mend the labels")
    return array.astype(np.uint8)


def check_form(split: Split, *, multilabel: bool) -> None:
    """The labels must be of the kind that `prepare.task` says.

    Raises:
        DataError: One label an image where several are expected, or the other way round.
    """
    if (split.labels.ndim == 2) != multilabel:
        received = f"labels of shape {split.labels.shape}"
        expected = "(n, k) of 0 and 1 with prepare.task multilabel, (n,) class numbers with any other"
        raise DataError("labels", received=received, expected=expected, change="change the labels or prepare.task")


def check_content(split: Split, where: str) -> None:
    """There must be something to see.

    Raises:
        DataError: Every image is of one colour.
    """
    n_constant = sum(int(constant_images(chunk).sum()) for chunk in split.chunks())
    if n_constant == len(split):
        value = split.images[0].flat[0]
        received = f"{n_constant} images of one colour, the first all {value}"
        raise DataError(where, received=received, expected="pictures", change="look at how the arrays were made")


def constant_images(images: Images) -> npt.NDArray[np.bool_]:
    """(n,) whether all pixels of an image are alike."""
    n, _, _, channels = images.shape
    pixels = images.reshape(n, -1, channels)
    return np.asarray((pixels == pixels[:, :1]).reshape(n, -1).all(axis=-1))


def class_counts(labels: Labels, n_classes: int) -> tuple[int, ...]:
    """Images of each class; multilabel: images that show it."""
    if labels.ndim == 2:
        return tuple(labels.sum(axis=0, dtype=np.int64).tolist())
    return tuple(np.bincount(labels, minlength=n_classes).tolist())


def check_classes(splits: Mapping[str, Split], class_names: Sequence[str]) -> None:
    """Two classes or more, and each must be in each split.

    Raises:
        DataError: A class has no image at all, or too few for every split to get one.
    """
    if len(class_names) < 2:
        raise DataError("labels", received="one class", expected="2 classes or more", change="add another class")
    counts = {name: class_counts(split.labels, len(class_names)) for name, split in splits.items()}
    for label, class_name in enumerate(class_names):
        total = sum(split_counts[label] for split_counts in counts.values())
        empty = [name for name, split_counts in counts.items() if split_counts[label] == 0]
        if empty:
            received = f"{total} images in all, none in {empty[0]}" if total else "no image"
            change = "add images of it, drop the class, or raise prepare.train_limit and the fractions of prepare"
            subject = f"class {label} ({class_name})"
            raise DataError(subject, received=received, expected=f"some in each of {', '.join(splits)}", change=change)


def _described(array: npt.NDArray[Any]) -> str:
    if array.size and array.dtype.kind in "fiu":
        return f"{array.dtype} in {array.min():g} .. {array.max():g}"
    return str(array.dtype)


def _conversion(array: npt.NDArray[Any]) -> str:
    if array.dtype.kind == "f" and array.size and array.min() >= 0 and array.max() <= 1:
        return "convert with numpy.rint(images * 255).astype('uint8')"
    return "bring the values to 0 .. 255, then .astype('uint8')"

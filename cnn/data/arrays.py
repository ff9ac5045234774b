"""Images with their labels, as every part of `cnn.data` passes them on."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnn.data.findings import Finding

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]
Indices = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]

_CHUNK_BYTES = 1 << 23


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Images and what they show.

    Args:
        images: (n, h, w, c) uint8, c is 1 or 3. While they are being prepared they may be
            `cnn.data.pictures.rows.ImageRows`, which are read from the disk slice by slice: whoever needs all of them
            goes through `chunks`.
        labels: (n,) integers in [0, k), the position in the list of class names; multilabel: (n, k) uint8 of 0 and 1.
        names: (n,) the file each image came from, as its listing names it; None when they came as arrays.
    """

    images: Images
    labels: Labels
    names: Names | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: Indices) -> "Split":
        """The images at `indices`, in their order."""
        names = None if self.names is None else self.names[indices]
        return Split(images=self.images[indices], labels=self.labels[indices], names=names)

    def chunks(self) -> Iterator[Images]:
        """All images in their order, some megabytes at a time."""
        return image_chunks(self.images)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """What a source gives.

    Args:
        source: The source's word in `params.yaml`.
        place: Where the arrays came from this time, in words.
        test: None when the source has no test set of its own.
        validation: None when the source has no validation set of its own.
        findings: The files that could not be used, and why.
    """

    source: str
    place: str
    class_names: tuple[str, ...]
    train: Split
    test: Split | None
    validation: Split | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.train.images.shape
        return height, width, channels

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may show any number of the classes."""
        return self.train.labels.ndim == 2

    @property
    def content_hash(self) -> str:
        """Of the arrays: training images and labels, then those of the validation and the test set, if there are."""
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            if split is not None:
                for chunk in split.chunks():
                    digest.update(np.ascontiguousarray(chunk).data)
                digest.update(np.ascontiguousarray(split.labels).data)
        return digest.hexdigest()


def image_chunks(images: Images) -> Iterator[Images]:
    """Slices of (n, h, w, c) images one after the other, each of some megabytes at the most.

    Example:
        >>> [len(chunk) for chunk in image_chunks(np.zeros((5, 1024, 1024, 3), np.uint8))]
        [2, 2, 1]
    """
    step = max(1, _CHUNK_BYTES // int(np.prod(images.shape[1:])))
    return (images[start : start + step] for start in range(0, len(images), step))


def content_hash(*arrays: npt.NDArray[np.generic]) -> str:
    """Hex SHA-256 over the arrays' bytes, one after the other, each in C order.

    Example:
        >>> one, two = np.arange(4, dtype=np.uint8), np.arange(4, 9, dtype=np.uint8)
        >>> content_hash(one, two) == content_hash(np.arange(9, dtype=np.uint8))
        True
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()

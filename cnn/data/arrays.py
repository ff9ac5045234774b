"""Images with their labels, as every part of `cnn.data` passes them on."""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Images and what they show.

    Args:
        images: (n, h, w, c) uint8, c is 1 or 3.
        labels: (n,) integers in [0, k), the position in the list of class names.
    """

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: Indices) -> "Split":
        """The images at `indices`, in their order."""
        return Split(images=self.images[indices], labels=self.labels[indices])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataSet:
    """What a source gives.

    Args:
        source: The source's word in `params.yaml`.
        place: Where the arrays came from this time, in words.
        test: None when the source has no test set of its own.
    """

    source: str
    place: str
    class_names: tuple[str, ...]
    train: Split
    test: Split | None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.train.images.shape
        return height, width, channels

    @property
    def content_hash(self) -> str:
        """`content_hash` of the arrays: training images and labels, then those of the test set."""
        splits = [self.train] if self.test is None else [self.train, self.test]
        return content_hash(*(array for split in splits for array in (split.images, split.labels)))


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

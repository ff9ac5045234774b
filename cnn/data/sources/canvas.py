"""Multilabel sets made of single pictures: several of them, each with its own place on one canvas."""

from dataclasses import dataclass

import numpy as np

from cnn.data.arrays import Images, Indices, Labels, Split
from cnn.runtime import derived_seed

N_CELLS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """How pictures come together.

    A canvas is parted into two rows of two cells. Each cell but at least one is empty with probability one half; the
    others hold a picture each, somewhere within the cell. The labels say which classes are to be seen.

    Args:
        side: Height and width of a canvas, even; half of it must hold a picture.
        shrink: Pictures are made smaller by this whole number first, by the mean of their pixels.
    """

    side: int
    shrink: int = 1

    def painted(self, singles: Split, n_classes: int, n: int, seed: int) -> Split:
        """`n` canvases, a function of the arguments alone.

        Args:
            singles: (m, h, w, 1) images with (m,) labels.

        Returns:
            Images (n, side, side, 1), labels (n, n_classes) of 0 and 1, at least one of them 1.
        """
        pictures = _shrunk(singles.images, self.shrink)
        which = _whole_numbers(seed, "which", (n, N_CELLS), len(pictures))
        filled = _whole_numbers(seed, "filled", (n, N_CELLS), 2).astype(bool)
        filled[np.arange(n), _whole_numbers(seed, "at least", (n,), N_CELLS)] = True
        images = self._images(pictures, which, filled, seed)
        labels = np.zeros((n, n_classes), dtype=np.uint8)
        canvases, cells = np.nonzero(filled)
        labels[canvases, singles.labels[which[canvases, cells]]] = 1
        return Split(images=images, labels=labels)

    def _images(self, pictures: Images, which: Indices, filled: Labels, seed: int) -> Images:
        n, cell = len(which), self.side // 2
        height, width = pictures.shape[1:3]
        tops = _whole_numbers(seed, "tops", (n, N_CELLS), cell - height + 1)
        lefts = _whole_numbers(seed, "lefts", (n, N_CELLS), cell - width + 1)
        images = np.zeros((n, self.side, self.side, pictures.shape[-1]), dtype=np.uint8)
        for number, place in zip(*np.nonzero(filled), strict=True):
            top = place // 2 * cell + tops[number, place]
            left = place % 2 * cell + lefts[number, place]
            images[number, top : top + height, left : left + width] = pictures[which[number, place]]
        return images


def _shrunk(images: Images, factor: int) -> Images:
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // factor, factor, width // factor, factor, channels)
    shrunk: Images = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return shrunk


def _whole_numbers(seed: int, purpose: str, shape: tuple[int, ...], below: int) -> Indices:
    """Of raw PCG64 output, which NumPy never changes; its bias of `below` in 2**64 is nothing."""
    raw = np.random.PCG64(derived_seed(seed, purpose)).random_raw(int(np.prod(shape)))
    return (raw % np.uint64(below)).astype(np.int64).reshape(shape)

"""Images that are nearly the same: the same picture saved otherwise.

They are looked for in two steps. A perceptual hash (the signs of the lowest frequencies, 64 bits) finds candidates: by
the pigeonhole principle two hashes that differ in at most 7 bits agree in one of eight bytes, so that only images which
share a byte in its place are compared. Then the pixels decide: both images are brought to 16 x 16 grey values of mean 0
and standard deviation 1, and are near if those differ by little.

References:
    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.1.
    Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cnn.data.arrays import Images, Indices, Split

MAX_BITS = 7
_SIDE = 16
_N_LOW = 8
_BATCH = 1 << 20
_N_PAIRS = 4096

Hashes = npt.NDArray[np.uint64]
Thumbnails = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NearPairs:
    """Images of one split and their like in another, an entry a pair.

    Args:
        mine: (n,) positions in the one.
        theirs: (n,) positions in the other.
        difference: (n,) root mean square over the 16 x 16 normalised grey values.
    """

    mine: Indices
    theirs: Indices
    difference: npt.NDArray[np.float64]


def near_pairs(
    split: Split, other: Split, hashes: Hashes, other_hashes: Hashes, max_difference: float
) -> Iterator[NearPairs]:
    """Pairs that the pixels confirm, some thousands at a time; of a split with itself each pair once.

    Args:
        hashes: As `perceptual_hashes` has them of `split`, and of `other`.
        max_difference: 0 or more.
    """
    candidates = _candidates(hashes, other_hashes)
    if split is other:
        candidates = ((mine[mine < theirs], theirs[mine < theirs]) for mine, theirs in candidates)
    for mine, theirs in _batches(candidates, len(other_hashes)):
        ours = thumbnails(np.asarray(split.images[mine]))
        difference = np.sqrt(((ours - thumbnails(np.asarray(other.images[theirs]))) ** 2).mean(axis=1))
        near = np.flatnonzero((difference <= max_difference) & ours.any(axis=1))
        yield NearPairs(mine=mine[near], theirs=theirs[near], difference=difference[near].astype(np.float64))


def perceptual_hashes(split: Split) -> Hashes:
    """(n,) whether each of the 8 x 8 lowest frequencies of the image (DCT-II) is above their median; 0 if it is of one
    colour.
    """
    parts = [_hashes(chunk) for chunk in split.chunks()]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def thumbnails(images: Images) -> Thumbnails:
    """(n, 256) the images as 16 x 16 grey values, each image with mean 0 and standard deviation 1 (or all 0)."""
    grey = _grey(images)
    small = _means(grey.shape[1]) @ grey @ _means(grey.shape[2]).T
    flat = small.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    sds = flat.std(axis=1, keepdims=True)
    normal: Thumbnails = np.divide(flat, sds, out=np.zeros_like(flat), where=sds > 0.5)
    return normal


def _batches(pairs: Iterator[tuple[Indices, Indices]], n_others: int) -> Iterator[tuple[Indices, Indices]]:
    """The same pairs, some thousands at a time, each once a batch."""
    held: list[Indices] = []
    n = 0
    for mine, theirs in pairs:
        held.append(mine * n_others + theirs)
        n += len(mine)
        if n >= _N_PAIRS:
            yield from _parted(np.unique(np.concatenate(held)), n_others)
            held, n = [], 0
    if n:
        yield from _parted(np.unique(np.concatenate(held)), n_others)


def _parted(numbers: Indices, n_others: int) -> Iterator[tuple[Indices, Indices]]:
    for start in range(0, len(numbers), _N_PAIRS):
        yield np.divmod(numbers[start : start + _N_PAIRS], n_others)


def _candidates(hashes: Hashes, others: Hashes) -> Iterator[tuple[Indices, Indices]]:
    """Positions of pairs whose hashes differ in at most `MAX_BITS` bits, some of them more than once."""
    if not len(hashes) or not len(others):
        return
    for shift in range(0, 64, 8):
        ours, theirs = (((part >> np.uint64(shift)) & np.uint64(255)).astype(np.int64) for part in (hashes, others))
        order = np.argsort(theirs, kind="stable")
        starts = np.searchsorted(theirs[order], np.arange(257))
        for byte in range(256):
            mine = np.flatnonzero((ours == byte) & (hashes != 0))
            same = order[starts[byte] : starts[byte + 1]]
            step = max(1, _BATCH // max(1, len(same)))
            for start in range(0, len(mine), step):
                some = mine[start : start + step]
                n_bits = np.bitwise_count(hashes[some, None] ^ others[None, same])
                first, second = np.nonzero(n_bits <= MAX_BITS)
                yield some[first], same[second]


def _hashes(images: Images) -> Hashes:
    grey = _grey(images).astype(np.float64)
    low = _cosines(grey.shape[1]) @ grey @ _cosines(grey.shape[2]).T
    flat = low.reshape(len(images), -1)
    flat[:, 0] = 0  # the mean says how bright a picture is, not what it shows
    flat = flat.round(3)  # so that no machine's last digit decides
    bits = flat > np.median(flat, axis=1, keepdims=True)
    weights = np.uint64(1) << np.arange(bits.shape[1], dtype=np.uint64)
    hashes: Hashes = (bits * weights).sum(axis=1, dtype=np.uint64)
    return hashes


def _grey(images: Images) -> npt.NDArray[np.float32]:
    """(n, h, w): the luma of ITU-R 601-2, which a JPEG keeps best."""
    if images.shape[-1] == 1:
        return images[..., 0].astype(np.float32)
    red, green, blue = (images[..., channel].astype(np.float32) for channel in range(3))
    luma: npt.NDArray[np.float32] = red * np.float32(0.299) + green * np.float32(0.587) + blue * np.float32(0.114)
    return luma


def _cosines(side: int) -> npt.NDArray[np.float64]:
    """(8, side): the first rows of the DCT-II."""
    places = (np.arange(side) + 0.5) / side
    return np.cos(np.pi * np.arange(_N_LOW)[:, None] * places[None, :])


def _means(side: int) -> npt.NDArray[np.float32]:
    """(16, side): the mean over each sixteenth of a side, pixels parted where an edge runs through them."""
    edges = np.linspace(0, side, _SIDE + 1)
    overlap = np.minimum(edges[1:, None], np.arange(1, side + 1)) - np.maximum(edges[:-1, None], np.arange(side))
    means: npt.NDArray[np.float32] = (np.clip(overlap, 0, None) * (_SIDE / side)).astype(np.float32)
    return means

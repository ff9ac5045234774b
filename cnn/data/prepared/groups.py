"""Which images must not be parted by a split: the same picture, or one that was merely saved otherwise."""

import numpy as np

from cnn.data.arrays import Indices, Split
from cnn.data.prepared.equal_images import equal_images
from cnn.data.prepared.likeness import near_pairs, perceptual_hashes


def inseparable(split: Split, max_difference: float, *, n_needed: int) -> Indices:
    """(n,) equal numbers for images that are equal, or that are nearly the same and have the same labels.

    What resembles a picture of another class is left apart, for it is to be looked at. So are the near ones of a class
    that would have too few groups to be in each split.

    Args:
        max_difference: Of near-duplicates, as `near_pairs` measures it; 0: only equal pixels hold images together.
        n_needed: Groups of a class, or of a label, that the splits to be made take at the least.

    Example:
        >>> images = np.array([5, 7, 5], np.uint8).reshape(3, 1, 1, 1)
        >>> inseparable(Split(images=images, labels=np.zeros(3, np.int64)), 0.0, n_needed=2).tolist()
        [0, 1, 0]
    """
    equal = equal_images(split)
    if max_difference == 0:
        return equal
    groups = _joined(split, equal, max_difference)
    few = np.zeros(len(groups), bool)
    for members in _classes(split):
        few |= members & (np.unique(groups[members]).size < n_needed)
    return np.where(few, equal, groups)


def _joined(split: Split, equal: Indices, max_difference: float) -> Indices:
    """For each image the first one that it is linked to, by whatever chain of pairs."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    hashes = perceptual_hashes(split)
    links = [np.stack([np.arange(len(equal)), equal])]
    for pairs in near_pairs(split, split, hashes, hashes, max_difference):
        alike = split.labels[pairs.mine] == split.labels[pairs.theirs]
        same = alike if alike.ndim == 1 else alike.all(axis=1)
        links.append(np.stack([pairs.mine[same], pairs.theirs[same]]))
    rows, columns = np.concatenate(links, axis=1)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(equal), len(equal)))
    _, component = connected_components(graph, directed=False)
    _, firsts, inverse = np.unique(component, return_index=True, return_inverse=True)
    joined: Indices = firsts[inverse]
    return joined


def _classes(split: Split) -> list["np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """For each class, or label, that there is, which images are of it."""
    if split.labels.ndim == 2:
        return [column == 1 for column in split.labels.T if column.any()]
    return [split.labels == label for label in np.unique(split.labels)]

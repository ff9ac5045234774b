"""Stratified parts of images that show any number of labels.

References:
    Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011, algorithm 1, for two
    parts; all images of a label are shared out at once, which gives each part what one after the other would.
"""

import numpy as np

from cnn.data.arrays import Indices, Labels


def label_stratified(labels: Labels, n: int, seed: int, *, cover: bool = False) -> Indices:
    """Ascending positions of `n` images with each label in about the proportion it has in `labels`.

    The rarest label is shared out first, then the rarest of the rest; images without any label fill up.

    Args:
        labels: (m, k) of 0 and 1.
        n: 0 to m.
        cover: Every label that occurs is among the chosen, even if they are more than `n` then, and among the rest as
            well if it occurs twice.

    Example:
        >>> label_stratified(np.array([[1, 0]] * 6 + [[1, 1]] * 2), 4, seed=0).size
        4
    """
    order = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    positive = labels[order].astype(bool)
    counts = positive.sum(axis=0)
    left, got = counts.copy(), np.zeros_like(counts)
    free, taken = np.ones(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
    while left.any():
        # Of equally rare ones first a label that is not among the chosen yet: its last image may be another's as well.
        label = int(np.argmin(np.where(left > 0, 2 * left + (got > 0), 2 * len(labels) + 2)))
        members = np.flatnonzero(free & positive[:, label])
        wanted, rest = divmod(int(counts[label]) * n - int(got[label]) * len(labels), len(labels))
        # Rounded up or down, whichever leaves the chosen nearer to their share of all images shared out so far.
        behind = (int((~free).sum()) + len(members)) * n - (int(taken.sum()) + wanted) * len(labels)
        wanted += int(rest > 0 and 2 * behind > len(labels))
        # The chosen and the rest each have room for so many more.
        room, room_beside = n - int(taken.sum()), len(labels) - n - int((~free & ~taken).sum())
        quota = min(max(wanted, len(members) - room_beside, 0), room, len(members))
        if cover:
            elsewhere = counts[label] - got[label] - left[label]
            quota = min(max(quota, 1 - int(got[label])), len(members) - int(elsewhere == 0 and len(members) > 1))
        taken[members[:quota]] = True
        free[members] = False
        got += positive[members[:quota]].sum(axis=0)
        left -= positive[members].sum(axis=0)
    taken[np.flatnonzero(free)[: max(0, n - int(taken.sum()))]] = True
    return np.sort(order[taken])

"""Stratified parts by seed: the same on every machine, independent of any global state.

Every image gets a random priority, and each class gives its images of the lowest priority. The priorities are raw
output of PCG64, which NumPy promises never to change; of its shuffling functions it does not.
"""

import numpy as np

from cnn.config.preparing import PrepareParams
from cnn.data.arrays import DataSet, Indices, Labels, Split
from cnn.data.prepared.groups import inseparable
from cnn.data.prepared.multilabel import label_stratified
from cnn.errors import DataError
from cnn.runtime import derived_seed

TRAIN, VALIDATION, TEST = SPLITS = ("train", "validation", "test")
_OWN = ("npz", "folder", "csv")
"""Sources whose images are the user's; the built-in ones are split as ever, so that their data hashes stay."""


def make_splits(data: DataSet, params: PrepareParams) -> dict[str, Split]:
    """Training, validation and test images, each image in one of them at most.

    A source without a test set gives `test_fraction` of its images to one. Of what is left, a stratified part of
    `train_limit` images is kept, and `validation_fraction` of that is held out. A part held out has at least one image
    of every class. Validation and test sets of the source's own are taken as they are.

    A user's images with the very same pixels are drawn as one, and so are pictures from files that are nearly the same:
    they stay together, and fractions are then of the different images.

    Raises:
        DataError: Nothing would be left to train on.
    """
    train, test, validation = data.train, data.test, data.validation
    groups = np.arange(len(train))
    if data.source in _OWN and (test is None or validation is None):
        n_needed = 1 + (test is None) + (validation is None)
        groups = inseparable(train, params.near_duplicates if train.names is not None else 0.0, n_needed=n_needed)
    if test is None:
        kept, out = _held_out(train.labels, groups, params.test_fraction, TEST, params.seed)
        train, test, groups = train.part(kept), train.part(out), groups[kept]
    if params.train_limit is not None:
        kept = stratified_subset(train.labels, params.train_limit, derived_seed(params.seed, "train_limit"))
        train, groups = train.part(kept), groups[kept]
    if validation is None:
        kept, out = _held_out(train.labels, groups, params.validation_fraction, VALIDATION, params.seed)
        train, validation = train.part(kept), train.part(out)
    return {TRAIN: train, VALIDATION: validation, TEST: test}


def stratified_subset(labels: Labels, n: int, seed: int) -> Indices:
    """Positions of `n` images (all, if there are no more), the classes in the same proportion as in `labels`.

    Args:
        labels: (m,) whole numbers from 0; multilabel: (m, k) of 0 and 1.

    Returns:
        (min(n, m),) ascending positions; each class has its exact share, rounded up or down by largest remainder. Of
        images with several labels each label has about its share, as near as labels that come together allow.

    Example:
        >>> stratified_subset(np.array([0, 0, 0, 0, 1, 1]), 3, seed=0).size
        3
    """
    if n >= len(labels):
        return np.arange(len(labels))
    if labels.ndim == 2:
        return label_stratified(labels, n, seed)
    return _drawn(labels, largest_remainder(np.bincount(labels), n), seed)


def largest_remainder(counts: Indices, n: int) -> Indices:
    """`n` seats shared in proportion to `counts`, each share rounded down, the rest to the largest remainders.

    Whole-number arithmetic, so that no machine rounds otherwise; among equals the first class comes first.

    Example:
        >>> largest_remainder(np.array([50, 30, 20]), 9).tolist()
        [4, 3, 2]
    """
    shares, remainders = np.divmod(counts * n, counts.sum())
    rest = n - int(shares.sum())
    shares[np.argsort(-remainders, kind="stable")[:rest]] += 1
    return shares


def _held_out(all_labels: Labels, groups: Indices, fraction: float, name: str, seed: int) -> tuple[Indices, Indices]:
    """Positions of what stays, and of the stratified part that is held out, with one image or more of every class.

    Args:
        groups: (n,) equal numbers for images that must not be parted; they go by the labels of the first of them.
    """
    firsts = np.sort(np.unique(groups, return_index=True)[1])
    if len(firsts) == 1:  # one picture over and over is refused for that, not for want of images
        groups = firsts = np.arange(len(groups))
    labels = all_labels[firsts]
    n, drawn_seed = round(fraction * len(firsts)), derived_seed(seed, name)
    if labels.ndim == 2:
        n_classes = int(labels.any(axis=0).sum())
        out = label_stratified(labels, n, drawn_seed, cover=True)
    else:
        counts = np.bincount(labels)
        n_classes = int((counts > 0).sum())
        out = _drawn(labels, np.maximum(largest_remainder(counts, n), counts > 0), drawn_seed)
    if len(out) == len(firsts):
        different = "" if len(firsts) == len(groups) else f", {len(firsts)} of them different,"
        received = f"{len(groups)} images{different} of {n_classes} classes, and the {name} set takes all of them"
        change = "add images, or raise prepare.train_limit and lower the fractions of prepare"
        raise DataError("images", received=received, expected="some left to train on", change=change)
    held_out = np.isin(groups, groups[firsts[out]])
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def _drawn(labels: Labels, quotas: Indices, seed: int) -> Indices:
    """Ascending positions of `quotas[label]` images of each class."""
    order = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    by_class = [order[labels[order] == label][:quota] for label, quota in enumerate(quotas)]
    return np.sort(np.concatenate(by_class))

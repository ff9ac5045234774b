"""What holds of every stratified part, whatever the labels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn.config.preparing import PrepareParams
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.multilabel import label_stratified
from cnn.data.prepared.splits import SPLITS, largest_remainder, make_splits, stratified_subset

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(np.array)
SEEDS = st.integers(0, 2**31 - 1)


def a_data_set(labels, test_labels=None):
    """Images whose first two bytes are their number, so that each can be told from all others."""

    def split(numbers, labels):
        images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8).reshape(-1, 1, 2, 1)
        return Split(images=images, labels=labels)

    n = len(labels)
    test = None if test_labels is None else split(np.arange(n, n + len(test_labels)), test_labels)
    names = tuple("abcdef")
    return DataSet(source="npz", place="", class_names=names, train=split(np.arange(n), labels), test=test)


def numbers(split):
    high, low = split.images.reshape(-1, 2).astype(int).T
    return (high * 256 + low).tolist()


@given(LABELS, st.data(), SEEDS)
def test_each_class_has_its_exact_share(labels, data, seed):
    n = data.draw(st.integers(1, len(labels)))
    kept = stratified_subset(labels, n, seed)
    # As many positions as asked for, ascending, none twice.
    assert len(kept) == n
    assert (np.diff(kept) > 0).all()
    # No class is a whole image away from its proportional share.
    shares = np.bincount(labels, minlength=6) * n / len(labels)
    assert (np.abs(np.bincount(labels[kept], minlength=6) - shares) < 1).all()


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=50).filter(any), st.data())
def test_seats_add_up_and_never_exceed_a_class(counts, data):
    n = data.draw(st.integers(0, sum(counts)))
    seats = largest_remainder(np.array(counts), n)
    # The seats are exactly as many as there are, and no class gets more than it has.
    assert seats.sum() == n
    assert (seats <= counts).all()


@given(LABELS, SEEDS)
def test_more_than_all_is_all(labels, seed):
    # Asking for more images than there are gives every one of them.
    assert stratified_subset(labels, len(labels) + 7, seed).tolist() == list(range(len(labels)))


@given(st.lists(st.integers(0, 2), min_size=30, max_size=120).map(np.array), SEEDS, st.booleans())
def test_no_image_is_in_two_splits_and_none_is_lost(labels, seed, with_test):
    test_labels = np.array([0, 1, 2]) if with_test else None
    splits = make_splits(a_data_set(labels, test_labels), PrepareParams(source="digits", seed=seed))
    # Every image is in exactly one split.
    everything = [number for name in SPLITS for number in numbers(splits[name])]
    assert sorted(everything) == list(range(len(labels) + (3 if with_test else 0)))
    # A test set of the source's own is left as it is.
    assert not with_test or numbers(splits["test"]) == list(range(len(labels), len(labels) + 3))
    # Labels stay with their images.
    whole = np.concatenate([labels, test_labels]) if with_test else labels
    assert all((whole[numbers(split)] == split.labels).all() for split in splits.values())


@given(st.lists(st.integers(2, 40), min_size=2, max_size=6), SEEDS)
def test_a_class_of_two_images_is_in_training_and_in_validation(sizes, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    params = PrepareParams(source="digits", seed=seed, validation_fraction=0.05)
    splits = make_splits(a_data_set(labels, labels), params)
    # However small the fraction and the class, both parts show it.
    assert set(splits["validation"].labels) == set(splits["train"].labels) == set(range(len(sizes)))


@given(SEEDS, st.integers(20, 100))
def test_train_limit_bounds_training_and_validation_together(seed, limit):
    labels = np.arange(300) % 3
    params = PrepareParams(source="digits", seed=seed, train_limit=limit, validation_fraction=0.25)
    splits = make_splits(a_data_set(labels, np.arange(9) % 3), params)
    # What is kept is shared between training and validation by the fraction; test is whole.
    assert len(splits["train"]) + len(splits["validation"]) == limit
    assert len(splits["validation"]) == round(0.25 * limit)
    assert len(splits["test"]) == 9


def test_the_seed_decides_and_nothing_else():
    labels = np.arange(1000) % 10
    np.random.seed(1)
    first = stratified_subset(labels, 100, seed=7)
    np.random.seed(2)
    # The same seed gives the same images whatever the global state; another seed gives others.
    assert (stratified_subset(labels, 100, seed=7) == first).all()
    assert (stratified_subset(labels, 100, seed=8) != first).any()


@pytest.mark.parametrize(("seed", "expected"), [(0, [1, 2, 3, 11, 13, 15]), (1, [2, 4, 9, 12, 14, 16])])
def test_every_machine_draws_the_same(seed, expected):
    # The drawn positions are known in advance, so that a NumPy or a machine that draws otherwise is noticed.
    assert stratified_subset(np.arange(18) % 3, 6, seed).tolist() == expected


LABEL_SETS = (
    st.integers(2, 6)
    .flatmap(lambda k: st.lists(st.lists(st.integers(0, 1), min_size=k, max_size=k), min_size=2, max_size=120))
    .map(lambda rows: np.array(rows, dtype=np.uint8))
)


@given(LABEL_SETS, st.data(), SEEDS)
def test_a_part_of_images_with_several_labels_has_its_size(labels, data, seed):
    n = data.draw(st.integers(1, len(labels)))
    kept = stratified_subset(labels, n, seed)
    # As many as asked for, ascending, none twice; and the same for the same seed.
    assert len(kept) == n
    assert (np.diff(kept) > 0).all()
    assert (stratified_subset(labels, n, seed) == kept).all()


@given(LABEL_SETS, st.floats(0.05, 0.5), SEEDS)
def test_a_label_that_occurs_twice_is_in_both_parts(labels, fraction, seed):
    out = label_stratified(labels, round(fraction * len(labels)), seed, cover=True)
    rest = np.setdiff1d(np.arange(len(labels)), out)
    # Every label there is can be validated, and every label that occurs alone at least twice can be trained.
    assert (labels[out].any(axis=0) == labels.any(axis=0)).all()
    alone = labels[labels.sum(axis=1) == 1].sum(axis=0)
    assert labels[rest].any(axis=0)[alone >= 2].all()


@given(st.integers(2, 8), st.integers(50, 400), SEEDS)
def test_labels_keep_their_shares_better_than_by_chance(k, n_images, seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n_images, k)) < rng.uniform(0.02, 0.5, k)).astype(np.uint8)
    n = n_images // 5
    shares = labels.sum(axis=0) * n / n_images

    def error(kept):
        return np.abs(labels[kept].sum(axis=0) - shares).max()

    drawn = np.mean([error(rng.choice(n_images, n, replace=False)) for _ in range(20)])
    ours = np.mean([error(stratified_subset(labels, n, other)) for other in range(20)])
    # Over many seeds the label that is off most is off by less than in ordinary draws.
    assert ours < drawn


@given(st.lists(st.integers(0, 4), min_size=10, max_size=150).map(np.array), st.data(), SEEDS)
def test_one_label_an_image_is_the_simple_case(labels, data, seed):
    n = data.draw(st.integers(1, len(labels)))
    kept = label_stratified(np.eye(5, dtype=np.uint8)[labels], n, seed)
    # Written as columns, classes get their shares as well: none is a whole image away from it.
    shares = np.bincount(labels, minlength=5) * n / len(labels)
    assert np.abs(np.bincount(labels[kept], minlength=5) - shares).max() < 1


@pytest.mark.parametrize(("seed", "expected"), [(0, [2, 3, 11, 13, 15, 17]), (1, [2, 5, 9, 12, 16, 18])])
def test_every_machine_draws_the_same_of_several_labels(seed, expected):
    labels = (np.arange(60).reshape(20, 3) * 7 % 5 < 2).astype(np.uint8)
    # The drawn positions are known in advance, so that a NumPy or a machine that draws otherwise is noticed.
    assert label_stratified(labels, 6, seed).tolist() == expected


def test_own_validation_images_are_left_alone():
    labels = np.arange(30) % 3
    data = a_data_set(labels, np.array([0, 1, 2]))
    own = replace(data, validation=data.train.part(np.arange(6)), train=data.train.part(np.arange(6, 30)))
    splits = make_splits(own, PrepareParams(source="digits", validation_fraction=0.5))
    # Nothing is held out of the training images when the source has a validation set.
    assert numbers(splits["validation"]) == list(range(6))
    assert numbers(splits["train"]) == list(range(6, 30))


@given(st.lists(st.integers(0, 40), min_size=30, max_size=150), SEEDS, st.booleans())
def test_equal_images_of_the_users_are_in_one_split(pictures, seed, several):
    # The pictures show 41 things of three classes; with several labels each shows its class and, if even, another.
    things = np.array([*pictures, *range(41)])
    labels = things % 3
    data = a_data_set(things)
    if several:
        labels = (np.eye(3)[labels] + np.eye(3)[(labels + 1) % 3] * (things % 2 == 0)[:, None]).astype(np.uint8)
    images = np.stack([things // 256, things % 256], axis=1).astype(np.uint8).reshape(-1, 1, 2, 1)
    data = replace(data, class_names=("a", "b", "c"), train=Split(images=images, labels=labels))
    splits = make_splits(data, PrepareParams(source="npz", path="own.npz", seed=seed))
    seen = {name: set(numbers(split)) for name, split in splits.items()}
    # Every picture with its copies is in one split, none is lost, and each split shows every class.
    assert not (seen["train"] & seen["validation"] or seen["train"] & seen["test"] or seen["validation"] & seen["test"])
    assert sum(map(len, splits.values())) == len(things)
    shown = [split.labels.any(axis=0).sum() if several else len(set(split.labels)) for split in splits.values()]
    assert shown == [3, 3, 3]
    # The same seed, the same splits.
    again = make_splits(data, PrepareParams(source="npz", path="own.npz", seed=seed))
    assert all(numbers(again[name]) == numbers(splits[name]) for name in SPLITS)


def test_a_built_in_set_is_split_as_ever():
    labels = np.arange(60) % 3
    data = replace(a_data_set(labels), source="digits")
    same = replace(data, train=replace(data.train, images=data.train.images // 2))
    params = PrepareParams(source="digits", seed=3)
    # Its equal images are parted as other images at their places would be: its data hash is pinned by users.
    assert all(
        (one.labels == other.labels).all() and numbers(other) == [(number // 2) for number in numbers(one)]
        for one, other in zip(make_splits(data, params).values(), make_splits(same, params).values(), strict=True)
    )

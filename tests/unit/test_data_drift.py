"""What is said of a prepared set by what was kept of an earlier one: on real digits."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from making import digit_arrays, kept_fingerprint

from cnn.commands.data_check import Finding, judged
from cnn.config.params import DataCheckParams
from cnn.data.quality.drift import compare_data, holm
from cnn.data.quality.fingerprint import Prints, together
from cnn.records import Head, Task

PARAMS = DataCheckParams()


@pytest.fixture(scope="module")
def digits():
    return digit_arrays()


@pytest.fixture
def fingerprint(tmp_path):
    return partial(kept_fingerprint, tmp_path)


def said(before, now, params=PARAMS):
    finding, sentences = judged(compare_data(before, now), params)
    return finding, " | ".join(sentences)


def _tree(*nodes):
    return Head(class_names=tuple("0123456789"), task=Task.HIERARCHICAL, ancestors=(nodes,) * 10)


def test_the_same_data_in_another_order_are_no_change(fingerprint, digits):
    images, labels = digits
    order = np.concatenate([np.arange(1197)[::-1], np.arange(1197, 1797)])
    finding, words = said(fingerprint(images, labels), fingerprint(images[order], labels[order]))
    # The hash is another one, and nothing is to be said of the images.
    assert (finding, words) == (
        Finding.CHANGED,
        "the same images with the same labels, in another order or other splits",
    )


def test_a_relabelled_class_is_named(fingerprint, digits):
    images, labels = digits
    finding, words = said(fingerprint(images, labels), fingerprint(images, np.where(labels == 3, 8, labels)))
    # A tenth of all labels: what, how many, and that it is too much.
    assert finding is Finding.FAILED
    assert "183 images relabelled: 3 -> 8 (183)" in words
    assert "10.2% of the images have another label" in words
    # The balance of the classes has moved with it.
    assert "classes of the training images" in words
    few = DataCheckParams(max_relabelled=0.2)
    assert (
        said(fingerprint(images, labels), fingerprint(images, np.where(labels == 3, 8, labels)), few)[0]
        is Finding.DRIFTED
    )


def test_removed_and_added_images_are_counted(fingerprint, digits):
    images, labels = digits
    kept = np.r_[0:900, 1000:1797]
    assert said(fingerprint(images, labels), fingerprint(images[kept], labels[kept])) == (
        Finding.CHANGED, "100 images removed",
    )  # fmt: skip
    assert said(fingerprint(images[kept], labels[kept]), fingerprint(images, labels)) == (
        Finding.CHANGED, "100 images added",
    )  # fmt: skip


def test_a_set_that_has_lost_most_of_its_images_fails(fingerprint, digits):
    images, labels = digits
    finding, words = said(fingerprint(images, labels), fingerprint(images[:800], labels[:800]))
    assert finding is Finding.FAILED
    # With the setting that says so.
    assert "800 different images where there were 1,797" in words or "data_check.least_images" in words


def test_images_without_colour_have_no_drift_of_colour(fingerprint, digits):
    images, labels = digits
    grey = np.repeat(images, 3, axis=-1)
    darker = (0.8 * grey.astype(np.float64)).astype(np.uint8)
    _, words = said(fingerprint(grey, labels), fingerprint(darker, labels))
    # What is left of three equal channels less their mean is rounding, and moves with the brightness.
    assert "brightness of" in words and "red of" not in words


def test_copies_that_come_or_go_are_counted_and_are_no_new_label(fingerprint, digits):
    images, labels = digits
    doubt = np.r_[labels[:3], (labels[:3] + 1) % 10]
    twice, doubted = np.concatenate([images[:3], images]), np.concatenate([labels[:3], labels])
    disputed = fingerprint(np.concatenate([images[:3], images[:3], images]), np.concatenate([doubt, labels]))
    # Three images that had two labels have lost one of them with a copy.
    assert said(disputed, fingerprint(twice, doubted)) == (Finding.CHANGED, "3 copies of other images removed")
    # A copy with another label than the image had is no relabelled image either.
    assert said(fingerprint(twice, doubted), disputed) == (Finding.CHANGED, "3 copies of other images added")
    changed = np.concatenate([(labels[:3] + 1) % 10, labels])
    # One of two copies that says something else now is one.
    assert compare_data(fingerprint(twice, doubted), fingerprint(twice, changed)).relabelled == 3


def test_brightness_shifted_by_a_tenth_is_a_drift(fingerprint, digits):
    images, labels = digits
    brighter = np.clip(images * 1.1, 0, 255).astype(np.uint8)
    finding, words = said(fingerprint(images, labels), fingerprint(brighter, labels))
    assert finding is Finding.DRIFTED
    # Named as what it is, with the means.
    assert "brightness of the training images: mean 0.306 before, 0.326 now" in words
    assert "classes" not in words


def test_a_class_grown_rare_is_a_drift_of_the_balance(fingerprint, digits):
    images, labels = digits
    rare = np.flatnonzero((labels != 7) | (np.arange(len(labels)) % 10 == 0))
    finding, words = said(fingerprint(images, labels), fingerprint(images[rare], labels[rare]))
    assert finding is Finding.DRIFTED
    assert "7 " in words.partition("classes of the training images")[2][:5]


def test_significant_trifles_are_no_drift(fingerprint, digits):
    images, labels = digits
    many = np.tile(images, (12, 1, 1, 1))
    trifle = np.clip(many.astype(np.int16) + 1, 0, 255).astype(np.uint8)
    before, now = fingerprint(many, np.tile(labels, 12)), fingerprint(trifle, np.tile(labels, 12))
    changes = compare_data(before, now)
    # Beyond luck, and a 255th of the range: nothing to wake anybody for.
    assert min(shift.p_value for shift in changes.shifts) < PARAMS.alpha
    assert changes.drifted(alpha=PARAMS.alpha, statistic=PARAMS.distance, balance=PARAMS.balance) == ()


def test_test_images_that_were_trained_on_are_counted(fingerprint, digits):
    images, labels = digits
    moved = np.r_[500:1797, 0:500]
    changes = compare_data(fingerprint(images, labels), fingerprint(images[moved], labels[moved]))
    # All of the new test images could be learnt from before.
    assert changes.seen_in_test == 500
    assert (changes.added, changes.removed, changes.relabelled) == (0, 0, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": tuple("012345678"), "labels": lambda labels: labels % 9}, "no longer 9"),
        ({"images": lambda images: images[:, :6]}, "images of 8x8x1 before, of 6x8x1 now"),
        ({"head": _tree("a")}, "a multiclass task before"),
    ],
)
def test_what_cannot_be_compared_fails_and_says_why(fingerprint, digits, change, words):
    images, labels = digits
    before = fingerprint(images, labels)
    changed = {name: change[name] for name in ("names", "head") if name in change}
    now = fingerprint(
        change.get("images", lambda it: it)(images), change.get("labels", lambda it: it)(labels), **changed
    )
    finding, sentence = said(before, now)
    assert finding is Finding.FAILED
    assert words in sentence


def test_another_tree_over_the_same_classes_cannot_be_compared(fingerprint, digits):
    images, labels = digits
    before, now = (fingerprint(images[: -n or None], labels[: -n or None], head=_tree(*"ab"[n:])) for n in (0, 1))
    assert said(before, now) == (Finding.FAILED, "another prepare.tree over the classes than before")


def test_of_several_labels_an_image_each_is_a_test_of_its_own(fingerprint, digits):
    images, labels = digits
    shown = np.stack([labels < 5, labels % 2 == 0, labels > 7], axis=1).astype(np.uint8)
    head = Head(class_names=("low", "even", "high"), task=Task.MULTILABEL)
    changed = shown.copy()
    changed[:, 1] = 1
    before = fingerprint(images, shown, names=head.class_names, head=head)
    changes = compare_data(before, fingerprint(images, changed, names=head.class_names, head=head))
    drifts = changes.drifted(alpha=0.01, statistic=0.1, balance=0.1)
    # Only the label that all images bear now.
    assert {shift.of for shift in drifts} == {"label even"}
    assert changes.relabelled == int((labels % 2 == 1).sum())


def test_two_halves_of_one_set_are_alike(fingerprint, digits):
    whole = fingerprint(*digits)
    everything, claims = together(whole), 0
    for seed in range(100):
        order = np.random.default_rng(seed).permutation(len(everything))
        halves = [_half(whole, everything, part) for part in np.array_split(order, 2)]
        changes = compare_data(*halves)
        claims += bool(changes.drifted(alpha=PARAMS.alpha, statistic=PARAMS.distance, balance=PARAMS.balance))
        # They have no image in common, so that nothing hides what chance does.
        assert changes.added == changes.n_now
    # Luck is called a drift in five of a hundred at most.
    assert claims <= 5


def test_few_images_of_many_unequal_classes_are_no_drift(fingerprint, digits):
    whole, claims = fingerprint(*digits), 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        shares = rng.dirichlet(np.full(10, 0.2))
        before, now = (labelled(whole, rng.choice(10, n, p=shares)) for n in (1500, 60))
        claims += any(one.p_value <= PARAMS.alpha for one in compare_data(before, now).shifts)
    # Of classes with less than an image to expect, the chi-squared distribution promises too much.
    assert claims <= 3


def test_how_far_classes_have_moved_does_not_depend_on_how_many_images_there_are(fingerprint, digits):
    whole = fingerprint(*digits)
    few, many = (np.repeat([0, 1], [n, 3 * n]) for n in (50, 5000))
    even = np.repeat([0, 1], 100)
    effects = [
        one.effect
        for before in (few, many)
        for one in compare_data(labelled(whole, before), labelled(whole, even)).shifts
        if (one.group, one.of) == ("test", "classes")
    ]
    # From a quarter to a half: the same from two hundred images and from twenty thousand.
    assert effects[0] == pytest.approx(effects[1], abs=1e-9) and effects[0] > PARAMS.balance


def labelled(whole, labels):
    """A fingerprint whose test images have these labels, and are alike but for them."""
    n = len(labels)
    digests = np.arange(16 * n, dtype=np.uint8).reshape(n, 16).view("V16")[:, 0]
    prints = Prints(digests=digests, labels=labels.astype(np.int64), statistics=np.zeros((n, 3), np.float32))
    learnt_from = replace(prints, digests=digests[:1], labels=np.zeros(1, np.int64), statistics=prints.statistics[:1])
    return replace(whole, splits={"train": learnt_from, "validation": learnt_from, "test": prints})


def _half(whole, everything, part):
    """A fingerprint of some of the images, a quarter of them for the test."""
    cut = {"train": part[:-250], "validation": part[-250:-224], "test": part[-224:]}
    splits = {
        name: Prints(
            digests=everything.digests[places],
            labels=everything.labels[places],
            statistics=everything.statistics[places],
        )
        for name, places in cut.items()
    }
    return replace(whole, splits=splits)


def test_holm_never_lowers_a_p_value_and_keeps_their_order():
    p_values = np.random.default_rng(0).uniform(size=50)
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all() and (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()
    # Bonferroni for the smallest.
    assert adjusted.min() == pytest.approx(min(1.0, 50 * p_values.min()))

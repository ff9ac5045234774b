"""What is refused before anything trains, and what the data card finds."""

import json

import numpy as np
import pytest
from rich.console import Console

from cnn.data.arrays import DataSet, Split
from cnn.data.findings import Finding, Reason
from cnn.data.quality.card import channel_moments, data_card
from cnn.data.quality.checks import check_classes, check_content, check_form, checked_images, checked_labels
from cnn.data.quality.screen import card_screen
from cnn.errors import DataError

RANDOM = np.random.default_rng(0)


def a_split(labels, *, seed=0, channels=1):
    shape = (len(labels), 4, 4, channels)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Split(images=images, labels=np.array(labels))


def a_card(splits, class_names=("a", "b")):
    data = DataSet(source="npz", place="here", class_names=class_names, train=splits["train"], test=splits["test"])
    return data_card(data, splits, "0" * 64)


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 4, 5, 1), (3, 4, 5, 3)])
def test_images_get_a_channel_axis(shape):
    images = checked_images(np.ones(shape, np.uint8), "x")
    # Grey images become (n, h, w, 1), the others stay.
    assert images.shape == (3, 4, 5, shape[3] if len(shape) == 4 else 1)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 4, 4), np.float32), r"float32 in 0 \.\. 0.*images \* 255"),
        (np.full((2, 4, 4), 7.5), r"float64 in 7\.5 \.\. 7\.5.*0 \.\. 255"),
        (np.zeros((2, 4, 4), np.int64), "int64"),
        (np.zeros((2, 4, 4), bool), "bool"),
        (np.zeros((2, 4), np.uint8), r"shape \(2, 4\)"),
        (np.zeros((2, 4, 4, 2), np.uint8), r"shape \(2, 4, 4, 2\)"),
        (np.zeros((0, 4, 4), np.uint8), r"shape \(0, 4, 4\)"),
        (np.zeros((2, 0, 4, 1), np.uint8), r"shape \(2, 0, 4, 1\)"),
    ],
)
def test_other_images_are_refused(array, words):
    # Dtype and shape are named, with the cure.
    with pytest.raises(DataError, match=words):
        checked_images(array, "x")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64])
def test_labels_become_int64(dtype):
    labels = checked_labels(np.array([[0], [2], [1]], dtype), 3, ("a", "b", "c"), "y")
    # One column is as good as a row, and any whole-number dtype does.
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.array([0.0, 1.0, 1.0]), "float64"),
        (np.array(["a", "b", "c"]), "<U1"),
        (np.array([True, False, True]), "bool"),
        (np.array([0, 1]), r"shape \(2,\)"),
        (np.eye(3, dtype=int), r"shape \(3, 3\); expected \(3,\), one label an image, or \(3, 2\) of 0 and 1"),
        (np.eye(3, dtype=int)[:, :2] * 2, r"int64 in 0 \.\. 2; expected 0 and 1"),
        (np.eye(3)[:, :2], r"float64 in 0 \.\. 1; expected 0 and 1"),
        (np.array([0, -1, -2]), r"label -1 of image 1 \(and 1 more out of range\).*0 \.\. 1"),
        (np.array([0, 1, 2]), r"label 2 of image 2 \(and 0 more"),
        (np.array([0, 1, 2**64 - 1], np.uint64), "label 18446744073709551615 of image 2"),
    ],
)
def test_other_labels_are_refused(array, words):
    # Dtype, number and range; a label out of range is shown with its place.
    with pytest.raises(DataError, match=words):
        checked_labels(array, 3, ("a", "b"), "y")


def test_several_labels_an_image_stay_columns():
    for dtype in (np.int64, np.uint8, bool):
        labels = checked_labels(np.array([[0, 1], [1, 1], [0, 0]], dtype), 3, ("a", "b"), "y")
        # Bytes of 0 and 1, whatever the dtype; an image may show none.
        assert labels.dtype == np.uint8
        assert labels.tolist() == [[0, 1], [1, 1], [0, 0]]


def test_the_form_of_the_labels_is_that_of_the_task():
    one, several = a_split([0, 1]), a_split([[0, 1], [1, 0]])
    check_form(one, multilabel=False)
    check_form(several, multilabel=True)
    # Either way round it is said what was found and what the task expects.
    with pytest.raises(DataError, match=r"received labels of shape \(2, 2\).* change the labels or prepare\.task"):
        check_form(several, multilabel=False)
    with pytest.raises(DataError, match=r"received labels of shape \(2,\)"):
        check_form(one, multilabel=True)


def test_the_card_counts_every_label_an_image_shows():
    train = a_split([[1, 0], [1, 1], [1, 0], [0, 0]], seed=1)
    test = a_split([[1, 1], [0, 1]], seed=2)
    test.images[1] = train.images[1]
    card = a_card({"train": train, "test": test})
    # An image counts for each of its labels, and one without any for none.
    assert card.splits["train"].n_images_by_class == {"a": 3, "b": 1}
    assert card.imbalance == 3.0
    # The same image with other labels is a conflict.
    assert card.n_conflicting == 1


def test_the_card_names_what_was_left_out():
    splits = {"train": a_split([0, 1] * 20, seed=1), "test": a_split([0, 1], seed=2)}
    data = DataSet(source="folder", place="here", class_names=("a", "b"), train=splits["train"], test=splits["test"])
    found = [Finding(path=f"{n}.png", split="train", reason=Reason.EMPTY, detail="0 bytes") for n in range(3)]
    card = data_card(data, splits, "0" * 64, found)
    # By reason, in the file and among the warnings on the screen.
    assert card.document()["left_out"] == {"empty file": 3}
    assert card.warnings == ("left out: 3 empty file",)


def test_without_class_names_a_label_cannot_exceed_the_number_of_images():
    # A class number that would leave empty classes behind for sure is out of range.
    with pytest.raises(DataError, match=r"label 9 of image 0 .*0 \.\. 2"):
        checked_labels(np.array([9, 0, 1]), 3, (), "y")


def test_images_of_one_colour_only_are_refused():
    black = Split(images=np.zeros((3, 4, 4, 1), np.uint8), labels=np.array([0, 1, 0]))
    # Nothing can be learnt from them.
    with pytest.raises(DataError, match="3 images of one colour, the first all 0"):
        check_content(black, "train")
    # One real picture among them is enough to go on.
    black.images[1, 0, 0] = 9
    check_content(black, "train")


@pytest.mark.parametrize(
    ("train", "test", "names", "words"),
    [
        ([0, 0, 1], [0, 1], ("a", "b", "c"), r"class 2 \(c\): received no image"),
        ([0, 0, 1], [0, 0], ("a", "b"), r"class 1 \(b\): received 1 images in all, none in test"),
        ([0, 0, 0], [0, 0], ("a",), "one class"),
    ],
)
def test_a_class_without_images_is_named(train, test, names, words):
    # Each class must be in each split, and there must be something to tell apart.
    with pytest.raises(DataError, match=words):
        check_classes({"train": a_split(train), "test": a_split(test)}, names)


@pytest.mark.parametrize("channels", [1, 3])
def test_channel_moments_are_numpys(channels):
    images = RANDOM.integers(0, 256, (5000, 3, 4, channels), dtype=np.uint8)
    means, sds = channel_moments(images)
    # The histograms give the same figures as the formulas.
    assert means == pytest.approx((images / 255).mean(axis=(0, 1, 2)), abs=1e-6)
    assert sds == pytest.approx((images / 255).std(axis=(0, 1, 2)), abs=1e-6)


def test_the_card_counts_images_and_duplicates():
    train, test = a_split([0, 1, 0, 1, 0], seed=1), a_split([0, 1, 1], seed=2)
    test.images[1] = train.images[3]
    test.images[2] = train.images[0]
    train.images[4] = train.images[0]
    card = a_card({"train": train, "test": test})
    # Counts by split and class.
    assert card.splits["train"].n_images_by_class == {"a": 3, "b": 2}
    assert card.splits["test"].n_images == 3
    assert card.imbalance == 1.5
    # Images of test that stand in train, with the first position of each; and one repeated within train.
    (shared,) = card.shared
    assert (shared.first, shared.second, shared.n_images) == ("train", "test", 2)
    assert shared.examples == ((3, 1), (0, 2))
    assert (card.splits["train"].n_repeated, card.splits["test"].n_repeated) == (1, 0)
    # Image 2 of test bears another label than its twin in train.
    assert card.n_conflicting == 1
    assert len(card.warnings) == 3


def test_clean_data_give_no_warning_and_odd_data_one_each():
    clean = {"train": a_split([0, 1] * 20, seed=1), "test": a_split([0, 1], seed=2)}
    # Nothing to say of clean data.
    assert a_card(clean).warnings == ()
    odd = {"train": a_split([0] * 40 + [1], seed=1), "test": a_split([0, 1], seed=2)}
    odd["train"].images[0] = 7
    odd["test"].images[:] //= 128
    # Imbalance, an image of one colour, values that look scaled: each is said.
    assert [line.split()[0] for line in a_card(odd).warnings] == ["the", "1", "no"]


def test_the_card_is_json_and_its_screen_shows_what_matters():
    splits = {"train": a_split([0, 1] * 20, seed=1), "test": a_split([0, 1], seed=1)}
    card = a_card(splits, ("cat [1]", "dog"))
    console = Console(width=100)
    with console.capture() as captured:
        console.print(card_screen(card, "the shelf"))
    # The file keeps every figure.
    assert json.loads(json.dumps(card.document()))["splits"]["train"]["n_images_by_class"] == {"cat [1]": 20, "dog": 20}
    # The screen shows classes, place, shape and the warning; brackets in a name are no markup.
    for word in ("cat [1]", "the shelf", "4 x 4 x 1", "! 2 images of test also stand in train"):
        assert word in captured.get()


def test_many_classes_do_not_fill_the_screen():
    names = tuple(f"class{number}" for number in range(100))
    card = a_card({"train": a_split(list(range(100)), seed=1), "test": a_split(list(range(100)), seed=2)}, names)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(card_screen(card, "here"))
    # Twenty are shown, the rest counted.
    assert "class19" in captured.get()
    assert "class20" not in captured.get()
    assert "and 80 more" in captured.get()

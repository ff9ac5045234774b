"""Classes that cannot be split, and sources that are no pictures."""

from dataclasses import replace

import numpy as np
import pytest

from cnn.config.preparing import PrepareParams
from cnn.data.arrays import DataSet, Split
from cnn.data.findings import Finding, Reason
from cnn.data.quality.cleaning import cleaned, without_small_classes, write_bad_files
from cnn.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (60, 6, 6, 1), dtype=np.uint8)


def a_split(labels, start=0):
    labels = np.array(labels)
    names = np.array([f"{number}.png" for number in range(start, start + len(labels))], dtype=object)
    return Split(images=IMAGES[start : start + len(labels)], labels=labels, names=names)


def a_data_set(train, **splits):
    return DataSet(source="folder", place="", class_names=("a", "b", "c"), train=train, **({"test": None} | splits))


def test_a_class_must_be_enough_for_the_splits_that_are_made_of_it():
    whole = a_data_set(a_split([0] * 9 + [1] * 3 + [2] * 2))
    data, findings = without_small_classes(whole)
    # Three images can be in three splits, two cannot: the class goes, and the others keep their numbers.
    assert data.class_names == ("a", "b")
    assert data.train.labels.tolist() == [0] * 9 + [1] * 3
    assert [(finding.path, finding.reason, finding.detail) for finding in findings] == [
        ("c", Reason.FEW_IMAGES, "2 images in train, 3 or more are needed")
    ]
    # With a test set of its own two are enough.
    assert without_small_classes(a_data_set(a_split([0, 0, 1, 1, 2, 2]), test=a_split([0, 1, 2], 30)))[1] == []


def test_classes_behind_a_dropped_one_are_numbered_anew():
    data, _ = without_small_classes(a_data_set(a_split([0] * 3 + [1] + [2] * 3), test=a_split([2, 0, 1], 30)))
    # Label 2 is the second class now, in every split; names stay with their images.
    assert data.class_names == ("a", "c")
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test.labels.tolist() == [1, 0]
    assert data.test.names.tolist() == ["30.png", "31.png"]


def test_a_class_that_a_given_split_lacks_cannot_be_judged():
    given = a_data_set(a_split([0, 0, 1, 1, 2, 2]), test=a_split([0, 1], 30))
    # It is named with the split that lacks it.
    assert [(finding.path, finding.split) for finding in without_small_classes(given)[1]] == [("c", "test")]


def test_of_several_labels_only_the_small_one_goes():
    labels = np.array([[1, 0, 0], [1, 1, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1]] * 2, np.uint8)
    labels[5:, 2] = 0
    data, findings = without_small_classes(a_data_set(a_split(labels)))
    # The images stay, for they show others as well.
    assert data.class_names == ("a", "b")
    assert (data.train.labels == labels[:, :2]).all()
    assert [finding.path for finding in findings] == ["c"]


def test_arrays_are_split_and_nothing_else(tmp_path):
    split = Split(images=IMAGES, labels=np.arange(60) % 3)
    clean = cleaned(a_data_set(split), PrepareParams(source="digits"), tmp_path)
    # A source without files has no files to leave out, and writes no list.
    assert sum(map(len, clean.splits.values())) == 60
    assert clean.left_out == ()
    assert list(tmp_path.iterdir()) == []


def test_leaving_out_takes_from_training_not_from_the_test_set(tmp_path):
    train, test = a_split(np.arange(30) % 3), a_split(np.arange(9) % 3, 40)
    test.images[4] = train.images[7]
    params = PrepareParams(source="folder", path="own", on_bad="skip")
    clean = cleaned(a_data_set(train, test=test), params, tmp_path)
    assert [(finding.path, finding.detail) for finding in clean.left_out] == [("7.png", "44.png in test")]
    # The test set is whole, and the image is in no other split.
    assert len(clean.splits["test"]) == 9
    assert "7.png" not in [*clean.splits["train"].names, *clean.splits["validation"].names]
    with pytest.raises(DataError, match="1 same image in two splits"):
        cleaned(a_data_set(train, test=test), params.model_copy(update={"on_bad": "fail"}), tmp_path)


def test_a_name_that_is_no_text_can_be_listed(tmp_path):
    finding = Finding(path=b"a/\xff,\n.png".decode(errors="surrogateescape"), split="", reason=Reason.EMPTY, detail="")
    write_bad_files(tmp_path / "bad.csv", [finding])
    # A file name is any bytes; the list is UTF-8 all the same.
    assert (tmp_path / "bad.csv").read_text(encoding="utf-8").splitlines()[1:] == ['"a/\\udcff,', '.png",,empty file,']


def test_pictures_of_other_sizes_are_brought_to_one_not_left_out(tmp_path):
    other, torn = (
        Finding(path=f"{reason}.png", split="", reason=reason, detail="")
        for reason in (Reason.OTHER_SIZE, Reason.EMPTY)
    )
    params = PrepareParams(source="folder", path="own")
    for found, words in (((other,), "height, width], to which"), ((other, torn), "then mend the others")):
        data = replace(a_data_set(a_split(np.arange(30) % 3)), findings=found)
        with pytest.raises(DataError, match=r"set prepare\.images\.size to") as caught:
            cleaned(data, params, tmp_path)
        # The key that cures it, and no advice to throw the pictures away.
        assert words in str(caught.value)
        assert "on_bad" not in str(caught.value)


def test_one_bad_file_is_one_file(tmp_path, capsys):
    finding = Finding(path="a.png", split="", reason=Reason.EMPTY, detail="")
    data = replace(a_data_set(a_split(np.arange(30) % 3)), findings=(finding,))
    cleaned(data, PrepareParams(source="folder", path="own", on_bad="skip"), tmp_path)
    assert "left out: 1 bad file, listed" in capsys.readouterr().out

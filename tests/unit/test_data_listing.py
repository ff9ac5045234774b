"""Folders and manifests to listings: what each picture shows, and what is bad before any is opened."""

import numpy as np
import pytest
from making import write_csv

from cnn.config.preparing import PrepareParams
from cnn.data.findings import Reason
from cnn.data.pictures.folder import folder_listing
from cnn.data.pictures.manifest import csv_listing
from cnn.errors import DataError


def a_folder(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def of_folder(root, **keys):
    return folder_listing(root, PrepareParams(source="folder", path=str(root), **keys))


def of_csv(file, **keys):
    return csv_listing(file, PrepareParams(source="csv", path=str(file), **keys))


def rows(listing):
    return list(zip(listing.names.tolist(), listing.labels.tolist(), listing.splits.tolist(), strict=True))


def findings(listing):
    return {finding.path: (finding.split, finding.reason) for finding in listing.findings}


def test_class_folders_alone(tmp_path):
    listing = of_folder(a_folder(tmp_path, "dog/2.png", "cat/1.png", "cat/deep/er/0.png"))
    # Classes in order, names in order, folders within a class belong to it.
    assert listing.class_names == ("cat", "dog")
    assert rows(listing) == [("cat/1.png", 0, ""), ("cat/deep/er/0.png", 0, ""), ("dog/2.png", 1, "")]
    assert listing.findings == ()


@pytest.mark.parametrize("word", ["val", "validation", "Valid"])
def test_split_folders(tmp_path, word):
    root = a_folder(tmp_path, "train/a/1.png", "train/b/1.png", f"{word}/a/1.png", "test/b/1.png")
    # Each is in the split whose word its folder bears.
    assert sorted(split for _, _, split in rows(of_folder(root))) == ["test", "train", "train", "validation"]


def test_numbered_classes_come_in_their_order(tmp_path):
    # Ten after nine, as numbers have it.
    assert of_folder(a_folder(tmp_path, "10/a.png", "9/a.png", "2/a.png")).class_names == ("2", "9", "10")


def test_what_belongs_to_no_class_is_found(tmp_path):
    root = a_folder(tmp_path, "train/a/1.png", "train/b/2.png", "train/x.png", "notes.txt", "other/a/1.png")
    a_folder(root, "test/a/1.png", "test/c/9.png")
    assert findings(of_folder(root)) == {
        "notes.txt": ("", Reason.STRAY),
        "other/a/1.png": ("", Reason.STRAY),
        "train/x.png": ("train", Reason.STRAY),
        "test/c/9.png": ("test", Reason.UNKNOWN_LABEL),
    }
    # The others are listed all the same.
    assert len(rows(of_folder(root))) == 3


def test_the_classes_can_be_named_in_their_order(tmp_path):
    root = a_folder(tmp_path, "ham/1.png", "eggs/1.png", "spam/1.png")
    listing = of_folder(root, classes=["spam", "ham"])
    # The order is the user's, and what is not named is unknown.
    assert rows(listing) == [("ham/1.png", 1, ""), ("spam/1.png", 0, "")]
    assert findings(listing) == {"eggs/1.png": ("", Reason.UNKNOWN_LABEL)}


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = a_folder(tmp_path / "root", "a/1.png", "b/1.png")
    a_folder(tmp_path / "far", "2.png")
    (root / "a/far").symlink_to(tmp_path / "far")
    (root / "a/up").symlink_to(root)
    listing = of_folder(root)
    # The far folder's picture is there, the way back up is a finding and no endless walk.
    assert [name for name, _, _ in rows(listing)] == ["a/1.png", "a/far/2.png", "b/1.png"]
    assert findings(listing) == {"a/up": ("", Reason.LINK_LOOP)}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["test/a/1.png", "val/a/1.png"], "received test and val without train"),
        (["1.png"], "received no folder of a class"),
        (["a\nb/1.png", "c/1.png"], "received the class 'a.nb'; expected printable names"),
        ([b"\xff/1.png".decode(errors="surrogateescape")], "expected printable names"),
    ],
)
def test_folders_without_classes_to_train_on(tmp_path, names, words):
    with pytest.raises(DataError, match=words):
        of_folder(a_folder(tmp_path, *names))


def test_a_manifest_in_any_order_gives_the_same_listing(tmp_path):
    lines = [["b.png", "cat"], ["sub/../a.png", "dog"], ["/far/c.png", "cat"]]
    one = of_csv(write_csv(tmp_path / "one.csv", ["path", "label"], lines))
    two = of_csv(write_csv(tmp_path / "two.csv", ["path", "label"], lines[::-1]))
    # By the order of the paths, which are relative to the manifest or absolute.
    assert rows(one) == rows(two) == [("/far/c.png", 0, ""), ("a.png", 1, ""), ("b.png", 0, "")]
    assert one.path(0).as_posix() == "/far/c.png"
    assert one.path(1) == tmp_path / "a.png"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_the_usual_kinds_of_tables(tmp_path, delimiter, encoding):
    file = tmp_path / "m.csv"
    text = "file,kind,part\nä.png,cat,Train\nb.png,dog,VAL\nc.png,dog,training\n"
    file.write_text(text.replace(",", delimiter), encoding=encoding)
    listing = of_csv(file, csv={"path": "file", "label": "kind", "split": "part"})
    # Comma, semicolon, tab; with the mark that Excel writes; columns by other names; splits in any case.
    assert rows(listing) == [("b.png", 1, "validation"), ("c.png", 1, "train"), ("ä.png", 0, "train")]


def test_what_is_bad_in_a_row_is_found(tmp_path):
    lines = [["1.png", "a", "train"], ["2.png", "b", "train"], ["1.png", "b", "train"], ["3.png", " ", "train"]]
    lines += [["4.png", "c", "test"], ["5.png", "a", "later"], ["", "a", "train"], ["6.png"]]
    listing = of_csv(write_csv(tmp_path / "m.csv", ["path", "label", "split"], lines))
    assert findings(listing) == {
        "1.png": ("train", Reason.LISTED_TWICE),
        "3.png": ("train", Reason.BAD_LABEL),
        "4.png": ("test", Reason.UNKNOWN_LABEL),
        "5.png": ("", Reason.UNKNOWN_SPLIT),
        "": ("train", Reason.MISSING),
        "6.png": ("", Reason.UNKNOWN_SPLIT),
    }
    # Each says in which line; the rest is listed.
    assert all(finding.detail.startswith("line ") for finding in listing.findings)
    assert [name for name, _, _ in rows(listing)] == ["1.png", "2.png"]


def test_labels_in_one_column(tmp_path):
    file = write_csv(
        tmp_path / "m.csv", ["path", "label"], [["1.png", "sun|sea"], ["2.png", ""], ["3.png", "sea | fog"]]
    )
    listing = of_csv(file, task="multilabel")
    # Any number of them, none included.
    assert listing.class_names == ("fog", "sea", "sun")
    assert listing.labels.tolist() == [[0, 1, 1], [0, 0, 0], [1, 1, 0]]
    assert listing.labels.dtype == np.uint8


def test_a_column_a_label(tmp_path):
    lines = [["1.png", "1", "0", "train"], ["2.png", "0", "1", "train"], ["3.png", "0", "maybe", "train"]]
    file = write_csv(tmp_path / "m.csv", ["path", "sun", "sea", "split"], lines)
    listing = of_csv(file, task="multilabel")
    # All columns but path and split are labels, in their order; a value that is neither 0 nor 1 is found.
    assert listing.class_names == ("sun", "sea")
    assert listing.labels.tolist() == [[1, 0], [0, 1]]
    assert findings(listing) == {"3.png": ("train", Reason.BAD_LABEL)}
    assert "column sea has 'maybe'" in listing.findings[0].detail
    # Some of the columns, if they are named.
    assert of_csv(file, task="multilabel", csv={"labels": ["sea"]}).class_names == ("sea",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("path,kind\na.png,b\n", "received the columns path, kind; expected one named label"),
        ("path,label,label\na.png,b,c\n", "two columns of one name"),
        ("path,label\n", "received no row to train on"),
        ("", "received a file with an empty first line"),
        (b"path,label\n\xff\xfe.png,b\n", "no text table"),
        ("path,label\n" + "x" * 200_000 + ",b\n", "no text table"),
    ],
)
def test_a_manifest_that_is_none(tmp_path, content, words):
    file = tmp_path / "m.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    # One line that names the file and what is missing in it.
    with pytest.raises(DataError, match=words) as caught:
        of_csv(file)
    assert str(caught.value).startswith(str(file))


def test_no_such_place(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        of_folder(tmp_path / "none")
    with pytest.raises(DataError, match="No such file"):
        of_csv(tmp_path / "none.csv")


def test_a_place_of_the_other_kind_names_its_source(tmp_path):
    file = write_csv(tmp_path / "m.csv", ["path", "label"], [["1.png", "a"]])
    # A manifest where a folder is expected, and the other way round: the cure is the source.
    with pytest.raises(DataError, match=r"received a file; .* set prepare\.source to csv"):
        of_folder(file)
    with pytest.raises(DataError, match=r"received a folder; .* set prepare\.source to folder"):
        of_csv(tmp_path)


def test_a_column_of_splits_that_was_named_must_be_there(tmp_path):
    lines = [["1.png", "a", "train"], ["2.png", "b", "val"]]
    file = write_csv(tmp_path / "m.csv", ["path", "label", "part"], lines)
    with pytest.raises(DataError, match="received the columns path, label, part; expected one named fold"):
        of_csv(file, csv={"split": "fold"})
    # The default name binds nobody: a table without it has no splits.
    assert [split for _, _, split in rows(of_csv(file))] == ["", ""]


def test_what_systems_leave_in_folders_is_passed_over(tmp_path):
    root = a_folder(tmp_path, "a/1.png", "b/1.png", ".DS_Store", "a/Thumbs.db", "b/desktop.ini", "a/deep/.DS_Store")
    listing = of_folder(root)
    # They are no pictures and no fault of the user's.
    assert [name for name, _, _ in rows(listing)] == ["a/1.png", "b/1.png"]
    assert listing.findings == ()
    # Another file that belongs to no class is still found.
    assert list(findings(of_folder(a_folder(root, "notes.txt")))) == ["notes.txt"]

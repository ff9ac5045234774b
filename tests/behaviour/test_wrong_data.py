"""A user's mistakes with data: each ends in one line that names the place and the cure."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.errors import DataError, IntegrityError, SourceError, StorageError, UserError
from cnn.steps.prepare import prepare

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4


def run(tmp_path, **keys):
    space = {"model.filters": {"type": "int", "low": 8, "high": 16}}
    document = {"prepare": keys, "search": {"space": space, "budget": {"trials": 1}}}
    return prepare(Params.model_validate(document), Environment(home=tmp_path / "home"), tmp_path / "prepared")


def refused(tmp_path, kind, **keys):
    """The one line of the refusal; nothing was prepared."""
    with pytest.raises(UserError) as caught:
        run(tmp_path, **keys)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert "\n" not in line
    assert not (tmp_path / "prepared/manifest.json").exists()
    return line


def of_npz(tmp_path, kind=DataError, **arrays):
    np.savez(tmp_path / "own.npz", **arrays)
    return refused(tmp_path, kind, source="npz", path=str(tmp_path / "own.npz"))


def mixed_images():
    images = np.empty(40, dtype=object)
    images[:] = [np.zeros((6 + number % 2, 6, 3), np.uint8) for number in range(40)]
    return images


CASES = {
    "a negative label": ({"labels": LABELS - 1}, "labels: received label -1 of image 0"),
    "a label beyond the names": ({"class_names": np.array(["a", "b", "c"])}, "label 3 of image 3 .*expected 0 .. 2"),
    "labels that are words": ({"labels": np.array(["cat"] * 40)}, "labels: received <U3"),
    "labels that are fractions": ({"labels": LABELS / 2}, "labels: received float64"),
    "one label too few": ({"labels": LABELS[1:]}, r"labels: received shape \(39,\); expected \(40,\)"),
    "images of mixed shape": ({"images": mixed_images()}, "images: .*images of mixed shape"),
    "images in fractions": ({"images": IMAGES / 255}, r"images: received float64 in .*images \* 255"),
    "four channels": ({"images": np.zeros((40, 6, 6, 4), np.uint8)}, r"shape \(40, 6, 6, 4\)"),
    "black images": ({"images": np.zeros((40, 6, 6), np.uint8)}, "of one colour"),
    "labels from 1": ({"labels": LABELS + 1}, "labels: received labels from 1 to 4; expected labels that count from 0"),
    "an empty class": ({"labels": np.where(LABELS == 2, 1, LABELS)}, r"class 2 \(2\): received no image"),
    "a named class without images": ({"class_names": np.array(list("abcde"))}, r"class 4 \(e\): received no image"),
    "a class too small to be split": ({"labels": np.where(np.arange(40) == 7, 1, 0)}, r"class 1 \(1\): received 1 im"),
    "one class": ({"labels": np.zeros(40, int)}, "received one class"),
    "names given twice": ({"class_names": np.array(["a", "b", "b", "d"])}, "class_names: received"),
}


@pytest.mark.parametrize("case", CASES)
def test_arrays_that_cannot_be_trained_on(tmp_path, case):
    changed, words = CASES[case]
    line = of_npz(tmp_path, **({"images": IMAGES, "labels": LABELS} | changed))
    # The line names what is wrong in words a person can act on.
    assert re.search(words, line), line


@pytest.mark.parametrize("keys", [{}, {"x_train": IMAGES}, {"images": IMAGES}, {"x": IMAGES, "y": LABELS}])
def test_missing_arrays_are_named(tmp_path, keys):
    # What is missing, what is there, and which names would do.
    assert "expected x_train and y_train" in of_npz(tmp_path, **keys)


def test_a_test_set_must_match_the_training_set(tmp_path):
    own = {"x_train": IMAGES, "y_train": LABELS}
    # Half a test set, another image shape, a class that training never shows.
    assert "received no y_test" in of_npz(tmp_path, **own, x_test=IMAGES)
    assert "x_test: received (5, 6, 3)" in of_npz(tmp_path, **own, x_test=IMAGES[:, :5], y_test=LABELS)
    assert "label 4 of image 0" in of_npz(tmp_path, **own, x_test=IMAGES, y_test=LABELS + 4)


def test_several_labels_an_image_belong_to_their_task(tmp_path):
    several = np.eye(4, dtype=np.uint8)[LABELS]
    # Columns of 0 and 1 without the task, and the task without them; a test set of the other kind.
    assert "received labels of shape (40, 4)" in of_npz(tmp_path, images=IMAGES, labels=several)
    np.savez(tmp_path / "own.npz", images=IMAGES, labels=LABELS)
    line = refused(tmp_path, DataError, source="npz", path=str(tmp_path / "own.npz"), task="multilabel")
    assert "expected (n, k) of 0 and 1 with prepare.task multilabel" in line
    given = {"x_train": IMAGES, "y_train": several, "x_test": IMAGES, "y_test": LABELS}
    assert "y_test: received shape (40,); expected labels like those of y_train" in of_npz(tmp_path, **given)


@pytest.mark.parametrize("content", [b"no npz at all", b"\x89PNG\r\n", b""])
def test_a_file_that_is_no_npz(tmp_path, content):
    (tmp_path / "own.npz").write_bytes(content)
    # Any other file is refused by its path, and a pickle is never opened.
    assert "own.npz: received no .npz file" in refused(
        tmp_path, DataError, source="npz", path=str(tmp_path / "own.npz")
    )


def test_a_torn_npz(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    # A flipped byte inside is noticed by the archive's own checksum.
    assert "own.npz: received a torn file" in refused(tmp_path, IntegrityError, source="npz", path=str(path))


def npy(header):
    """An array's file with this header, whatever it says, and no content."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


UNREADABLE = {
    "terabytes": (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000000, 32, 32)}"), "Unable to alloc"),
    "no end": (npy("{'descr': '|u1', 'fortran_order': False, 'shape': (40, 6, 6"), "what numpy cannot read"),
    "no header": (npy("\\"), "received"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_an_npz_whose_header_is_none(tmp_path, case):
    content, words = UNREADABLE[case]
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content)
    # The archive is whole, what stands in it is no array: one line, not numpy's traceback.
    line = refused(tmp_path, DataError, source="npz", path=str(path))
    assert "own.npz" in line and words in line


# Byte 6 of a member's own header, byte 8 of its entry in the directory: flags; two bytes on: the way of packing.
@pytest.mark.parametrize(("offset", "value", "words"), [(0, 1, "is encrypted"), (2, 97, "compression")])
def test_an_npz_of_another_program(tmp_path, offset, value, words):
    path = tmp_path / "own.npz"
    np.savez(path, images=IMAGES)
    content = bytearray(path.read_bytes())
    content[6 + offset] = content[content.index(b"PK\x01\x02") + 8 + offset] = value
    path.write_bytes(content)
    # A password or a packing that Python does not know: the file is named, and how to save it.
    line = refused(tmp_path, DataError, source="npz", path=str(path))
    assert re.search(rf"own\.npz: received what numpy cannot read .*{words}.*save it with numpy\.savez", line), line


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_torn_npz_of_another_packing(tmp_path, packing):
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("images.npy", RANDOM.bytes(2000))
    content = bytearray(path.read_bytes())
    content[60:100] = bytes(40)
    path.write_bytes(content)
    assert "own.npz: received a torn file" in refused(tmp_path, IntegrityError, source="npz", path=str(path))


def test_a_zip_behind_other_bytes(tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    path.write_bytes(b"\x00" + path.read_bytes())
    # Python finds the archive behind them, numpy would take it for a pickle.
    assert "received no .npz file" in refused(tmp_path, DataError, source="npz", path=str(path))


@pytest.mark.parametrize("keys", [{}, {"train_limit": 2}])
def test_too_few_images_to_train_on(tmp_path, keys):
    arrays = {"x_train": IMAGES[:3], "y_train": np.arange(3)}
    if keys:  # a test set of its own, and all that is kept goes to validation
        arrays |= {"x_test": IMAGES[:3], "y_test": np.arange(3)}
    np.savez(tmp_path / "own.npz", **arrays)
    line = refused(tmp_path, DataError, source="npz", path=str(tmp_path / "own.npz"), **keys)
    # Every class has an image in the part held out first, and nothing is left for what comes next.
    taker = "validation" if keys else "test"
    assert f"and the {taker} set takes all of them; expected some left to train on" in line


def test_no_file(tmp_path):
    # The path is named, and the key to change.
    line = refused(tmp_path, DataError, source="npz", path=str(tmp_path / "none.npz"))
    assert "none.npz: received no such file" in line
    assert "prepare.path" in line


def test_a_picture_in_a_mirror_that_is_no_image(tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in (*(f"data_batch_{number}.png" for number in range(1, 6)), "test_batch.png"):
        (mirror / name).write_bytes(b"<html>not found</html>")
    for name in ("train_lables.json", "test_lables.json"):
        (mirror / name).write_text(json.dumps([0]))
    line = refused(tmp_path, DataError, source="cifar10", path=str(mirror))
    # Set, place and file are named.
    assert f"cifar10 from path {mirror}: data_batch_1.png: received no image" in line


@pytest.mark.parametrize("source", ["cifar10", "fashion_mnist", "mnist"])
def test_no_network_and_no_mirror(tmp_path, source, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    line = refused(tmp_path, SourceError, source=source)
    # Every place with its reason, and how to do without them.
    assert f"prepare.source {source}: received nothing from https://" in line
    assert "no connection" in line
    assert "is not installed" in line
    assert "set prepare.path" in line


def own_npz(tmp_path):
    np.savez(tmp_path / "own.npz", images=IMAGES, labels=LABELS)
    return {"source": "npz", "path": str(tmp_path / "own.npz")}


def test_a_file_where_the_folder_belongs(tmp_path):
    (tmp_path / "prepared").write_text("mine")
    with pytest.raises(StorageError, match="a file where a folder belongs") as caught:
        run(tmp_path, **own_npz(tmp_path))
    # The path is named, and the file still there.
    assert str(tmp_path / "prepared") in str(caught.value)
    assert (tmp_path / "prepared").read_text() == "mine"


def test_a_download_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "home").write_text("mine")
    # The cache's place is named before anything is downloaded.
    assert "home" in refused(tmp_path, StorageError, source="mnist")


MOUNTED = """
import sys
import zipfile
from pathlib import Path
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.errors import UserError
from cnn.steps.prepare import prepare
folder, source = Path(sys.argv[1]), sys.argv[2]
space = {"model.filters": {"type": "int", "low": 8, "high": 16}}
keys = {"source": "npz", "path": source}
params = Params.model_validate({"prepare": keys, "search": {"space": space, "budget": {"trials": 1}}})
try:
    prepare(params, Environment(home=folder), folder / "prepared")
except UserError as error:
    print(type(error).__name__, error)
print(sorted(path.name for path in folder.rglob("*.*")))
"""


def in_mount(options, folder, source):
    """Run the step in a file system of its own, in a namespace of its own; skipped where that isn't allowed."""
    folder.mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs {folder}"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, mount], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    command = [*unshare, f'{mount} && exec "$@"', "sh", sys.executable, "-c", MOUNTED, str(folder), source]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.slow
@pytest.mark.parametrize(("options", "words"), [("size=16k", "a full disk"), ("ro", "a read-only file system")])
def test_a_disk_that_takes_nothing(tmp_path, options, words):
    images = RANDOM.integers(0, 256, (4000, 6, 6, 3), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(4000) % 4)
    refusal, left = in_mount(options, tmp_path / "disk", str(tmp_path / "own.npz")).splitlines()
    # One line that says why, and neither a half-written file nor a manifest is left.
    assert refusal.startswith("StorageError")
    assert words in refusal
    assert left == "[]"

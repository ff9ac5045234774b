"""Prepared arrays: what is written reads back, and damage is named."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.preparing import PrepareParams
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import open_test, open_training, read_prepared, write_prepared
from cnn.durable import read_sealed, write_sealed
from cnn.errors import ConfigError, IntegrityError
from cnn.steps.prepare import prepare

FILES = [f"{split}/{part}.npy" for split in ("train", "validation", "test") for part in ("images", "labels")]


def a_split(n, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, 4, 5, 3), dtype=np.uint8)
    return Split(images=images, labels=np.arange(n, dtype=np.uint8) % 2)


def write_set(folder, seed=0):
    splits = {"train": a_split(20, seed), "validation": a_split(6, seed + 1), "test": a_split(8, seed + 2)}
    data = DataSet(source="npz", place="", class_names=("a", "b"), train=splits["train"], test=splits["test"])
    return splits, write_prepared(folder, data, splits)


def test_what_is_written_reads_back(tmp_path):
    splits, written = write_set(tmp_path)
    prepared = read_prepared(tmp_path)
    train, validation = open_training(prepared)
    # The manifest says what was written.
    assert prepared == written
    assert prepared.image_shape == (4, 5, 3)
    assert prepared.class_names == ("a", "b")
    assert prepared.n_images == {"train": 20, "validation": 6, "test": 8}
    assert sorted(prepared.files) == sorted(FILES)
    # The arrays are the same, images uint8 and mapped read-only, labels int64.
    for got, want in zip((train, validation, open_test(prepared)), splits.values(), strict=True):
        assert isinstance(got.images, np.memmap)
        assert not got.images.flags.writeable
        assert (got.images == want.images).all()
        assert (got.labels == want.labels).all()
        assert (got.images.dtype, got.labels.dtype) == (np.uint8, np.int64)


def test_names_of_files_stay_with_their_images(tmp_path):
    splits, unnamed = write_set(tmp_path)
    # Arrays have no names.
    assert open_test(unnamed).names is None
    files = {
        name: np.array([f"{name}/ä{n}\udcff.png" for n in range(len(split))], dtype=object)
        for name, split in splits.items()
    }
    named_splits = {name: replace(split, names=files[name]) for name, split in splits.items()}
    data = DataSet(source="folder", place="", class_names=("a", "b"), train=named_splits["train"], test=None)
    named = write_prepared(tmp_path, data, named_splits)
    # Each image has its own, a byte that is no letter written out; renaming images does not make them others.
    assert open_test(named).names.tolist() == [f"test/ä{n}\\udcff.png" for n in range(8)]
    assert len(open_training(named)[0].names) == 20
    assert (named.data_hash, named.test_hash) == (unnamed.data_hash, unnamed.test_hash)
    names = tmp_path / "test" / "names.json"
    names.write_text(names.read_text().replace("ä3", "ä4"))
    # An edited list is no list.
    with pytest.raises(IntegrityError, match=r"names\.json"):
        open_test(named)
    # Nor do those of pictures stay beside arrays that take their place.
    assert open_test(write_set(tmp_path)[1]).names is None


def section(**changes):
    return PrepareParams.model_validate({"source": "folder", "path": "pictures", "task": "multiclass"} | changes)


def made_by(folder, settings):
    split = a_split(8)
    data = DataSet(source="folder", place="", class_names=("a", "b"), train=split, test=split)
    return write_prepared(folder, data, dict.fromkeys(("train", "validation", "test"), split), settings=settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "digits", "path": None}, "received folder (pictures); expected digits, which"),
        ({"path": "others"}, "received folder (pictures); expected folder (others), which"),
        ({"seed": 1}, "received images made with prepare.seed 0; expected 1, as"),
        ({"train_limit": 5}, "received images made with prepare.train_limit None; expected 5, as"),
        ({"task": "binary"}, "received images made with prepare.task multiclass; expected binary, as"),
        ({"on_bad": "skip"}, "received images made with prepare.on_bad fail; expected skip, as"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_images_that_other_settings_made_are_refused(tmp_path, changes, words):
    made_by(tmp_path, section())
    with pytest.raises(ConfigError, match="run cnn prepare") as caught:
        read_prepared(tmp_path, section(**changes))
    # What lies there and what the settings name: a model of the wrong images looks like one of the right ones.
    assert words in str(caught.value)


def test_images_that_these_settings_made_are_taken(tmp_path):
    made_by(tmp_path, section())
    # The same place written otherwise, and columns of a table that a folder has none of.
    for changes in ({}, {"path": "./pictures"}, {"path": str(Path("pictures").resolve())}, {"csv": {"label": "kind"}}):
        assert read_prepared(tmp_path, section(**changes)) == read_prepared(tmp_path)
    made_by(tmp_path, section(source="digits", path=None))
    # Where a built-in set is fetched from says nothing about its images, which have a digest.
    read_prepared(tmp_path, section(source="digits", path="/downloaded"))


def test_the_settings_are_no_part_of_the_data_hash(tmp_path):
    one, other = (made_by(tmp_path / str(seed), section(seed=seed)) for seed in (0, 1))
    # Equal files are equal data, whatever they were made by.
    assert one.data_hash == other.data_hash


def test_a_manifest_of_before_the_settings_were_kept_is_read(tmp_path):
    made_by(tmp_path, section())
    manifest = read_sealed(tmp_path / "manifest.json")
    del manifest["settings"]
    write_sealed(tmp_path / "manifest.json", manifest)
    # What it does not know is not compared.
    read_prepared(tmp_path, section(seed=1, path="others"))
    for changes in ({"source": "digits", "path": None}, {"task": "binary"}):
        with pytest.raises(ConfigError, match="run cnn prepare"):
            read_prepared(tmp_path, section(**changes))


def test_the_bytes_are_the_same_on_every_machine(tmp_path):
    images = (np.arange(6 * 4 * 4 * 3) % 251).astype(np.uint8).reshape(6, 4, 4, 3)
    split = Split(images=images, labels=np.arange(6) % 2)
    data = DataSet(source="npz", place="", class_names=("a", "b"), train=split, test=split)
    prepared = write_prepared(tmp_path, data, {"train": split, "validation": split, "test": split})
    # A NumPy or a machine that writes other bytes is noticed here.
    assert prepared.data_hash == "d5719eadba70b922dce4b73997494bed5367074f824b6b3341f907644796225a"


def test_equal_data_equal_hash_other_data_other_hash(tmp_path):
    hashes = [write_set(tmp_path / str(number), seed)[1].data_hash for number, seed in enumerate((0, 0, 1))]
    # The folder plays no part, the pixels do.
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("damage", ["flip", "tear", "remove"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_and_not_used(tmp_path, name, damage):
    _, prepared = write_set(tmp_path)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(content if damage == "flip" else content[:-10])
    # The one opener that would use the file refuses it by name; the other still works.
    use, other = (open_test, open_training) if name.startswith("test") else (open_training, open_test)
    with pytest.raises(IntegrityError, match=name):
        use(prepared)
    other(prepared)


def test_training_never_looks_at_the_test_images(tmp_path):
    _, prepared = write_set(tmp_path)
    for name in FILES[4:]:
        (tmp_path / name).unlink()
    # Without the test files, training and validation open as ever.
    train, validation = open_training(prepared)
    assert (len(train), len(validation)) == (20, 6)


def test_an_edited_manifest_is_refused(tmp_path):
    write_set(tmp_path)
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"a"', '"z"'))
    # The seal no longer fits.
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        read_prepared(tmp_path)


def test_no_manifest_is_said(tmp_path):
    # Nothing was prepared here.
    with pytest.raises(IntegrityError, match="no such file"):
        read_prepared(tmp_path)


WRITER = """
import sys
from pathlib import Path
import numpy as np
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared
while True:
    for value in (1, 2):
        split = Split(images=np.full((50, 64, 64, 3), value, np.uint8), labels=np.arange(50) % 2)
        splits = {"train": split, "validation": split, "test": split}
        data = DataSet(source="npz", place="", class_names=("a", "b"), train=split, test=split)
        write_prepared(Path(sys.argv[1]), data, splits)
        print(value, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_a_kill_leaves_a_whole_set_or_one_that_is_refused(tmp_path, seed):
    # Two sets are written in turn over each other until the process is killed at a seeded instant.
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        time.sleep(np.random.default_rng(seed).uniform(0, 0.2))
        os.kill(writer.pid, signal.SIGKILL)
    try:
        prepared = read_prepared(tmp_path)
        splits = (*open_training(prepared), open_test(prepared))
    except IntegrityError:
        return
    # What opens is one set throughout, never a mixture.
    assert len({int(value) for split in splits for value in np.unique(split.images)}) == 1


def npz_params(path, **prepare_keys):
    keys = {"source": "npz", "path": str(path)} | prepare_keys
    space = {"model.filters": {"type": "int", "low": 8, "high": 16}}
    return Params.model_validate({"prepare": keys, "search": {"space": space, "budget": {"trials": 1}}})


@pytest.mark.parametrize("with_test", [False, True])
def test_the_step_goes_from_a_file_to_prepared_arrays(tmp_path, with_test, capsys):
    whole, test = a_split(100), a_split(10, seed=9)
    arrays = {"x_train": whole.images, "y_train": whole.labels, "class_names": np.array(["cat", "dog"])}
    if with_test:
        arrays |= {"x_test": test.images, "y_test": test.labels}
    np.savez(tmp_path / "own.npz", **arrays)
    params = npz_params(tmp_path / "own.npz", validation_fraction=0.25, test_fraction=0.2)
    prepared = prepare(params, Environment(home=tmp_path), tmp_path / "prepared")
    # Fractions are of what is left; a test set of the user's own is taken whole.
    assert prepared.n_images == (
        {"train": 75, "validation": 25, "test": 10} if with_test else {"train": 60, "validation": 20, "test": 20}
    )
    assert prepared.class_names == ("cat", "dog")
    # The card lies beside the arrays and speaks of the same data.
    card = (tmp_path / "prepared/data_card.json").read_text()
    assert prepared.data_hash in card
    assert "cat" in capsys.readouterr().out


def test_the_step_gives_the_same_bytes_twice_and_another_seed_others(tmp_path):
    split = a_split(60)
    np.savez(tmp_path / "own.npz", images=split.images, labels=split.labels)
    folders = []
    for number, seed in enumerate((3, 3, 4)):
        folders.append(tmp_path / str(number))
        prepare(npz_params(tmp_path / "own.npz", seed=seed), Environment(home=tmp_path), folders[-1])
    first, again, other = ({path.name: path.read_bytes() for path in folder.glob("*.json")} for folder in folders)
    # Manifest and card, and so every array, are equal byte for byte for one seed.
    assert first == again
    assert first["manifest.json"] != other["manifest.json"]
    assert read_sealed(folders[0] / "manifest.json")["class_names"] == ["0", "1"]

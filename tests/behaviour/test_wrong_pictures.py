"""Bad pictures among a user's own: each is found, named with its reason, and nothing is left out silently."""

import csv
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from making import all_digits, digit_csv, digit_folder, write_csv, write_picture
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def cnn(folder, *settings):
    """`cnn prepare` in a folder with the shipped params.yaml, these settings laid over it."""
    shutil.copy(ROOT / "params.yaml", folder)
    words = [word for setting in settings for word in ("--set", setting)]
    command = [sys.executable, "-m", "cnn", "prepare", *words]
    environment = os.environ | {"CNN_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def of_folder(folder, *settings):
    return cnn(folder, "prepare.source=folder", "prepare.path=own", "prepare.images.size=[12,12]", *settings)


def listed(folder):
    with (folder / "data/prepared/bad_files.csv").open(newline="", encoding="utf-8") as file:
        return {row["path"]: (row["split"], row["reason"]) for row in csv.DictReader(file)}


def bomb():
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    pieces = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def plant(own):
    """One fault of each kind that a folder can have; the finding that each must give, by path."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(own / "train/0/torn.png")
    (own / "train/0/torn.png").write_bytes((own / "train/0/torn.png").read_bytes()[:2000])
    (own / "train/1/words.png").write_text("no picture")
    (own / "train/2/empty.png").touch()
    (own / "train/3/bomb.png").write_bytes(bomb())
    Image.fromarray(noise).save(own / "train/4/really_a.png", format="JPEG")
    Image.fromarray(noise).save(own / "train/5/odd.ppm")
    Image.fromarray(noise[..., 0].astype(np.float32) / 255).save(own / "train/6/fractions.tif")
    (own / "train/7/gone.png").symlink_to("nowhere.png")
    (own / "train/8/loop.png").symlink_to("loop.png")
    (own / "train/9/up").symlink_to(own)
    os.mkfifo(own / "val/0/pipe.png")
    (own / "train/stray.png").touch()
    (own / "test/eleven").mkdir()
    write_picture(own / "test/eleven/a.png", noise[..., 0], side=8)
    (own / "train/ten").mkdir()
    write_picture(own / "train/ten/alone.png", noise[:8, :8, 1], side=8)
    picture = next(path for path in sorted((own / "test/3").iterdir()) if path.suffix == ".png")
    shutil.copy(picture, own / "train/3/same.png")
    write_picture(own / "test/4/big.png", noise[:8, :8, 2], side=64)
    write_picture(own / "val/4/big.png", np.clip(noise[:8, :8, 2].astype(int) + 2, 0, 255).astype(np.uint8), side=32)
    return {
        "train/0/torn.png": ("train", "truncated"),
        "train/1/words.png": ("train", "not an image"),
        "train/2/empty.png": ("train", "empty file"),
        "train/3/bomb.png": ("train", "too many pixels"),
        "train/4/really_a.png": ("train", "wrong extension"),
        "train/5/odd.ppm": ("train", "format not allowed"),
        "train/6/fractions.tif": ("train", "pixels without a known range"),
        "train/7/gone.png": ("train", "missing file"),
        "train/8/loop.png": ("train", "symlink loop"),
        "train/9/up": ("", "symlink loop"),
        "val/0/pipe.png": ("validation", "not a regular file"),
        "train/stray.png": ("train", "outside a class folder"),
        "test/eleven/a.png": ("test", "unknown label"),
        "ten": ("validation", "class with too few images"),
        "train/3/same.png": ("train", "same image in two splits"),
        "val/4/big.png": ("validation", "near-duplicate in another split"),
    }


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Real digits in three splits with every fault planted: `cnn prepare` on it, first as it is, then with skip."""
    folder = tmp_path_factory.mktemp("planted")
    digit_folder(folder / "own", 400, splits=("train", "val", "test"))
    expected = plant(folder / "own")
    failed = of_folder(folder)
    found = listed(folder)
    prepared = (folder / "data/prepared/manifest.json").exists()
    skipped = of_folder(folder, "prepare.on_bad=skip")
    return folder, expected, failed, found, prepared, skipped


def test_every_kind_of_fault_is_found_and_named(planted):
    _, expected, _, found, _, _ = planted
    # All of them, each with its split and reason, and no good file among them.
    assert found == expected


def test_bad_files_end_in_one_line(planted):
    _, expected, failed, _, prepared, _ = planted
    (line,) = failed.stderr.splitlines()
    # How many, what kinds, some examples, where the list lies, what to do; exit code 2 and nothing prepared.
    assert failed.returncode == 2
    assert line.startswith(f"cnn: own: received {len(expected)} bad: ")
    for words in (
        "1 truncated",
        "2 symlink loop",
        "as train/",
        "data/prepared/bad_files.csv",
        "prepare.on_bad to skip",
    ):
        assert words in line
    assert not prepared


def test_what_is_left_out_is_said(planted):
    folder, expected, _, _, _, skipped = planted
    assert skipped.returncode == 0, skipped.stderr
    # On the screen: how many, where the list lies, and each reason with its number.
    assert (
        f"left out: {len(expected)} bad files, listed with their reasons in data/prepared/bad_files.csv"
        in skipped.stdout
    )
    assert "left out: 2 symlink loop" in skipped.stdout
    assert listed(folder) == expected
    # In the card.
    card = json.loads((folder / "data/prepared/data_card.json").read_text())
    assert sum(card["left_out"].values()) == len(expected)
    assert card["left_out"]["symlink loop"] == 2
    # What was good is all there: 400 digits, one of them the twin's other half, and big.png in test.
    assert sum(split["n_images"] for split in card["splits"].values()) == 401
    assert card["class_names"] == list("0123456789")
    assert card["shared"][1]["n_images"] == 0


def test_a_second_start_does_not_read_again_what_is_unchanged(planted):
    # Between the two runs no file has changed.
    assert "pictures were read before" in planted[-1].stdout


def test_a_manifest_with_every_fault_of_a_manifest(tmp_path):
    file = digit_csv(tmp_path / "own", 400, splits=("train", "val", "test"))
    with file.open(newline="") as stream:
        header, *lines = csv.reader(stream)
    lines += [["train/none.png", "1", "train"], [lines[0][0], "2", "train"], ["", "3", "train"]]
    write_picture(tmp_path / "own/late.png", all_digits()[0][500], side=8)
    for name, label, split in (("a.png", "", "train"), ("b.png", "x", "test"), ("c.png", "4", "someday")):
        shutil.copy(tmp_path / "own/late.png", tmp_path / "own" / name)
        lines.append([name, label, split])
    write_csv(file, header, lines)
    settings = ["prepare.source=csv", "prepare.path=own/digits.csv", "prepare.images.size=[12,12]"]
    failed = cnn(tmp_path, *settings)
    assert failed.returncode == 2
    assert len(failed.stderr.splitlines()) == 1
    assert listed(tmp_path) == {
        "train/none.png": ("train", "missing file"),
        lines[0][0]: ("train", "listed twice"),
        "": ("train", "missing file"),
        "a.png": ("train", "unreadable label"),
        "b.png": ("test", "unknown label"),
        "c.png": ("", "unknown split"),
    }
    # Mended, it is prepared, and the list of an earlier time is gone.
    write_csv(file, header, lines[:-6])
    assert cnn(tmp_path, *settings).returncode == 0
    assert not (tmp_path / "data/prepared/bad_files.csv").exists()


def test_a_folder_without_one_good_picture(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "own" / name).parent.mkdir(parents=True)
        (tmp_path / "own" / name).write_text("no picture")
    refused = of_folder(tmp_path, "prepare.on_bad=skip")
    # Leaving out all is no success.
    assert refused.returncode == 2
    assert "received no picture to train on" in refused.stderr
    assert len(listed(tmp_path)) == 2


def test_equal_pictures_stay_together_where_the_splits_are_ours(tmp_path):
    for number, image in enumerate(all_digits()[0][:60]):
        for copy in range(2):
            write_picture(tmp_path / f"own/{number % 2}/{number}_{copy}.png", image, side=8)
    prepared = of_folder(tmp_path, "prepare.near_duplicates=0")
    # A picture that stands twice in the folder is no fault: chance does not part it.
    assert prepared.returncode == 0, prepared.stderr
    card = json.loads((tmp_path / "data/prepared/data_card.json").read_text())
    # No image of one split stands in another, and none is left out.
    assert [pair["n_images"] for pair in card["shared"]] == [0, 0, 0]
    assert sum(split["n_images"] for split in card["splits"].values()) == 120

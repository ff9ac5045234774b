"""Prepared arrays on disk: a folder a split, and a sealed manifest that knows the digest of each file.

    data/prepared/
    ├── manifest.json
    ├── train/images.npy  (n, h, w, c) uint8      train/labels.npy  (n,) int64, or (n, k) uint8
    ├── validation/...
    └── test/...          opened by `open_test` alone

A split of a user's own pictures has a sealed `names.json` too: the file each image came from. Names are no part of
`data_hash`: images that were only renamed are the same images. The bytes are the same on every machine, so that DVC can
pin them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cnn.config.outputs import MANIFEST, PREPARED
from cnn.config.preparing import PrepareParams
from cnn.config.reading import digest
from cnn.data.arrays import DataSet, Names, Split
from cnn.data.prepared.splits import TEST, TRAIN, VALIDATION
from cnn.durable import check_file, read_sealed, sha256_of, storage_errors, write_atomic, write_sealed
from cnn.errors import ConfigError, IntegrityError
from cnn.records import Head, Task

NAMES_FILE = "names.json"

__all__ = ["Prepared", "Split", "open_test", "open_training", "read_prepared", "write_prepared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A prepared set, its arrays not opened.

    Args:
        image_shape: Height, width, channels (1 or 3).
        data_hash: Digest over the digests of all files: equal data, equal hash.
        n_images: By split.
        files: SHA-256 by path below `folder`.
        settings: What decided which images these are, as far as the manifest knows.
    """

    folder: Path
    source: str
    content_hash: str
    image_shape: tuple[int, int, int]
    head: Head
    data_hash: str
    n_images: Mapping[str, int]
    files: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.head.class_names

    @property
    def test_hash(self) -> str:
        """Digest over those of the test files: figures with equal ones are about the same images in the same order."""
        return digest({path: sha256 for path, sha256 in self.files.items() if path.startswith(f"{TEST}/")})


def write_prepared(
    folder: Path,
    data: DataSet,
    splits: Mapping[str, Split],
    head: Head | None = None,
    settings: PrepareParams | None = None,
) -> Prepared:
    """Each file atomically, the manifest last: a kill leaves the old set, or files that no manifest vouches for.

    Args:
        head: What is to be learnt from them; None: one of the classes.
        settings: What the images were made by, for `read_prepared` to compare; None: nobody will.

    Raises:
        StorageError: The disk is full or the folder can't be written.
    """
    head = head or Head(class_names=data.class_names)
    files = {}
    for name, split in splits.items():
        labels = split.labels.astype("<i8" if split.labels.ndim == 1 else "|u1")
        for part, array, pieces in (("images", split.images, split.chunks()), ("labels", labels, iter([labels]))):
            path = folder / name / f"{part}.npy"
            _write_array(path, array.shape, array.dtype, pieces)
            files[f"{name}/{part}.npy"] = sha256_of(path)
        _write_names(folder / name / NAMES_FILE, split)
    manifest = {
        "source": data.source,
        "content_hash": data.content_hash,
        "image_shape": list(data.image_shape),
        "class_names": list(head.class_names),
        "task": head.task.value,
        "ancestors": [list(nodes) for nodes in head.ancestors],
        "n_images": {name: len(split) for name, split in splits.items()},
        "files": files,
        "data_hash": digest(files),
    }
    if settings:
        manifest["settings"] = decisive(settings)
    write_sealed(folder / MANIFEST, manifest)
    return read_prepared(folder)


def read_prepared(folder: Path = PREPARED, settings: PrepareParams | None = None) -> Prepared:
    """What the manifest says; no array is opened.

    Args:
        settings: What the images should have been made by; None: whatever they were.

    Raises:
        IntegrityError: There is no manifest, or it is torn or edited.
        ConfigError: The images were made by other settings.
    """
    manifest = read_sealed(folder / MANIFEST, made_by="cnn prepare")
    height, width, channels = manifest["image_shape"]
    prepared = Prepared(
        folder=folder,
        source=manifest["source"],
        content_hash=manifest["content_hash"],
        image_shape=(height, width, channels),
        head=Head(
            class_names=tuple(manifest["class_names"]),
            task=Task(manifest["task"]),
            ancestors=tuple(map(tuple, manifest["ancestors"])),
        ),
        data_hash=manifest["data_hash"],
        n_images=manifest["n_images"],
        files=manifest["files"],
        # one of before the settings were kept knows these two
        settings=manifest.get("settings", {"source": manifest["source"], "task": manifest["task"]}),
    )
    if settings:
        _check_settings(prepared, settings)
    return prepared


def open_training(prepared: Prepared) -> tuple[Split, Split]:
    """Training and validation images, memory-mapped, their digests checked first.

    Raises:
        IntegrityError: A file is missing, torn or flipped; it is named.
    """
    return _open(prepared, TRAIN), _open(prepared, VALIDATION)


def open_test(prepared: Prepared) -> Split:
    """The test images. Only the evaluation may ask for them.

    Raises:
        IntegrityError: As `open_training`.
    """
    return _open(prepared, TEST)


def decisive(settings: PrepareParams) -> dict[str, Any]:
    """What decides which images a prepared set holds, by key of `prepare`.

    Left out are the place a built-in set is fetched from, and what is only read for a user's own pictures.

    Example:
        >>> "path" in decisive(PrepareParams(source="digits"))
        False
    """
    idle = set() if settings.source in ("npz", "folder", "csv") else {"path"}
    idle |= set() if settings.source == "csv" else {"csv"}
    idle |= set() if settings.source in ("folder", "csv") else {"images", "classes", "on_bad", "near_duplicates"}
    return settings.model_dump(mode="json", exclude=idle)


def _check_settings(prepared: Prepared, settings: PrepareParams) -> None:
    """A model of the wrong images would look like one of the right ones."""
    made, wanted = prepared.settings, decisive(settings)
    differ = [key for key in made.keys() & wanted.keys() if not _same(key, made[key], wanted[key])]
    if not differ:
        return
    if {"source", "path"} & set(differ):
        received, expected = _named(made), f"{_named(wanted)}, which the settings name"
    else:
        key = min(differ)
        received, expected = f"images made with prepare.{key} {made[key]}", f"{wanted[key]}, as in the settings"
    change = "run cnn prepare, or give this command the settings that it had"
    raise ConfigError(prepared.folder, received=received, expected=expected, change=change)


def _same(key: str, made: Any, wanted: Any) -> bool:
    if key == "path" and made and wanted:
        return Path(made).resolve() == Path(wanted).resolve()
    return bool(made == wanted)


def _named(settings: Mapping[str, Any]) -> str:
    """A source, with its path if it has one."""
    return f"{settings['source']} ({settings['path']})" if settings.get("path") else str(settings["source"])


def _open(prepared: Prepared, name: str) -> Split:
    paths = [f"{name}/images.npy", f"{name}/labels.npy"]
    for path in paths:
        check_file(prepared.folder / path, prepared.files[path], made_by="cnn prepare")
    images, labels = (np.load(prepared.folder / path, mmap_mode="r", allow_pickle=False) for path in paths)
    return Split(images=images, labels=labels, names=_names(prepared.folder / name / NAMES_FILE, len(labels)))


def _write_names(path: Path, split: Split) -> None:
    """Those of other pictures, prepared here before, must not stay beside images that have none."""
    if split.names is None:
        with storage_errors(path):
            path.unlink(missing_ok=True)
        return
    # a file's name need not be UTF-8
    write_sealed(path, {"names": [str(name).encode(errors="backslashreplace").decode() for name in split.names]})


def _names(path: Path, n_images: int) -> Names | None:
    """None where there are none, as of arrays and of sets prepared by earlier versions."""
    if not path.exists():
        return None
    names = read_sealed(path, made_by="cnn prepare")["names"]
    if len(names) != n_images:
        received, change = f"{len(names)} names", "run cnn prepare again"
        raise IntegrityError(path, received=received, expected=f"one for each of {n_images} images", change=change)
    return np.array(names, dtype=object)


def _write_array(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], pieces: Iterator[npt.NDArray[np.generic]]
) -> None:
    """As `np.save`, piece by piece; on a full disk that raises an error that doesn't say so."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}

    def write(file: IO[bytes]) -> None:
        np.lib.format.write_array_header_1_0(file, header)
        for piece in pieces:
            file.write(np.ascontiguousarray(piece).data)

    write_atomic(path, write)

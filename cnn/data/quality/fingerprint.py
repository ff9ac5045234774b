"""What a prepared set leaves behind, so that a later one can be compared with it when its images are gone.

HOME/data/DATA_HASH.npz     of each image a digest of its pixels, its label and its statistics: some 40 bytes
HOME/data/DATA_HASH.json    what they are of, and the digest of the first file; sealed, written last
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.data.arrays import Labels, Split
from cnn.data.prepared.equal_images import fingerprints
from cnn.data.prepared.splits import SPLITS, TEST
from cnn.data.prepared.store import Prepared, open_test, open_training
from cnn.data.quality.image_statistics import Statistics, image_statistics
from cnn.durable import check_file, read_sealed, sha256_of, write_atomic, write_sealed
from cnn.errors import IntegrityError
from cnn.records import Head, head_from

log = logging.getLogger(__name__)

_DIGEST_BYTES = 16
_MADE_BY = "cnn prepare"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prints:
    """A split's images, in their order.

    Args:
        digests: (n,) 16 bytes each, equal for equal pixels.
        labels: (n,) class positions; multilabel: (n, k) of 0 and 1.
        statistics: (n, 3 or 6), as `image_statistics`.
    """

    digests: npt.NDArray[np.void]
    labels: Labels
    statistics: Statistics

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fingerprint:
    """A prepared set without its pixels.

    Args:
        splits: By the names of the splits.
    """

    data_hash: str
    test_hash: str
    source: str
    image_shape: tuple[int, int, int]
    head: Head
    splits: Mapping[str, Prints]


def keep_fingerprint(folder: Path, prepared: Prepared, splits: Mapping[str, Split]) -> Fingerprint:
    """Write what is to be known of a set later; made again it is the same.

    Args:
        folder: `HOME/data`.
        splits: Its images.

    Raises:
        StorageError: It cannot be written.
    """
    made = Fingerprint(
        data_hash=prepared.data_hash,
        test_hash=prepared.test_hash,
        source=prepared.source,
        image_shape=prepared.image_shape,
        head=prepared.head,
        splits={name: _prints(split) for name, split in splits.items()},
    )
    arrays = {f"{name}.{part}": getattr(prints, part) for name, prints in made.splits.items() for part in _PARTS}
    arrays = {name: array.view(np.uint8) if array.dtype.kind == "V" else array for name, array in arrays.items()}
    path = folder / f"{made.data_hash}.npz"
    write_atomic(path, lambda file: np.savez(file, allow_pickle=False, **arrays))
    document = {
        "data_hash": made.data_hash,
        "test_hash": made.test_hash,
        "source": made.source,
        "image_shape": list(made.image_shape),
        "arrays_sha256": sha256_of(path),
        **made.head.document(),
    }
    write_sealed(folder / f"{made.data_hash}.json", document)
    return made


def read_fingerprint(folder: Path, data_hash: str) -> Fingerprint | None:
    """What is known of a set; None when it was prepared elsewhere, or before fingerprints were kept.

    Raises:
        IntegrityError: It is torn, flipped or edited.
    """
    path = folder / f"{data_hash}.json"
    if not path.exists():
        return None
    document = read_sealed(path, made_by=_MADE_BY)
    arrays = path.with_suffix(".npz")
    check_file(arrays, document["arrays_sha256"], made_by=_MADE_BY)
    height, width, channels = document["image_shape"]
    with np.load(arrays, allow_pickle=False) as kept:
        splits = {name: Prints(**{part: _array(kept, name, part) for part in _PARTS}) for name in SPLITS}
    return Fingerprint(
        data_hash=document["data_hash"],
        test_hash=document["test_hash"],
        source=document["source"],
        image_shape=(height, width, channels),
        head=head_from(document),
        splits=splits,
    )


def present_fingerprint(folder: Path, prepared: Prepared) -> Fingerprint:
    """That of the prepared set; made from its arrays when it came from a DVC remote, or what was kept is damaged.

    Raises:
        IntegrityError: Its arrays are damaged.
    """
    try:
        if kept := read_fingerprint(folder, prepared.data_hash):
            return kept
    except IntegrityError as error:
        log.warning("made again: %s", error)
    splits = dict(zip(SPLITS, (*open_training(prepared), open_test(prepared)), strict=True))
    return keep_fingerprint(folder, prepared, splits)


def together(fingerprint: Fingerprint, *, test: bool | None = None) -> Prints:
    """The images of several splits as one.

    Args:
        test: True: the test images; False: those to learn from, training and validation; None: all.
    """
    names = [name for name in SPLITS if test is None or (name == TEST) is test]
    parts = [fingerprint.splits[name] for name in names]
    return Prints(**{part: np.concatenate([getattr(one, part) for one in parts]) for part in _PARTS})


_PARTS = ("digests", "labels", "statistics")


def _prints(split: Split) -> Prints:
    digests = np.frombuffer(b"".join(fingerprints(split)), dtype=f"V{_DIGEST_BYTES}")
    return Prints(digests=digests, labels=np.asarray(split.labels), statistics=image_statistics(split))


def _array(kept: Any, name: str, part: str) -> Any:
    array = kept[f"{name}.{part}"]
    return array.view(f"V{_DIGEST_BYTES}") if part == "digests" else array

"""Weights of a network without its classifier: from where they come to where they are needed, in a plain file.

No framework is loaded here: a coordinator hands the file on without one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.durable import check_file, read_sealed, sha256_of, write_atomic, write_sealed

Weights = Mapping[str, npt.NDArray[Any]]
"""By `layer/variable`, as `block1_conv1/kernel`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backbone:
    """Weights and their origin.

    Args:
        source: What they were taken from, so that it is found again: `models:/NAME/NUMBER`, a file, `imagenet`.
        sha256: Of the source's file; of `imagenet`, of the weights themselves.
    """

    source: str
    sha256: str
    weights: Weights


def digest_of(weights: Weights) -> str:
    """SHA-256 of the weights with their names, types and shapes."""
    content = hashlib.sha256()
    for name, array in weights.items():
        content.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()


def keep_backbone(folder: Path, backbone: Backbone) -> None:
    """Write `trials/backbone.npz` and, last, `transfer.json`, which vouches for it.

    Raises:
        StorageError: They cannot be written.
    """
    archive = BytesIO()
    np.savez(archive, allow_pickle=False, **backbone.weights)
    write_atomic(_file(folder), lambda file: file.write(archive.getbuffer()))
    document = {"source": backbone.source, "source_sha256": backbone.sha256, "file_sha256": sha256_of(_file(folder))}
    write_sealed(_record(folder), document)


def kept_origin(folder: Path) -> tuple[str, str] | None:
    """Source and SHA-256 of the weights kept in a folder; None where none are.

    Raises:
        IntegrityError: What vouches for them is damaged.
    """
    if not _record(folder).exists():
        return None
    document = read_sealed(_record(folder), made_by="cnn search")
    return document["source"], document["source_sha256"]


def kept_weights(folder: Path) -> Weights:
    """The weights kept in a folder.

    Raises:
        IntegrityError: They are missing, or not those that were written.
    """
    document = read_sealed(_record(folder), made_by="cnn search")
    check_file(_file(folder), document["file_sha256"], made_by="cnn search")
    with np.load(_file(folder), allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def drop_weights(folder: Path) -> None:
    """Remove the weights kept in a folder; what they were stays written down there."""
    _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    """Among the checkpoints, with which a study that nobody goes on with loses it."""
    return folder / "trials" / "backbone.npz"


def _record(folder: Path) -> Path:
    return folder / "transfer.json"

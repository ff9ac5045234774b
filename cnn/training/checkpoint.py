"""A run as it stands after an epoch, in a file that survives kill -9 and notices damage.

A file is the SHA-256 of all that follows, a line's end, and an npz archive. `.keras` would not do: loading one does
not bring back the state of a dropout layer's generator, and the run would go on as another one.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.durable import exclusive, write_atomic
from cnn.errors import IntegrityError, ServiceError, StorageError
from cnn.records import Curve, epoch_row

Arrays = list[npt.NDArray[Any]]

_REST_S = 30 * 24 * 3600.0  # longer than anybody leaves a night that is to go on

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """All that a run needs to go on.

    Args:
        curve: Its epochs so far, one or more.
        state: Every variable of the model and of its optimizer.
        best: The model's weights after the best epoch.
    """

    curve: Curve
    state: Arrays
    best: Arrays


class CheckpointFolder:
    """The two newest checkpoints of one run. Other files in the folder are left alone.

    Args:
        identity: Digest of all that decides how the run goes; a checkpoint of another run is never used.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self._folder = folder
        self._identity = identity
        self._newest: Path | None = None

    def read(self) -> Checkpoint | None:
        """The newest sound checkpoint of this run, if there is one. Those not used are named in the log."""
        for path in sorted(self._folder.glob("epoch-*.checkpoint"), reverse=True):
            try:
                checkpoint = _decoded(path, self._identity)
            except IntegrityError as error:
                log.warning("checkpoint not used: %s", error)
                continue
            self._newest = path
            return checkpoint
        return None

    def write(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint beside the previous one, and remove those before.

        Raises:
            StorageError: The disk is full or the folder can't be written; the previous checkpoint is untouched.
        """
        path = self._folder / f"epoch-{checkpoint.curve[-1].epoch:05d}.checkpoint"
        content = _encoded(checkpoint, self._identity)
        write_atomic(path, lambda file: file.writelines(content))
        kept, self._newest = {path, self._newest}, path
        for old in _files(self._folder):
            if old not in kept:
                old.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove all checkpoints in a folder, those that a kill left half-written included."""
    for path in _files(folder):
        path.unlink(missing_ok=True)


def discard_abandoned(folder: Path) -> None:
    """Remove the runs in a folder that no process holds (by the file `lock` in each) and that rested for 30 days."""
    for run in folder.iterdir():
        with suppress(FileNotFoundError, NotADirectoryError, ServiceError, StorageError):  # it is another's, or gone
            if time.time() - run.stat().st_mtime > _REST_S:
                with exclusive(run / "lock", what="a training", patience_s=0.0):
                    shutil.rmtree(run, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    yield from folder.glob("epoch-*.checkpoint")
    yield from folder.glob(".epoch-*.checkpoint.*.part")


def _encoded(checkpoint: Checkpoint, identity: str) -> tuple[bytes, memoryview]:
    document = {"identity": identity, "curve": [asdict(row) for row in checkpoint.curve]}
    arrays = {"document": np.frombuffer(json.dumps(document).encode(), np.uint8)}
    arrays |= {f"state/{number}": array for number, array in enumerate(checkpoint.state)}
    arrays |= {f"best/{number}": array for number, array in enumerate(checkpoint.best)}
    archive = BytesIO()
    np.savez(archive, allow_pickle=False, **arrays)
    body = archive.getbuffer()
    return _seal(body), body


def _decoded(path: Path, identity: str) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        IntegrityError: It is torn or flipped, or another run's.
    """
    content = memoryview(path.read_bytes())
    seal, body = content[:65], content[65:]
    if seal != _seal(body):
        raise _refused(path, "a torn or flipped file", "content that matches its sha256")
    with np.load(BytesIO(body), allow_pickle=False) as archive:
        document = json.loads(archive["document"].tobytes())
        if document["identity"] != identity:
            raise _refused(path, "a checkpoint of another recipe, seed or data set", "one of this run")
        return Checkpoint(
            curve=tuple(epoch_row(row) for row in document["curve"]),
            state=_numbered(archive, "state"),
            best=_numbered(archive, "best"),
        )


def _seal(body: memoryview) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n"


def _numbered(archive: Any, kind: str) -> Arrays:
    count = sum(name.startswith(f"{kind}/") for name in archive.files)
    return [archive[f"{kind}/{number}"] for number in range(count)]


def _refused(path: Path, received: str, expected: str) -> IntegrityError:
    return IntegrityError(path, received=received, expected=expected, change="nothing: the run goes on without it")

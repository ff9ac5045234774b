"""Files that survive kill -9 and notice damage.

Written beside, fsynced, renamed: a reader sees the old file or the new one, never half of it. A sealed file carries
the SHA-256 of its own content, so that a torn, flipped or hand-edited one is named instead of used.
"""

import errno
import fcntl
import hashlib
import json
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from io import StringIO
from pathlib import Path
from typing import IO, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cnn.errors import IntegrityError, ServiceError, StorageError

_SEAL = "sha256"
_REASONS = {
    errno.ENOSPC: ("a full disk", "free some space"),
    errno.EDQUOT: ("a full quota", "free some space"),
    errno.EROFS: ("a read-only file system", "choose a folder that can be written"),
    errno.EACCES: ("no permission to write", "choose a folder that can be written"),
    errno.EPERM: ("no permission to write", "choose a folder that can be written"),
    errno.ENOTDIR: ("a file where a folder belongs", "choose another folder"),
    errno.EISDIR: ("a folder where a file belongs", "choose another file"),
    errno.EEXIST: ("a file where a folder belongs", "choose another folder"),
}
_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_UNWRITABLE = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_PERM,
)
# ERROR: a table or a column of ours is not there
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns the operating system's refusals to write into one clear line.

    Raises:
        StorageError: Full disk, read-only folder, no permission.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _REASONS:
            raise
        received, change = _REASONS[error.errno]
        raise StorageError(path, received=received, expected="room and permission to write", change=change) from error


@contextmanager
def sqlite_errors(path: Path, *, expected: str, change: str) -> Iterator[None]:
    """Turns what sqlite says of a file into one clear line; a statement of ours that cannot be is raised as it is.

    Args:
        expected: What the file should be, if it is damaged.
        change: What to do if it is.

    Raises:
        IntegrityError: The file is damaged.
        ServiceError: Another program holds it.
        StorageError: Full disk, read-only folder, no permission.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if mishap := sqlite_mishap(path, error):
            raise mishap from error
        if _kind(error) in _DAMAGED:
            raise IntegrityError(path, received=error, expected=expected, change=change) from error
        raise


def sqlite_mishap(subject: object, error: sqlite3.DatabaseError) -> ServiceError | StorageError | None:
    """The clear line of an error that says nothing against the file; None for all others."""
    if _kind(error) in _HELD:
        change = "close the program that holds it and start again"
        return ServiceError(subject, received=error, expected="a database that nobody else writes to", change=change)
    if _kind(error) in _UNWRITABLE:
        change = "free some space or choose another folder"
        return StorageError(subject, received=error, expected="room and permission to write", change=change)
    return None


def _kind(error: sqlite3.DatabaseError) -> int:
    """The low byte of sqlite's code; the rest is its detail. What Python's own module raises has none."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE) & 0xFF


def write_atomic(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Have `write` fill a temporary file beside `path`, then put it in place.

    Raises:
        StorageError: The disk is full or the folder can't be written; the old file is untouched.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """`write_atomic` for text."""
    write_atomic(path, lambda file: file.write(text.encode()))


def write_json(path: Path, document: object) -> None:
    """Indented JSON, atomically; not sealed."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sealed(path: Path, document: Mapping[str, Any], *, comment: str = "") -> None:
    """A mapping as YAML (or JSON, by the file's ending) whose last key is the SHA-256 of all others."""
    sealed = dict(document) | {_SEAL: _seal(document)}
    if path.suffix == ".json":
        write_json(path, sealed)
        return
    yaml = YAML()
    yaml.width = 120
    text = StringIO()
    yaml.dump(sealed, text)
    header = "".join(f"# {line}\n" for line in comment.splitlines())
    write_text(path, header + text.getvalue())


def read_sealed(path: Path, *, made_by: str = "the step that writes it") -> dict[str, Any]:
    """The mapping of a sealed file, its seal checked and removed.

    Args:
        made_by: What to run when it cannot be used, as `cnn prepare`.

    Raises:
        IntegrityError: The file is missing, torn, or not what was written.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise _missing(path, made_by) from error
    except UnicodeDecodeError as error:
        raise _damaged(path, "bytes that are no text", made_by) from error
    try:
        document = json.loads(text) if path.suffix == ".json" else YAML(typ="safe", pure=True).load(text)
    except (ValueError, YAMLError) as error:
        raise _damaged(path, "a torn file", made_by) from error
    if not isinstance(document, dict) or _SEAL not in document:
        raise _damaged(path, "a torn file, its seal is missing", made_by)
    seal = document.pop(_SEAL)
    if seal != _seal(document):
        raise _damaged(path, "content that does not match its sha256", made_by)
    return document


def check_file(path: Path, sha256: str, *, made_by: str = "the step that writes it") -> None:
    """Compare a file with the digest that was written down for it.

    Args:
        made_by: What to run when it cannot be used, as `cnn prepare`.

    Raises:
        IntegrityError: The file is missing or its bytes have changed.
    """
    if not path.is_file():
        raise _missing(path, made_by)
    found = sha256_of(path)
    if found != sha256:
        raise _damaged(path, f"sha256 {found[:12]}…", made_by, f"sha256 {sha256[:12]}…")


def _missing(path: Path, made_by: str) -> IntegrityError:
    return IntegrityError(path, received="no such file", expected="the step's output", change=f"run {made_by}")


def _damaged(path: Path, received: str, made_by: str, expected: str = "the file as it was written") -> IntegrityError:
    change = f"it was torn, flipped or edited: run {made_by} again"
    return IntegrityError(path, received=received, expected=expected, change=change)


def _seal(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def exclusive(path: Path, *, what: str, patience_s: float = 2.0) -> Iterator[None]:
    """Hold a lock file while a thing is done that only one process may do; the kernel lets go of it at any death.

    Args:
        what: What the holder does, for the error: `a search`.
        patience_s: How long to try: whoever asks `is_held` holds it for a moment too.

    Raises:
        ServiceError: Another process holds it.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    with file:
        deadline = time.monotonic() + patience_s
        while not _try_lock(file, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                received = f"{what} under way (process {holder(path) or 'unknown'})"
                raise ServiceError(path.parent, received=received, expected="none", change="wait for it to end")
            time.sleep(0.05)
        with storage_errors(path):
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())  # a buffer would be refused once more when it closes
        yield


@contextmanager
def made_alone(path: Path) -> Iterator[None]:
    """Open an sqlite file one process after another, as long as the first of them may be making it.

    A new file that a kill left half-made holds nothing yet and is made again.

    Raises:
        ServiceError: Another process has been at it for a minute.
        StorageError: Full disk, read-only folder, no permission.
    """
    with exclusive(path.with_name(f"{path.name}.lock"), what="the making of a database", patience_s=60.0):
        unfinished = path.with_name(f"{path.name}.unfinished")
        with storage_errors(path):
            if unfinished.exists():
                for ending in ("", "-wal", "-shm", "-journal"):
                    path.with_name(path.name + ending).unlink(missing_ok=True)
            if not path.exists() or path.stat().st_size == 0:
                unfinished.touch()
        yield
        if unfinished.exists():
            unfinished.unlink()
            _sync_folder(path.parent)  # after a power cut the mark must not come back: the file holds something by then


@contextmanager
def kept_free(path: Path) -> Iterator[bool]:
    """Whether nobody holds a lock file; then nobody can take it meanwhile, and not a word is written into it."""
    with storage_errors(path):
        file = path.open() if path.exists() else None
    with file or nullcontext():
        yield file is None or _try_lock(file, fcntl.LOCK_SH)


def is_held(path: Path) -> bool:
    """Whether a process holds a lock file now."""
    with kept_free(path) as free:
        return not free


def holder(path: Path) -> int | None:
    """Id of the process that holds a lock file now; None when nobody does, or when who does has not said yet."""
    text = path.read_text(encoding="utf-8", errors="replace") if is_held(path) else ""
    return int(text) if text.isdecimal() else None


def _try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

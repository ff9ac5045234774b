"""Something that may be removed, and what decides about it."""

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from cnn.durable import kept_free, storage_errors
from cnn.errors import StorageError

ASIDE = ".removed"
"""How the name of a folder ends that is being removed."""

_DAY_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is old.

    Args:
        keep_nights: So many of the latest nights keep all of theirs.
        older_than_days: What rested for less is kept, whatever it is.
    """

    keep_nights: int = 7
    older_than_days: float = 14.0

    def is_old(self, path: Path) -> bool:
        """Whether nothing in it has changed for so long."""
        return time.time() - newest(path) > self.older_than_days * _DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """A file or a folder that nobody needs.

    Args:
        kind: As a person calls such things.
        reason: Why it may go.
        locks: Held by whoever may work with it: then it stays.
    """

    kind: str
    path: Path
    reason: str
    n_bytes: int
    locks: tuple[Path, ...] = ()

    def set_aside(self) -> Path | None:
        """Take it from where others look for it, at once and as a whole; where to, None if somebody works with it.

        A file is removed by that. What a kill leaves of a folder is known by its name.

        Raises:
            StorageError: There is no permission.
        """
        with ExitStack() as held, storage_errors(self.path):
            if not all(held.enter_context(kept_free(lock)) for lock in self.locks):
                return None
            if not self.path.is_dir() or self.path.is_symlink():
                self.path.unlink(missing_ok=True)
                return self.path
            if self.path.name.endswith(ASIDE):
                return self.path
            aside = self.path.with_name(f".{self.path.name}{ASIDE}")
            shutil.rmtree(aside, ignore_errors=True)
            return self.path.rename(aside)


def remove(aside: Sequence[Path]) -> None:
    """Remove what was set aside. Doing it again, after a kill, goes on.

    Raises:
        StorageError: Some of it cannot be removed.
    """
    for path in aside:
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            change = "remove it by hand, or with the permission to"
            raise StorageError(path, received="files that stay", expected="permission to remove them", change=change)


def removable(kind: str, path: Path, reason: str, locks: tuple[Path, ...] = ()) -> Removable:
    """With its size as it is now."""
    return Removable(kind=kind, path=path, reason=reason, n_bytes=size_of(path), locks=locks)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; links count for nothing."""
    return sum(map(_bytes, _parts(path)))


def newest(path: Path) -> float:
    """When anything in it changed last, in seconds of the epoch; 0 when it is gone."""
    return max(_times(path), default=0.0)


def _parts(path: Path) -> Iterator[Path]:
    """Itself and what is in it; what a link points to is elsewhere."""
    yield path
    if not path.is_symlink():
        yield from path.rglob("*")


def _times(path: Path) -> Iterator[float]:
    for part in _parts(path):
        with suppress(OSError):
            yield part.lstat().st_mtime


def _bytes(path: Path) -> int:
    with suppress(OSError):
        return path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
    return 0

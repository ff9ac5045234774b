"""A checkout of its own, in which a version is made again: nothing of the person's own checkout is touched.

PLACE/checkout/  PLACE/home/  PLACE/kept/  PLACE.lock
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cnn.config.outputs import WINNER
from cnn.config.reading import PARAMS_FILE, write_overrides
from cnn.durable import exclusive, is_held, read_sealed, storage_errors, write_sealed, write_text
from cnn.errors import ConfigError, IntegrityError, ServiceError
from cnn.lineage import git
from cnn.reproduction.keeping import LOCK, PATCH, RECIPES

REPRODUCTIONS = "reproductions"
"""Folder of a home in which versions are made again, unless another is named."""

_CHECKOUT, _HOME, _KEPT = "checkout", "home", "kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a version is made again.

    Args:
        project: The project's folder within the new checkout.
        home: `CNN_HOME` of what runs there.
        kept: Takes what was kept of the original.
    """

    folder: Path
    project: Path
    home: Path
    kept: Path


@contextmanager
def worktree(top: Path, prefix: Path, revision: str, folder: Path, *, keep: bool) -> Iterator[Place]:
    """A new worktree of a commit, removed at the end unless `keep`; what a killed process left there goes first.

    Args:
        top: The checkout whose commits are used.
        prefix: The project's folder within it.
        folder: Takes it all; its `.lock` beside it is held meanwhile.

    Raises:
        ConfigError: The folder holds something else.
        ServiceError: Another process makes something again there, or git refuses.
    """
    lock = lock_of(folder)
    _check_ours(folder, lock)
    with exclusive(lock, what="a reproduction"):
        _clear(top, folder)
        place = Place(folder=folder, project=folder / _CHECKOUT / prefix, home=folder / _HOME, kept=folder / _KEPT)
        with storage_errors(folder):
            place.home.mkdir(parents=True)
            place.kept.mkdir()
        try:
            _add(top, folder / _CHECKOUT, revision)
            yield place
        finally:
            if not keep:
                forget(top, folder)
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)


def lock_of(folder: Path) -> Path:
    """Held while a version is made again in a folder."""
    return folder.with_name(f"{folder.name}.lock")


def leftovers(reproductions: Path) -> list[Path]:
    """Folders of reproductions that no process works in: of killed ones, and those that were kept."""
    return [path for path in sorted(reproductions.glob("[!.]*")) if path.is_dir() and not is_held(lock_of(path))]


def forget(top: Path, folder: Path) -> None:
    """Have git forget the worktree in a folder, which may be gone; other worktrees, missing or not, are the person's.

    Args:
        top: The checkout that it belongs to.
    """
    git("worktree", "remove", "--force", "--force", str(folder / _CHECKOUT), folder=top)


def lay_over(place: Place) -> None:
    """Put the kept settings, lock, changes and recipes of the original over the commit.

    Raises:
        IntegrityError: The changes do not fit the commit.
    """
    for name in (PARAMS_FILE.name, LOCK):
        if (place.kept / name).exists():
            shutil.copyfile(place.kept / name, place.project / name)
    if (place.kept / PATCH).exists():
        _apply(place)
    settings = place.project / PARAMS_FILE
    for name, section in RECIPES.items():
        if (place.kept / name).exists():  # where the original had it may be the person's own folder
            shutil.copyfile(place.kept / name, place.project / name)
            write_text(settings, write_overrides(settings, [f"{section}.recipe={name}"]))
    _put_winner(place)


def _put_winner(place: Place) -> None:
    """As the search wrote it; of a version that did not keep it, the recipe that was trained says the same.

    DVC asks for it whatever recipe is trained: the stage depends on the file.
    """
    target, kept = place.project / WINNER, place.kept / WINNER.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if kept.exists():
        shutil.copyfile(kept, target)
    elif (place.kept / "train.json").exists():
        write_sealed(target, {"recipe": read_sealed(place.kept / "train.json")["recipe"]})


def _apply(place: Place) -> None:
    words = ["git", "apply", "--whitespace=nowarn", str((place.kept / PATCH).absolute())]
    answer = subprocess.run(words, cwd=place.project, capture_output=True, text=True, check=False)
    if answer.returncode:
        received, change = answer.stderr.strip()[:200], "name another version"
        raise IntegrityError(PATCH, received=received, expected="changes that fit the commit", change=change)


def _add(top: Path, checkout: Path, revision: str) -> None:
    # hooks of the checkout, as those of `dvc install`, are about the checkout
    # --force: one of this place whose folder is gone
    add = ["worktree", "add", "--force", "--detach", str(checkout), revision]
    words = ["git", "-c", "core.hooksPath=/dev/null", *add]
    answer = subprocess.run(words, cwd=top, capture_output=True, text=True, check=False)
    if answer.returncode:
        received, change = answer.stderr.strip()[:200], "name another folder with --into"
        raise ServiceError(f"git worktree {revision[:12]}", received=received, expected="a worktree", change=change)


def _check_ours(folder: Path, lock: Path) -> None:
    """Raises ConfigError where anything lies that no earlier reproduction has left: that would have its lock beside."""
    if not folder.exists():
        return
    ours = (_CHECKOUT, _HOME, _KEPT) if lock.exists() else ()
    foreign = [path.name for path in folder.iterdir() if path.name not in ours] if folder.is_dir() else [folder.name]
    if foreign:
        received, change = f"{foreign[0]}, which no reproduction has put there", "name another with --into"
        raise ConfigError(folder, received=received, expected="a new or empty folder", change=change)


def _clear(top: Path, folder: Path) -> None:
    """Remove what an earlier reproduction left."""
    if folder.exists():
        forget(top, folder)
        shutil.rmtree(folder)

"""What DVC's cache of a checkout holds for no commit, no saved night and no version."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from cnn.disposal.removable import Removable, removable
from cnn.errors import IntegrityError, ServiceError
from cnn.lineage import git
from cnn.reproduction.pipeline import dvc_config

_REMOVES = "Removing "
_NOBODY = (
    "-c",
    "user.name=cnn-overnight",
    "-c",
    "user.email=cnn-overnight@localhost",
    "-c",
    "core.hooksPath=/dev/null",
)


def cache_of(checkout: Path) -> Path | None:
    """The cache of this checkout; None where there is none, or it lies elsewhere, where others may use it too."""
    listed = _dvc(checkout, "config", "--list").splitlines() if (checkout / ".dvc").is_dir() else []
    settings = dict(line.split("=", 1) for line in listed if "=" in line)
    cache = Path(settings.get("cache.dir", checkout / ".dvc" / "cache"))
    return cache if cache.is_dir() and cache.resolve().is_relative_to(checkout.resolve()) else None


def unused_data(checkout: Path, cache: Path, locks: Sequence[Path]) -> list[Removable]:
    """Objects of the cache that are in no commit, no branch, no saved night, and in none of the locks.

    Args:
        cache: Of this checkout.
        locks: `dvc.lock` of each version in the registry.
    """
    with _named_by(locks, cache) as project:
        said = _gc(checkout, project, "--dry")
    paths = [Path(line.removeprefix(_REMOVES)) for line in said.splitlines() if line.startswith(_REMOVES)]
    return [removable("data in DVC's cache", path, "no commit, night or version names it") for path in paths]


def remove_unused_data(checkout: Path, cache: Path, locks: Sequence[Path]) -> None:
    """Remove what `unused_data` finds at this moment."""
    with _named_by(locks, cache) as project:
        _gc(checkout, project)


def _gc(checkout: Path, project: Path, *words: str) -> str:
    kept = ["--all-commits", "--all-experiments"] if git("rev-parse", "--verify", "HEAD", folder=checkout) else []
    return _dvc(checkout, "gc", "--workspace", *kept, "--force", *words, "-p", str(project))


@contextmanager
def _named_by(locks: Sequence[Path], cache: Path) -> Iterator[Path]:
    """A DVC project that needs whatever the locks name, for as long as it is looked at.

    It has the checkout's cache: a lock names a folder by its list of files alone, and the list lies there.
    """
    with TemporaryDirectory() as folder:
        project = Path(folder)
        git("init", "--quiet", folder=project)  # what DVC is asked of commits it asks of this project too
        git(*_NOBODY, "commit", "--quiet", "--allow-empty", "--message", "versions", folder=project)
        _dvc(project, "init", "--quiet")
        (project / ".dvc" / "config.local").write_text(dvc_config({"cache.dir": str(cache)}), encoding="utf-8")
        for number, lock in enumerate(locks):
            place = project / str(number)
            place.mkdir()
            with (place / "version.dvc").open("w", encoding="utf-8") as file:
                YAML().dump({"outs": _outputs(lock)}, file)
        yield project


def _outputs(lock: Path) -> list[dict[str, Any]]:
    """What a lock names, inputs and outputs, each object once and by a name of its own."""
    try:
        stages = YAML(typ="safe", pure=True).load(lock.read_text(encoding="utf-8"))["stages"].values()
        named = [part for stage in stages for kind in ("deps", "outs") for part in stage.get(kind, ())]
        objects = {part["md5"]: part for part in named if "md5" in part}
        kept = ("md5", "size", "nfiles", "hash")
        return [
            {**{name: part[name] for name in kept if name in part}, "path": f"object-{number}"}
            for number, part in enumerate(objects.values())
        ]
    except (TypeError, KeyError, AttributeError) as error:
        change = "register the version again"
        raise IntegrityError(lock.name, received="no lock of DVC", expected="one", change=change) from error


def _dvc(folder: Path, *words: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-m", "dvc", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        complaint = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        change = "mend what it names; nothing of the cache was removed"
        raise ServiceError(f"dvc {words[0]}", received=complaint, expected="an answer", change=change)
    return answer.stdout

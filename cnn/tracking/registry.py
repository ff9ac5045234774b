"""The role of a model registry: numbered versions of a name, each with its lineage, and aliases that move.

A version is never loaded before the digest written down at its registration has been compared with the file.
"""

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from cnn.config.reading import digest
from cnn.durable import check_file, sha256_of
from cnn.errors import IntegrityError

CHALLENGER = "challenger"
CHAMPION = "champion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A trained and tested model, as it asks to be registered.

    Args:
        model: The `.keras` file: uint8 images in, probabilities out.
        run_key: The run that trained it, in the tracker.
        labels: Class names, in the order of the probabilities.
        image_shape: Height, width, channels.
        example: (1, h, w, c) uint8: an image to try the model with.
        lineage: Tags that say where it comes from: with the model's digest, its identity.
        tags: What else to say about it.
        files: What is kept beside the model, as predictions on the test images; their names are unique.
    """

    model: Path
    run_key: str
    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]
    example: Any
    lineage: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    def version_tags(self) -> dict[str, str]:
        """All that a version says about itself; `registration` is the same only for the same model and lineage.

        Raises:
            IntegrityError: The model is no `.keras` file.
        """
        check_is_keras(self.model)
        sha256 = sha256_of(self.model)
        files = {f"sha256.{path.name}": sha256_of(path) for path in self.files}
        identity = {"sha256": sha256, "registration": digest(sha256, dict(self.lineage))}
        return {**self.tags, **self.lineage, **files, **identity, "run_key": self.run_key}


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A registered model.

    Args:
        number: 1, 2, ... within its name.
        source: Where the registry keeps it, in its own words.
    """

    name: str
    number: int
    source: str
    tags: Mapping[str, str]

    @property
    def is_ours(self) -> bool:
        """Whether cnn registered it: anybody can make a version in MLflow and point an alias to it.

        Example:
            >>> Version(name="cats", number=1, source="s3://elsewhere", tags={}).is_ours
            False
        """
        return {"sha256", "run_key"} <= self.tags.keys()

    @property
    def run_key(self) -> str:
        """The run that trained it, in the tracker: `KEY`, or `KEY@HOME` where another home registered it.

        Only a version of ours has one.
        """
        return self.tags["run_key"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What a served model takes and gives.

    Args:
        image_type: Of the numbers, as `uint8`.
        image_shape: Height, width, channels.
        n_outputs: Probabilities an image.
    """

    image_type: str
    image_shape: tuple[int, ...]
    n_outputs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry of a name's log of decisions.

    Args:
        position: 1, 2, ... in the order in which the registry took them; one of another entry is never given again.
        settled: Whether all that follows from it has been done.
    """

    position: int
    text: str
    settled: bool


class Registry(Protocol):
    """Keeps versions.

    Raises:
        ServiceError: The registry's server does not answer.
    """

    def register(self, name: str, candidate: Candidate) -> Version:
        """A new version, or the one that already holds this model with this lineage."""
        ...

    def version_by_alias(self, name: str, alias: str) -> Version | None:
        """The version an alias points to; None when there is no such alias."""
        ...

    def version(self, name: str, number: int) -> Version | None:
        """A version by its number; None when there is none."""
        ...

    def versions(self, name: str = "") -> tuple[Version, ...]:
        """All versions of a name, or of every name, by name and number."""
        ...

    def describe(self, version: Version, text: str) -> None:
        """Markdown that a person reads beside the version; it replaces what stood there."""
        ...

    def set_alias(self, version: Version, alias: str) -> None:
        """Point an alias to a version."""
        ...

    def set_tags(self, version: Version, tags: Mapping[str, str]) -> None:
        """Tags of a version; a later value replaces an earlier one."""
        ...

    def signature(self, version: Version) -> Signature | None:
        """What a server of this version would take and give; None when that was not written down."""
        ...

    def entries(self, name: str, after: int = 0) -> tuple[Entry, ...]:
        """The log of decisions about a name, oldest first, behind the position `after`."""
        ...

    def append_entry(self, name: str, text: str, summary: str) -> None:
        """Add to the log, behind all that is in it: of two at once each has a position of its own.

        Args:
            summary: What a person reads beside it.
        """
        ...

    def settle_entry(self, name: str, position: int) -> None:
        """Note that all that follows from an entry has been done."""
        ...

    def download(self, version: Version, folder: Path) -> Path:
        """The model file, below `folder`.

        Raises:
            IntegrityError: It is gone, or its bytes are not those that were registered.
        """
        ...

    def download_file(self, version: Version, name: str, folder: Path) -> Path:
        """A file kept beside the model.

        Raises:
            IntegrityError: None was kept under this name, it is gone, or its bytes are not those that were registered.
        """
        ...


class MemoryRegistry:
    """A registry in a folder and a dict: for tests of whoever speaks to a registry."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions: dict[str, list[Version]] = {}
        self._aliases: dict[tuple[str, str], int] = {}
        self._signatures: dict[str, Signature] = {}
        self._logs: dict[str, list[str]] = {}
        self._settled: set[tuple[str, int]] = set()

    def register(self, name: str, candidate: Candidate) -> Version:
        tags = candidate.version_tags()
        versions = self._versions.setdefault(name, [])
        for version in versions:
            if version.tags["registration"] == tags["registration"]:
                return version
        place = self._folder / name / str(len(versions) + 1)
        place.mkdir(parents=True)
        shutil.copyfile(candidate.model, place / "model.keras")
        for path in candidate.files:
            shutil.copyfile(path, place / path.name)
        shape, n_outputs = candidate.image_shape, len(candidate.labels)
        self._signatures[str(place)] = Signature(image_type="uint8", image_shape=shape, n_outputs=n_outputs)
        versions.append(Version(name=name, number=len(versions) + 1, source=str(place), tags=tags))
        return versions[-1]

    def version_by_alias(self, name: str, alias: str) -> Version | None:
        number = self._aliases.get((name, alias))
        return None if number is None else self._versions[name][number - 1]

    def version(self, name: str, number: int) -> Version | None:
        versions = self._versions.get(name, [])
        return versions[number - 1] if 1 <= number <= len(versions) else None

    def versions(self, name: str = "") -> tuple[Version, ...]:
        names = sorted(self._versions) if not name else [name]
        return tuple(version for name in names for version in self._versions.get(name, ()))

    def describe(self, version: Version, text: str) -> None:
        (Path(version.source) / "description.md").write_text(text, encoding="utf-8")

    def set_alias(self, version: Version, alias: str) -> None:
        self._aliases[version.name, alias] = version.number

    def set_tags(self, version: Version, tags: Mapping[str, str]) -> None:
        kept = self._versions[version.name]
        kept[version.number - 1] = replace(kept[version.number - 1], tags={**kept[version.number - 1].tags, **tags})

    def signature(self, version: Version) -> Signature | None:
        return self._signatures.get(version.source)

    def entries(self, name: str, after: int = 0) -> tuple[Entry, ...]:
        return tuple(
            Entry(position=position, text=text, settled=(name, position) in self._settled)
            for position, text in enumerate(self._logs.get(name, [])[after:], start=after + 1)
        )

    def append_entry(self, name: str, text: str, summary: str) -> None:
        self._logs.setdefault(name, []).append(text)

    def settle_entry(self, name: str, position: int) -> None:
        self._settled.add((name, position))

    def download(self, version: Version, folder: Path) -> Path:
        return checked_file(self._copy(version, "model.keras", folder), version, "sha256")

    def download_file(self, version: Version, name: str, folder: Path) -> Path:
        check_was_kept(version, name)
        return checked_file(self._copy(version, name, folder), version, f"sha256.{name}")

    def _copy(self, version: Version, name: str, folder: Path) -> Path:
        try:
            return Path(shutil.copy(Path(version.source) / name, folder))
        except FileNotFoundError as error:
            raise lost_file(version, name) from error


def check_is_keras(path: Path) -> None:
    """Refuse whatever could run code of its own when it is loaded.

    Raises:
        IntegrityError: It is no `.keras` archive.
    """
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise IntegrityError(path, received="another kind of file", expected="a .keras model", change="run cnn train")


def check_was_kept(version: Version, name: str) -> None:
    """Raises IntegrityError when a version keeps no file of this name."""
    if f"sha256.{name}" not in version.tags:
        subject = f"{version.name} version {version.number}"
        raise IntegrityError(
            subject, received=f"no {name}", expected="a version registered by cnn", change="register it"
        )


def lost_file(version: Version, name: str) -> IntegrityError:
    """What is said of a file that a version kept and that is there no more."""
    subject, change = f"{version.name} version {version.number}", "put a copy of the registry's files back"
    return IntegrityError(subject, received=f"no {name}", expected="it as it was registered", change=change)


def checked_file(path: Path, version: Version, tag: str) -> Path:
    """A downloaded file, its digest compared with the one the version bears."""
    check_file(path, version.tags.get(tag, "none was written down"))
    return path

"""Where a version, a run or a night comes from, as the registry and the saved nights know it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cnn.config.reading import PARAMS_FILE
from cnn.durable import read_sealed
from cnn.errors import ConfigError
from cnn.reproduction.keeping import CONDITIONS
from cnn.reproduction.revisions import has_commit, saved_night
from cnn.tracking.registry import CHALLENGER, CHAMPION, Registry, Version
from cnn.tracking.tracker import RunReader

_ADDRESS = re.compile(r"(?:models:/)?([^/:.%\"'@]+)(?:/v?([1-9]\d{0,8})|@([^/:.%\"'@]+))")
_NUMBER = re.compile(r"v?([1-9]\d{0,8})")
_EXPECTED = "a version (7, NAME/7, champion), a night (night-2026-11-24-0100) or a candidate's run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is to be made again.

    Args:
        subject: As a person names it.
        revision: Commit to check out.
        night: Name of the night; empty for a version made without one.
        version: Of the registry; None for a night that only its DVC experiment knows.
        is_saved_night: Whether `revision` is the night's DVC experiment, which holds settings and lock itself.
        changed: Whether tracked files held more than the commit, and nobody kept what.
    """

    subject: str
    revision: str
    night: str
    version: Version | None
    is_saved_night: bool = False
    changed: bool = False


def find_version(what: str, name: str, registry: Registry, reader: RunReader) -> Version | None:
    """The version that a word means: a number, an address, an alias, a night, or the run that trained it.

    Args:
        name: Of the registered model, where the word has none.

    Raises:
        ServiceError: The registry does not answer.
    """
    if number := _NUMBER.fullmatch(what):
        return registry.version(name, int(number[1]))
    if what in (CHAMPION, CHALLENGER):
        return registry.version_by_alias(name, what)
    if address := _ADDRESS.fullmatch(what):
        named, digits, alias = address.groups()
        found = registry.version(named, int(digits)) if digits else registry.version_by_alias(named, alias)
        if found is not None:
            return found
    of_night = [version for version in registry.versions(name) if _night_of(version) == what != ""]
    return of_night[-1] if of_night else _version_of_run(what, registry, reader)


def find_origin(what: str, name: str, registry: Registry, reader: RunReader, checkout: Path) -> Origin:
    """Where to start from to make something again.

    Args:
        checkout: A clone of the project, whose remotes are asked for what it does not have.

    Raises:
        ConfigError: The word means nothing that is known, or the commit is nowhere to be had.
        ServiceError: The registry does not answer.
    """
    version = find_version(what, name, registry, reader)
    if version is None:
        if commit := saved_night(checkout, what):
            return Origin(subject=what, revision=commit, night=what, version=None, is_saved_night=True)
        raise ConfigError(what, received="nothing of this name", expected=_EXPECTED, change="see cnn status, cnn ui")
    if not version.is_ours:
        subject = f"{version.name} version {version.number}"
        change = "name another"
        raise ConfigError(subject, received="a version of others", expected="one of cnn register", change=change)
    return _of_version(version, checkout)


def file_name(what: str) -> str:
    """A word for a version, a run or a night as a file may be called.

    Example:
        >>> file_name("models:/cats@champion")
        'models-cats-champion'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", what).strip("-.") or "it"


def kept_files(version: Version, registry: Registry, folder: Path) -> Path:
    """All files kept with a version, below `folder`, each compared with its digest.

    Raises:
        IntegrityError: One is not what was registered.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [tag.removeprefix("sha256.") for tag in version.tags if tag.startswith("sha256.")]
    for name in names:
        if Path(name).name == name:  # whoever can write tags should not choose a folder here
            path = registry.download_file(version, name, folder)
            if path.parent != folder:
                path.rename(folder / name)
    return folder


def kept_conditions(folder: Path) -> Mapping[str, Any]:
    """The conditions under which a version was made; empty where they were not kept."""
    path = folder / CONDITIONS
    return read_sealed(path, made_by="cnn register") if path.exists() else {}


def _version_of_run(key: str, registry: Registry, reader: RunReader) -> Version | None:
    """Of a run that trained a candidate; one of a search has none."""
    try:
        run = reader.read_run(key)
    except ValueError:  # quotes, as no key has them
        return None
    name, _, number = (run.tags.get("version", "") if run else "").rpartition(" ")
    return registry.version(name, int(number)) if name and number.isdigit() else None


def _night_of(version: Version) -> str:
    """Empty for a version made without one."""
    night = version.tags.get("night", "")
    return "" if night == "none" else night


def _of_version(version: Version, checkout: Path) -> Origin:
    subject, night = f"{version.name} version {version.number}", _night_of(version)
    revision, plus, _ = version.tags["git_revision"].partition("+")
    origin = Origin(
        subject=subject,
        revision=revision,
        night=night,
        version=version,
        changed=bool(plus) and "sha256.changes.patch" not in version.tags,
    )
    if f"sha256.{PARAMS_FILE.name}" in version.tags and has_commit(checkout, revision):
        return origin
    if night and (commit := saved_night(checkout, night)):
        return Origin(subject=subject, revision=commit, night=night, version=version, is_saved_night=True)
    received = f"commit {revision[:12]}, which neither this checkout nor a remote of it has"
    if f"sha256.{PARAMS_FILE.name}" not in version.tags:
        received = "a version without its settings, and no saved night of it here or at a remote"
    change = "add the git remote that has it (git remote add), or run this in the checkout that made it"
    raise ConfigError(subject, received=received, expected="its origin within reach", change=change)

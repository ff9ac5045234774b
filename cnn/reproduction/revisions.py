"""Commits and saved nights of a git checkout, fetched from its remotes where they are not here yet."""

import re
from pathlib import Path

from cnn.errors import ConfigError
from cnn.lineage import git

_NIGHTS = "refs/exps/*"


def top_of(folder: Path) -> tuple[Path, Path]:
    """The checkout that holds a folder, and the folder's place in it.

    Raises:
        ConfigError: It is in no git checkout.
    """
    top = git("rev-parse", "--show-toplevel", folder=folder)
    if not top:
        change = "go into the folder of the project, or clone it"
        raise ConfigError(folder.absolute(), received="no git checkout", expected="one", change=change)
    return Path(top), Path(git("rev-parse", "--show-prefix", folder=folder))


def has_commit(checkout: Path, revision: str) -> bool:
    """Whether a commit is here, after the remotes have been asked for it if it was not."""
    if not _is_hash(revision) or _is_here(checkout, revision):
        return _is_hash(revision)
    for remote in _remotes(checkout):
        git("fetch", "--quiet", remote, revision, folder=checkout)  # not every server gives a single commit
        if not _is_here(checkout, revision):
            git("fetch", "--quiet", remote, folder=checkout)
        if _is_here(checkout, revision):
            return True
    return False


def saved_night(checkout: Path, night: str) -> str:
    """The commit of a night's DVC experiment, fetched if a remote has it; empty when nobody has."""
    if not re.fullmatch(r"\w[\w.@-]*", night):  # git would look for whatever is like it
        return ""
    pattern = f"{_NIGHTS}/{night}"
    if found := git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{night}", folder=checkout):
        return found.splitlines()[0]
    for remote in _remotes(checkout):
        listed = git("ls-remote", remote, pattern, folder=checkout).splitlines()
        for line in listed:
            ref = line.split()[1]
            git("fetch", "--quiet", remote, f"{ref}:{ref}", folder=checkout)
            return git("rev-parse", "--verify", "--quiet", ref, folder=checkout)
    return ""


def saved_nights(checkout: Path) -> list[str]:
    """Names of the DVC experiments of a checkout, without those of its remotes."""
    return [
        ref.rpartition("/")[2]
        for ref in git("for-each-ref", "--format=%(refname)", "refs/exps/*/*/*", folder=checkout).split()
    ]


def _is_here(checkout: Path, revision: str) -> bool:
    return bool(git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", folder=checkout))


def _is_hash(revision: str) -> bool:
    """A tag that anybody can write is no option for git."""
    return re.fullmatch("[0-9a-f]{7,64}", revision) is not None


def _remotes(checkout: Path) -> list[str]:
    return git("remote", folder=checkout).split()

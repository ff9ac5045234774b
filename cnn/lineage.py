"""Where a result comes from: the git revision, the data, the settings."""

import subprocess
from pathlib import Path

from cnn.records import Lineage

_PINNED = (":(exclude)params.yaml", ":(exclude)dvc.lock")


def read_lineage(data_hash: str, params_digest: str, *, night: str = "", folder: Path = Path()) -> Lineage:
    """The lineage of what runs now; outside a git repository the revision is `none`.

    Changed settings don't make a checkout dirty: `params_digest` pins them, and a night writes them and the lock.
    """
    revision = git("rev-parse", "HEAD", folder=folder) or "none"
    dirty = bool(git("status", "--porcelain", "--untracked-files=no", "--", ".", *_PINNED, folder=folder))
    return Lineage(
        git_revision=revision, git_dirty=dirty, data_hash=data_hash, params_digest=params_digest, night=night
    )


def uncommitted_changes(folder: Path = Path()) -> bytes:
    """What tracked files hold beyond the commit, as a patch for `git apply`; settings and lock are left out."""
    words = ("diff", "--binary", "--no-color", "--no-ext-diff", "HEAD", "--", ".", *_PINNED)
    answer = _answer(words, folder)
    return answer.stdout if answer is not None and answer.returncode == 0 else b""


def git(*words: str, folder: Path = Path()) -> str:
    """What a git command says, without the white space around it; empty when it fails or there is no git."""
    answer = _answer(words, folder)
    return answer.stdout.decode(errors="replace").strip() if answer is not None and answer.returncode == 0 else ""


def _answer(words: tuple[str, ...], folder: Path) -> "subprocess.CompletedProcess[bytes] | None":
    try:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, check=False)
    except FileNotFoundError:
        return None

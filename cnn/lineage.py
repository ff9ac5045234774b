"""Where a result comes from: the git revision, the data, the settings."""

import subprocess
from pathlib import Path

from cnn.records import Lineage

_PINNED = (":(exclude)params.yaml", ":(exclude)dvc.lock")


def read_lineage(data_hash: str, params_digest: str, *, night: str = "", folder: Path = Path()) -> Lineage:
    """The lineage of what runs now; outside a git repository the revision is `none`.

    Changed settings don't make a checkout dirty: `params_digest` pins them, and a night writes them and the lock.
    """
    revision = _git(folder, "rev-parse", "HEAD") or "none"
    dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".", *_PINNED))
    return Lineage(
        git_revision=revision, git_dirty=dirty, data_hash=data_hash, params_digest=params_digest, night=night
    )


def _git(folder: Path, *words: str) -> str:
    try:
        answer = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""

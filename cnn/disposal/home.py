"""What lies in a home and is needed by nobody: checkpoints, logs, pictures of old trials, what kills have left."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from cnn.config.environment import Environment
from cnn.disposal.removable import ASIDE, Policy, Removable, removable
from cnn.durable import is_held
from cnn.nights import Nights
from cnn.reproduction.worktree import leftovers
from cnn.search.study import is_busy

TrialFolders = Callable[[str], list[Path]]
"""The local folders with the files of a night's trials."""

_HALF_WRITTEN = Policy(older_than_days=1.0)


def old_nights(nights: Nights, policy: Policy, needed: Collection[str]) -> list[str]:
    """Nights whose trials' files may go: over, not among the latest, and not of a version in the registry."""
    latest = nights.all()
    kept = {night.name for night in latest[len(latest) - policy.keep_nights :]} if policy.keep_nights else set()
    return [night.name for night in latest if night.finished and night.name not in kept and night.name not in needed]


def in_home(environment: Environment, policy: Policy, old: Collection[str], trials: TrialFolders) -> list[Removable]:
    """All that may be removed from a home.

    Args:
        old: Nights whose trials' files may go.
    """
    home = environment.home
    return [
        *_checkpoints(environment.studies, policy),
        *_trainings(home / "training", policy),
        *_logs(environment.studies, policy, old),
        *_pictures(policy, old, trials),
        *_reproductions(home / "reproductions", policy),
        *_remains(home, policy),
    ]


def _checkpoints(studies: Path, policy: Policy) -> Iterator[Removable]:
    """Of studies that nobody has gone on with; their ledgers stay, and with them what later nights learn from."""
    for trials in sorted(studies.glob("*/trials")):
        if not is_busy(trials.parent) and any(trials.iterdir()) and policy.is_old(trials):
            yield removable("trial checkpoints", trials, f"study {trials.parent.name} rests")


def _trainings(trainings: Path, policy: Policy) -> Iterator[Removable]:
    for folder in sorted(trainings.glob("[!.]*")):
        if folder.is_dir() and not is_held(folder / "lock") and policy.is_old(folder):
            yield removable("training checkpoints", folder, "nobody goes on with it")


def _logs(studies: Path, policy: Policy, old: Collection[str]) -> Iterator[Removable]:
    for night in old:
        logs = studies / night / "logs"
        if logs.is_dir() and not is_busy(logs.parent) and policy.is_old(logs):
            yield removable("workers' logs", logs, f"{night} is over")


def _pictures(policy: Policy, old: Collection[str], trials: TrialFolders) -> Iterator[Removable]:
    for night in old:
        for folder in trials(night):
            if folder.is_dir() and policy.is_old(folder):
                yield removable("files of trials", folder, f"{night} is over; figures and curves stay")


def _reproductions(reproductions: Path, policy: Policy) -> Iterator[Removable]:
    """What was kept on purpose has its result beside it, and rests as long as the rest."""
    for folder in leftovers(reproductions):
        was_killed = not folder.with_name(f"{folder.name}.json").exists()
        if was_killed or policy.is_old(folder):
            yield removable("reproductions", folder, "its process is gone" if was_killed else "nobody looks at it")


def _remains(home: Path, policy: Policy) -> Iterator[Removable]:
    """Files that a kill left half-written, folders it left half-removed, and databases set aside as damaged."""
    for path in sorted(home.rglob(f".*{ASIDE}")):
        yield removable("half-removed folders", path, "a kill left it")
    for path in sorted(home.rglob(".*.part")):
        if _HALF_WRITTEN.is_old(path):
            yield removable("half-written files", path, "a kill left it")
    for path in sorted(home.glob("spool.damaged-*")):
        if policy.is_old(path):
            yield removable("damaged databases", path, "it was set aside")

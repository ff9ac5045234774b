"""What lies in a home and is needed by nobody: checkpoints, logs, pictures of old trials, what kills have left."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from cnn.config.environment import Environment
from cnn.disposal.removable import ASIDE, Policy, Removable, removable
from cnn.durable import is_held
from cnn.nights import Nights
from cnn.reproduction.worktree import REPRODUCTIONS, leftovers, lock_of

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

    While a night runs, all checkpoints stay: between two of its parts it holds none of those that it will go on from.

    Args:
        old: Nights whose trials' files may go.
    """
    home = environment.home
    of_nights = Nights(home / "nights").locks()
    found = [
        *_checkpoints(environment.studies, policy, of_nights),
        *_trainings(home / "training", policy, of_nights),
        *_logs(environment.studies, policy, old),
        *_pictures(policy, old, trials),
        *_reproductions(home / REPRODUCTIONS, policy),
        *_remains(home, policy),
    ]
    return [one for one in found if not any(map(is_held, one.locks))]


def _checkpoints(studies: Path, policy: Policy, of_nights: tuple[Path, ...]) -> Iterator[Removable]:
    """Of studies that nobody has gone on with; their ledgers stay, and with them what later nights learn from."""
    for trials in sorted(studies.glob("*/trials")):
        if any(trials.iterdir()) and policy.is_old(trials):
            locks = (trials.with_name("lock"), *of_nights)
            yield removable("trial checkpoints", trials, f"study {trials.parent.name} rests", locks)


def _trainings(trainings: Path, policy: Policy, of_nights: tuple[Path, ...]) -> Iterator[Removable]:
    """The files alone: somebody may be waiting for the lock that lies beside them."""
    for folder in sorted(path for path in trainings.glob("*") if policy.is_old(path)):
        for path in sorted(folder.glob("epoch-*.checkpoint")):
            locks = (folder / "lock", *of_nights)
            yield removable("training checkpoints", path, "nobody goes on with it", locks)


def _logs(studies: Path, policy: Policy, old: Collection[str]) -> Iterator[Removable]:
    for night in old:
        logs = studies / night / "logs"
        if logs.is_dir() and policy.is_old(logs):
            yield removable("workers' logs", logs, f"{night} is over", (logs.with_name("lock"),))


def _pictures(policy: Policy, old: Collection[str], trials: TrialFolders) -> Iterator[Removable]:
    for night in old:
        for folder in trials(night):
            if folder.is_dir() and policy.is_old(folder):
                yield removable("files of trials", folder, f"{night} is over; figures and curves stay")


def _reproductions(reproductions: Path, policy: Policy) -> Iterator[Removable]:
    """Those that were kept for a look, and those of killed processes."""
    for folder in leftovers(reproductions):
        if policy.is_old(folder):
            yield removable("reproductions", folder, "nobody looks at it", (lock_of(folder),))


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

"""DVC as a command: run a stage, pull, push, save a night."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from cnn.errors import CnnError, ConfigError
from cnn.lineage import git
from cnn.runtime import DVC, end_tree, is_alive

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State  # noqa: TID251

log = logging.getLogger(__name__)

_USER_MISTAKE, _INTERRUPTED = 2, 130
_WORKER = "cnn.search.worker"  # the search ends its workers
_ENDING = ", exited with "
_MISTAKE = "cnn: "


class StageError(CnnError):
    """A stage did not succeed; it has said why on the screen.

    Args:
        code: 2 for a user's mistake, 130 for Ctrl-C, else a fault.
        reason: What it has said, in a line.
    """

    def __init__(self, stage: str, code: int, reason: str = "") -> None:
        self.stage, self.code, self.reason = stage, code, reason or f"exit code {code}"
        super().__init__(f"stage {stage} ended with exit code {code}")

    def refuses(self, stage: str) -> bool:
        """Whether it is this stage's word that the user has made a mistake."""
        return self.stage == stage and self.code == _USER_MISTAKE


class NightTooLong(CnnError):
    """A night has reached its time limit. It is no TimeoutError: that is an OSError, which whoever reads a file takes
    for a file's.
    """


def is_no_users_mistake(_task: object, _run: object, state: "State[object]") -> bool:
    """Whether trying again may help."""
    mishap = state.result(raise_on_failure=False)
    if isinstance(mishap, NightTooLong):
        return False
    return not (isinstance(mishap, StageError) and mishap.code in (_USER_MISTAKE, _INTERRUPTED))


def run_stage(name: str, *, force: bool = False) -> None:
    """Run one DVC stage when its inputs changed.

    Args:
        force: Run it in any case, past the run cache.

    Raises:
        StageError: It failed.
    """
    words = ["--force", "--no-run-cache"] if force else []
    said: list[str] = []
    code, complaint = _dvc("repro", "--single-item", *words, name, said=said)
    if code:
        raise StageError(name, _stage_code(complaint, code), said[-1] if said else "")


def pull(remote: str) -> bool:
    """Fetch the prepared data from a DVC remote, every object verified; False when it does not hold them (whole)."""
    # without this a flipped bit in the remote arrives as a wrong file and exit code 0
    _dvc("remote", "modify", "--local", remote, "verify", "true", quiet=True)
    code, complaint = _dvc("pull", "--remote", remote, "prepare", quiet=True)
    if code:
        log.warning("%s does not give these data, which are prepared here: dvc pull: %s", remote, complaint.rstrip(":"))
    return code == 0


def push(remote: str) -> str:
    """Send what the night's lock names to a DVC remote; a sentence that says whether it got there."""
    code, complaint = _dvc("push", "--remote", remote, quiet=True)
    return f"pushed to {remote}" if code == 0 else f"not pushed to {remote}: {complaint}"


def check_remote(remote: str) -> None:
    """A remote that is not configured is told before a night begins.

    Raises:
        ConfigError: DVC knows no remote of this name.
    """
    if not remote:
        return
    command = [sys.executable, "-m", "dvc", "config", "--list"]  # `dvc remote list` breaks long lines
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    names = re.findall(r"^remote\.(.+)\.url=", listed, re.MULTILINE)
    if remote not in names:
        expected = f"one of {', '.join(names)}" if names else "a configured remote"
        change = f"run dvc remote add {remote} PLACE or set CNN_DVC_REMOTE"
        raise ConfigError("CNN_DVC_REMOTE", received=remote, expected=expected, change=change)


def save(night: str) -> str:
    """Save the workspace as a DVC experiment named after the night; a sentence that says what was done."""
    if not Path(".git").exists():
        return "not saved as a DVC experiment: this folder is no git checkout"
    staged = git("write-tree")  # DVC keeps what a person has staged, but not that it was
    code, complaint = _dvc("exp", "save", "--force", "--name", night, quiet=True, settings=_identity())
    if staged and git("write-tree") != staged:
        git("read-tree", staged)
    return f"saved as DVC experiment {night}" if code == 0 else f"not saved as a DVC experiment: {complaint}"


def push_night(night: str, git_remote: str, home: str) -> str:
    """Send a saved night to a git remote, where other clones find it; a sentence that says whether it got there.

    Args:
        home: Id of this home, which the night's name bears there if another home's night has that name already: one
            crontab on two machines is enough.
    """
    refs = git("for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{night}").split()
    if not refs:
        return f"not pushed to git remote {git_remote}: it is no DVC experiment"
    there = [line.split()[0] for line in git("ls-remote", git_remote, *refs).splitlines()]
    ending = "" if all(git("cat-file", "-t", commit) for commit in there) else f"@{home}"
    answer = subprocess.run(
        ["git", "push", "--quiet", "--force", git_remote, *(f"{ref}:{ref}{ending}" for ref in refs)],
        env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},  # at night nobody types a password
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    complaint = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
    if answer.returncode:
        return f"not pushed to {git_remote}: {complaint}"
    return f"pushed to git remote {git_remote}" + (f" as {night}{ending}" if ending else "")


def check_git_remote(remote: str) -> None:
    """A git remote that is not configured is told before a night begins.

    Raises:
        ConfigError: Git knows no remote of this name.
    """
    names = git("remote").split() if remote else []
    if remote and remote not in names:
        expected = f"one of {', '.join(names)}" if names else "a configured remote"
        change = f"run git remote add {remote} PLACE or set CNN_GIT_REMOTE"
        raise ConfigError("CNN_GIT_REMOTE", received=remote, expected=expected, change=change)


def _identity() -> dict[str, str]:
    """Who saves a night where git was never told who its user is; DVC would refuse."""
    settings: dict[str, str] = {}
    for part, ours in (("name", "cnn-overnight"), ("email", "cnn-overnight@localhost")):
        known = subprocess.run(["git", "config", f"user.{part}"], capture_output=True, check=False).returncode == 0
        roles = () if known else (f"GIT_AUTHOR_{part.upper()}", f"GIT_COMMITTER_{part.upper()}")
        settings |= {role: os.environ.get(role, ours) for role in roles}
    return settings


def _dvc(
    *words: str, quiet: bool = False, said: list[str] | None = None, settings: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and the last line of complaint. A stage's own words go to the screen.

    Args:
        said: Takes the lines in which a stage names a mistake.
        settings: Environment variables beside our own.
    """
    _mend_lock()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    process = subprocess.Popen(
        [*DVC, *words],
        env=os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1", **(settings or {})},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        complaint = process.communicate()[1] if quiet else _passed_on(process, said)
        code = process.wait()
    except BaseException:
        end_tree(process, spare=_WORKER)
        raise
    lines = [line for line in complaint.strip().splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]  # a line about DVC's support may follow
    return code, (errors or lines or [""])[-1].removeprefix("ERROR: ")


def _passed_on(process: "subprocess.Popen[str]", said: list[str] | None) -> str:
    """The last line of complaint; all of them go to the screen but DVC's own word about a stage that has spoken."""
    complaint = ""
    with process.stderr or nullcontext(()) as lines:
        for line in lines:
            complaint = line if line.strip() else complaint
            if said is not None and line.startswith(_MISTAKE):
                said.append(line.removeprefix(_MISTAKE).strip())
            if not (line.startswith("ERROR: failed to reproduce") and _ENDING in line):
                sys.stderr.write(line)
    return complaint


def _stage_code(complaint: str, code: int) -> int:
    """DVC hides a stage's exit code in its complaint: `failed to run: cnn search, exited with 2`."""
    ending = complaint.strip().rpartition(_ENDING)[2].rstrip(".")
    return abs(int(ending)) if ending.lstrip("-").isdigit() else code


def _mend_lock() -> None:
    """A kill can leave an `rwlock` over which DVC would stumble for ever: an empty one, or one of processes that are
    dead but, in a container, collected by nobody, which DVC takes for alive.
    """
    path = Path(".dvc/tmp/rwlock")
    if path.is_file() and not any(map(is_alive, _holders(path.read_text()))):
        path.unlink(missing_ok=True)


def _holders(rwlock: str) -> list[int]:
    """Processes that DVC's lock names: by path, one that writes and a list of those that read."""
    try:
        locks = json.loads(rwlock)
    except ValueError:  # empty, or torn
        return []
    infos = [info for lock in locks.values() for info in (lock.get("write") or {}, *(lock.get("read") or []))]
    return [info["pid"] for info in infos if "pid" in info]

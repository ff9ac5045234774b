"""DVC as a command: run a stage, pull, push, save a night."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cnn.errors import CnnError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State  # noqa: TID251

log = logging.getLogger(__name__)

_USER_MISTAKE, _INTERRUPTED = 2, 130


class StageError(CnnError):
    """A stage did not succeed; it has said why on the screen.

    Args:
        code: 2 for a user's mistake, 130 for Ctrl-C, else a fault.
    """

    def __init__(self, stage: str, code: int) -> None:
        self.code = code
        super().__init__(f"stage {stage} ended with exit code {code}")


def is_no_users_mistake(_task: object, _run: object, state: "State[object]") -> bool:
    """Whether trying again may help."""
    mishap = state.result(raise_on_failure=False)
    return not (isinstance(mishap, StageError) and mishap.code in (_USER_MISTAKE, _INTERRUPTED))


def run_stage(name: str, *, force: bool = False) -> None:
    """Run one DVC stage when its inputs changed.

    Args:
        force: Run it in any case, past the run cache.

    Raises:
        StageError: It failed.
    """
    words = ["--force", "--no-run-cache"] if force else []
    code, complaint = _dvc("repro", "--quiet", "--single-item", *words, name)
    if code:
        raise StageError(name, _stage_code(complaint, code))


def pull(remote: str) -> bool:
    """Fetch the prepared data from a DVC remote, every object verified; False when it does not hold them (whole)."""
    # without this a flipped bit in the remote arrives as a wrong file and exit code 0
    _dvc("remote", "modify", "--local", remote, "verify", "true", quiet=True)
    code, complaint = _dvc("pull", "--remote", remote, "prepare", quiet=True)
    if code:
        log.warning("dvc pull: %s", complaint)
    return code == 0


def push(remote: str, night: str) -> None:
    """Send what the night's lock names to a DVC remote.

    Raises:
        StageError: It could not be sent.
    """
    code, complaint = _dvc("push", "--remote", remote, quiet=True)
    if code:
        log.error("dvc push: %s", complaint)
        raise StageError(f"push of {night}", code)


def save(night: str) -> str:
    """Save the workspace as a DVC experiment named after the night; a sentence that says what was done."""
    if not Path(".git").exists():
        return "not saved as a DVC experiment: this folder is no git checkout"
    code, complaint = _dvc("exp", "save", "--force", "--name", night, quiet=True)
    return f"saved as DVC experiment {night}" if code == 0 else f"not saved as a DVC experiment: {complaint}"


def _dvc(*words: str, quiet: bool = False) -> tuple[int, str]:
    """Exit code and the last line of complaint. A stage's own words go to the screen."""
    _mend_lock()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [sys.executable, "-m", "dvc", *words]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.PIPE,
        text=True,
    )
    complaint = ""
    assert process.stderr is not None
    if quiet:
        _, complaint = process.communicate()
    else:
        for line in process.stderr:
            complaint = line if line.strip() else complaint
            if not line.startswith("ERROR: failed to reproduce"):
                sys.stderr.write(line)
    lines = [line for line in complaint.strip().splitlines() if line.strip()]
    return process.wait(), lines[-1].removeprefix("ERROR: ") if lines else ""


def _stage_code(complaint: str, code: int) -> int:
    """DVC hides a stage's exit code in its complaint: `failed to run: cnn search, exited with 2`."""
    ending = complaint.strip().rpartition("exited with ")[2].rstrip(".")
    return abs(int(ending)) if ending.lstrip("-").isdigit() else code


def _mend_lock() -> None:
    """A kill can leave an empty `rwlock`, over which DVC would stumble for ever; it holds nothing, so it can go."""
    path = Path(".dvc/tmp/rwlock")
    if path.is_file() and path.stat().st_size == 0:
        path.unlink()

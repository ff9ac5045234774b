"""Whether everything is installed, in the versions it was tested with."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

from cnn.commands.checks.finding import Finding, ok, problem, warning
from cnn.runtime import cpu_count_available

_DISTRIBUTION = "cnn-overnight"
_PYTHON = ">=3.11,<3.14"
_LOCK = Path("requirements.lock")
_INSTALL = "make a fresh environment: make clean run"
_TENSORFLOW_S = 180.0  # an import takes 10 to 25 s, on a busy machine several times that
_DEVICES = """
import json
from cnn.runtime import configure_process, devices
configure_process(threads=None)
print(json.dumps(devices()))
"""


def python() -> Iterator[Finding]:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if SpecifierSet(_PYTHON).contains(version, prereleases=True):
        yield ok("Python", version)
    else:
        yield problem("Python", f"{version}, not {_PYTHON}", "make PYTHON=/path/to/python3.11 clean run")


def packages() -> Iterator[Finding]:
    """Each package this one needs against its range, and against the lock file where there is one."""
    try:
        needed = [Requirement(text) for text in metadata.requires(_DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        yield problem("packages", f"{_DISTRIBUTION} is not installed", _INSTALL)
        return
    unfit = unfitnesses(needed)
    yield from (problem("packages", text, _INSTALL) for text in unfit)
    if not unfit:
        yield ok("packages", "all are in their ranges")
    if _LOCK.is_file():
        yield _against_lock(_LOCK)


def unfitnesses(requirements: Iterable[Requirement]) -> list[str]:
    """What is wrong with those that are needed on this machine, without any extra."""
    needed = (each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""}))
    return [text for requirement in needed if (text := unfitness(requirement))]


def unfitness(requirement: Requirement) -> str:
    """What is wrong with the installed version; empty when nothing is."""
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return f"{requirement.name} is not installed"
    if requirement.specifier.contains(installed, prereleases=True):
        return ""
    return f"{requirement.name} {installed}, not {requirement.specifier}"


def _against_lock(lock: Path) -> Finding:
    differing = unfitnesses(_pinned(lock))
    if not differing:
        return ok(lock.name, "all packages are as pinned")
    first = "; ".join(differing[:3]) + (f"; and {len(differing) - 3} more" if len(differing) > 3 else "")
    return warning(lock.name, first, _INSTALL)


def _pinned(lock: Path) -> Iterator[Requirement]:
    for line in lock.read_text(encoding="utf-8").splitlines():
        try:
            yield Requirement(line.removesuffix("\\"))
        except InvalidRequirement:  # a hash, a comment, an empty line
            continue


def programs() -> Iterator[Finding]:
    """The commands that steps and flows call."""
    for name, (finding, mend) in _PROGRAMS.items():
        path = shutil.which(name, path=f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
        yield ok(name, path) if path else finding(name, "not on the path", mend)


_PROGRAMS = {
    "git": (warning, "install git: without it versions bear no revision and nights are not saved"),
    "npm": (warning, "install Node.js: without npm one mirror of the data sets is out of reach"),
    "dvc": (problem, _INSTALL),
}


def devices() -> Iterator[Finding]:
    """What TensorFlow computes on, asked in a process of its own: an import can take long, fail, or crash."""
    try:
        run = subprocess.run(
            [sys.executable, "-c", _DEVICES], capture_output=True, text=True, timeout=_TENSORFLOW_S, check=False
        )
    except subprocess.TimeoutExpired:
        yield problem("TensorFlow", f"not imported within {_TENSORFLOW_S:.0f} s", "end what keeps the machine busy")
        return
    if run.returncode:
        lines = run.stderr.strip().splitlines() or [f"exit code {run.returncode}"]
        yield problem("TensorFlow", lines[-1], _INSTALL)
        return
    yield from _devices(json.loads(run.stdout.splitlines()[-1]))


def _devices(names: list[str]) -> Iterator[Finding]:
    yield ok("devices", f"{', '.join(names)}; {cpu_count_available()} cores")
    if len(names) == 1 and Path("/dev/nvidia0").exists():
        mend = f"pip install '{_DISTRIBUTION}[gpu]', and check its driver with nvidia-smi"
        yield warning("GPU", "there is one, which TensorFlow cannot use", mend)

"""Under which conditions a model was trained: what the same code, data and settings may still depend on."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import cnn
from cnn.runtime import configure_process, cpu_count_available, devices

_FRAMEWORKS = ("tensorflow", "tensorflow-cpu", "keras", "numpy", "ml-dtypes", "h5py", "optuna", "keras-tuner", "scipy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A condition that is not what it was.

    Args:
        then: As it was kept; `none` where it did not exist.
    """

    what: str
    then: str
    now: str


def read_conditions(code: Path = Path(cnn.__file__).parent) -> dict[str, Any]:
    """Packages, code, machine and devices of this process, as plain values. Loads TensorFlow.

    Args:
        code: Folder of the package `cnn` that runs, whose Python files make the digest `code`.
    """
    configure_process(threads=None)
    return {
        "packages": {str(one.metadata["Name"]).lower(): one.version for one in distributions()},
        "python": platform.python_version(),
        "code": code_digest(code),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu(),
        "threads": cpu_count_available(),
        "devices": devices(),
    }


def code_digest(folder: Path) -> str:
    """SHA-256 over the Python files of a package: paths and contents.

    Example:
        >>> len(code_digest(Path(cnn.__file__).parent))
        64
    """
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        whole.update(f"{path.relative_to(folder)}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """What differs between two `read_conditions`, the frameworks that compute before other packages.

    Example:
        >>> changes({"threads": 2, "packages": {"keras": "3.15.1"}}, {"threads": 4, "packages": {"keras": "3.15.1"}})
        [Change(what='threads', then='2', now='4')]
    """
    before, after = _flat(then), _flat(now)
    differing = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    return [
        Change(what=name, then=before.get(name, "none"), now=after.get(name, "none"))
        for name in sorted(differing, key=lambda name: (_rank(name), name))
    ]


def _rank(name: str) -> int:
    return 0 if not name.startswith("package ") else 1 if name.removeprefix("package ") in _FRAMEWORKS else 2


def _flat(conditions: Mapping[str, Any]) -> dict[str, str]:
    plain = {name: value for name, value in conditions.items() if name != "packages"}
    shown = {name: ", ".join(value) if isinstance(value, list) else str(value) for name, value in plain.items()}
    if "code" in shown:
        shown["code"] = shown["code"][:12]
    return shown | {f"package {name}": version for name, version in conditions.get("packages", {}).items()}


def _cpu() -> str:
    """The processor's name; Linux keeps it where `platform` does not look."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text(errors="replace").splitlines() if listing.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")

"""The history of promotions and refusals, one sealed line each, since MLflow keeps none of its aliases.

This home's own copy; the one that all homes of a registry share is the registry's log of decisions, in the same lines.
"""

import fcntl
import getpass
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cnn.durable import storage_errors
from cnn.errors import IntegrityError

LEDGER = "promotions.jsonl"
_SEAL = "sha256"


@contextmanager
def promoting(home: Path) -> Iterator[None]:
    """While it is held, no other process on this machine moves the champion."""
    with storage_errors(home):
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / "promote.lock").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def append_promotion(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line to the ledger, with who and when unless it has them, on disk before this returns.

    Raises:
        StorageError: It cannot be written.
    """
    text = sealed_line({**signed_now(), **entry}) + "\n"
    with storage_errors(path), path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)  # a line torn by a kill was never said
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def read_promotions(path: Path) -> list[dict[str, Any]]:
    """All lines, oldest first. A last line that a kill left half written was never said.

    Raises:
        IntegrityError: Another line is not what was written.
    """
    if not path.exists():
        return []
    *texts, _torn = path.read_text(encoding="utf-8", errors="replace").split("\n")
    return [read_line(text, f"{path}:{number}") for number, text in enumerate(texts, 1)]


def signed_now() -> dict[str, str]:
    """When and who: what every line begins with."""
    return {"at": datetime.now(UTC).isoformat(timespec="seconds"), "by": _user()}


def sealed_line(line: Mapping[str, Any]) -> str:
    """A line as JSON, its last key the SHA-256 of all others."""
    return json.dumps(dict(line) | {_SEAL: _seal(line)}, ensure_ascii=False)


def read_line(text: str, subject: str) -> dict[str, Any]:
    """A line, its seal checked and removed.

    Args:
        subject: Where it stands, for the error.

    Raises:
        IntegrityError: It is not what was written.
    """
    try:
        line = json.loads(text)
        if line.pop(_SEAL) != _seal(line):
            raise ValueError("its seal does not match")
    except (ValueError, AttributeError, KeyError) as error:
        change = "the line was flipped or edited: restore it from a copy"
        raise IntegrityError(subject, received="a damaged line", expected="as written", change=change) from error
    return dict(line)


def _seal(line: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(line, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"

"""The nights of this machine: one sealed record each, in `HOME/nights`, and a lock while one runs."""

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from cnn.durable import exclusive, is_held, read_sealed, write_sealed
from cnn.errors import IntegrityError


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A night as it stands.

    Args:
        checkout: Folder it runs in.
        began: Local time, ISO 8601.
        finished: Whether it came to its end.
        seconds: How long each part took, in the order of running; parts done by an earlier start of it included.
        verdict: What became of the challenger, in a sentence.
        saved: Whether the night is a DVC experiment, in a sentence.
    """

    name: str
    checkout: str
    params_digest: str
    began: str
    finished: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    version: str = ""
    verdict: str = ""
    saved: str = ""


class Nights:
    """All nights, newest last.

    Args:
        folder: `HOME/nights`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[Night]:
        """Every night with a sound record, oldest first; a damaged record is left out."""
        nights = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                nights.append(Night(**read_sealed(path)))
            except IntegrityError:
                continue
        return sorted(nights, key=lambda night: night.began)

    def read(self, name: str) -> Night:
        """One night.

        Raises:
            IntegrityError: Its record is missing or damaged.
        """
        return Night(**read_sealed(self._folder / f"{name}.json"))

    def knows(self, name: str) -> bool:
        """Whether there is a night of this name."""
        return (self._folder / f"{name}.json").exists()

    def open(self, checkout: Path, params_digest: str) -> Night:
        """The unfinished night of this checkout with these settings, or a new one."""
        for night in reversed(self.all()):
            if night.checkout == str(checkout) and not night.finished and not self.runs(night.name):
                if night.params_digest == params_digest:
                    return night
                break
        now = datetime.now().astimezone()
        return self.write(
            Night(
                name=self._free_name(f"night-{now:%Y-%m-%d-%H%M}"),
                checkout=str(checkout),
                params_digest=params_digest,
                began=now.isoformat(timespec="milliseconds"),
            )
        )

    def write(self, night: Night, **changes: Any) -> Night:
        """Keep a night's record, with some fields changed; the night as it now stands."""
        changed = replace(night, **changes)
        write_sealed(self._folder / f"{night.name}.json", asdict(changed))
        return changed

    def in_checkout(self, checkout: Path) -> AbstractContextManager[None]:
        """Held while a night runs in this checkout.

        Raises:
            ServiceError: Another night runs in it.
        """
        name = str(checkout).strip("/").replace("/", "-")
        return exclusive(self._lock(f"checkout-{name}"), what="a night")

    def alive(self, name: str) -> AbstractContextManager[None]:
        """Held by the process that runs this night."""
        return exclusive(self._lock(name), what="this night")

    def runs(self, name: str) -> bool:
        """Whether a process runs this night now."""
        return is_held(self._lock(name))

    def _lock(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    def _free_name(self, stem: str) -> str:
        names = {path.stem for path in self._folder.glob("*.json")}
        candidates = [stem, *(f"{stem}-{number}" for number in range(2, len(names) + 3))]
        return next(name for name in candidates if name not in names)

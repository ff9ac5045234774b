"""The nights of this machine: one sealed record each, in `HOME/nights`, and a lock while one runs."""

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cnn.durable import exclusive, is_held, read_sealed, write_sealed
from cnn.errors import IntegrityError

_STALE = timedelta(hours=12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """A night as it stands.

    Args:
        checkout: Folder it runs in.
        began: Local time, ISO 8601.
        searched: Whether its search is over.
        finished: Whether it came to its end, good or bad.
        seconds: How long each part took, in the order of running; parts done by an earlier start of it included.
        part: The part under way, or in which it stopped; it may stand in `seconds` too.
        reason: Why that part failed, in a line; empty when it was interrupted.
        verdict: What became of the challenger, in a sentence.
        saved: Whether the night is a DVC experiment, in a sentence.
        cpu_s: Processor seconds of each part, those of the processes it started and waited for included.
        settings: `params.yaml` by dotted path, as this night had it.
        data_hash: Of the prepared data.
        data: What its data check found; empty when none was made.
        figures: Of the candidate on the test images, by the names of an evaluation, with its overfitting gap.
        run: The candidate's, in the tracker.
        decision: The verdict with its figures and rules.
    """

    name: str
    checkout: str
    params_digest: str
    began: str
    searched: bool = False
    finished: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    part: str = ""
    reason: str = ""
    version: str = ""
    verdict: str = ""
    saved: str = ""
    cpu_s: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    data_hash: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    run: str = ""
    decision: dict[str, Any] = field(default_factory=dict)

    def is_over(self, now: datetime) -> bool:
        """Whether it came to its end, or failed after its search too long ago to be gone on with."""
        return self.finished or (self.searched and now - datetime.fromisoformat(self.began) > _STALE)


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
        """The latest night of this checkout if it can be gone on with, or a new one.

        It can when it is unfinished and had these settings. One that failed after its search is only gone on with for
        some hours: the next night must search. One that cannot is closed with its reason: nothing would ever finish it.
        """
        now = datetime.now().astimezone()
        with exclusive(self._lock("choosing"), what="the start of a night", patience_s=30.0):
            latest = next((night for night in reversed(self.all()) if night.checkout == str(checkout)), None)
            if latest and not latest.finished:
                reason = _reason_to_give_up(latest, params_digest, now)
                if not reason:
                    return latest
                self.write(latest, finished=True, verdict=f"given up: {reason}")
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

    def page(self, name: str) -> Path:
        """Where a night's morning page lies, if it has one."""
        return self._folder / f"{name}.html"

    def in_checkout(self, checkout: Path, *, patience_s: float = 2.0) -> AbstractContextManager[None]:
        """Held while a night runs in this checkout.

        Args:
            patience_s: How long to wait for one under way.

        Raises:
            ServiceError: Another night runs in it.
        """
        return exclusive(self._checkout_lock(checkout), what="a night", patience_s=patience_s)

    def locks(self) -> tuple[Path, ...]:
        """The files of which one is held while a night of this home runs, in whatever checkout."""
        return tuple(sorted(self._folder.glob("checkout-*.lock")))

    def run_in(self, checkout: Path) -> bool:
        """Whether a night of this home runs in this checkout."""
        return is_held(self._checkout_lock(checkout))

    def alive(self, name: str) -> AbstractContextManager[None]:
        """Held by the process that runs this night."""
        return exclusive(self._lock(name), what="this night")

    def runs(self, name: str) -> bool:
        """Whether a process runs this night now."""
        return is_held(self._lock(name))

    def _checkout_lock(self, checkout: Path) -> Path:
        name = str(checkout).strip("/").replace("/", "-")
        return self._lock(f"checkout-{name}")

    def _lock(self, name: str) -> Path:
        return self._folder / f"{name}.lock"

    def _free_name(self, stem: str) -> str:
        names = {path.stem for path in self._folder.glob("*.json")}
        candidates = [stem, *(f"{stem}-{number}" for number in range(2, len(names) + 3))]
        return next(name for name in candidates if name not in names)


def _reason_to_give_up(night: Night, params_digest: str, now: datetime) -> str:
    """Why an unfinished night cannot be gone on with; empty when it can."""
    if night.is_over(now):
        return "it failed after its search"
    return "" if night.params_digest == params_digest else "the settings changed"

"""Room made: shows what nobody needs and how much it is, asks, removes."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table

from cnn import wiring
from cnn.config.environment import Environment
from cnn.disposal.cache import cache_of, remove_unused_data, unused_data
from cnn.disposal.home import in_home, old_nights
from cnn.disposal.removable import Policy, Removable
from cnn.errors import ConfigError
from cnn.lineage import git
from cnn.nights import Nights
from cnn.tracking.registry import Registry

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def gc(environment: Environment, policy: Policy, console: Console, *, yes: bool = False) -> list[Removable]:
    """Remove checkpoints, old trials' files, leftovers of kills, and data that no version and no night needs.

    Ledgers, runs with their figures and curves, versions and saved nights stay whole. What a kill in the middle leaves,
    the next call finds.

    Args:
        yes: Do not ask.

    Returns:
        What was removed.

    Raises:
        ConfigError: Nobody can be asked.
        ServiceError: The registry does not answer, so that nobody knows what it needs, or a night runs here.
    """
    registry, nights, checkout = wiring.registry(environment), Nights(environment.home / "nights"), Path.cwd()
    with TemporaryDirectory() as scratch:
        old = old_nights(nights, policy, {version.tags.get("night", "") for version in registry.versions()})
        of_home = partial(in_home, environment, policy, old, wiring.reader(environment).trial_folders)
        locks, cache = _locks(registry, Path(scratch)), cache_of(checkout)
        in_cache = unused_data(checkout, locks) if cache else []
        found = [*of_home(), *in_cache]
        _show(found, console)
        if (checkout / ".dvc").is_dir() and cache is None:
            console.print("DVC's cache lies outside this checkout, or is empty: left alone", highlight=False)
        if not found or not (yes or _agreed(console)):
            return []
        removed = [one for one in of_home() if one in found]  # somebody may have begun to use one meanwhile
        for one in removed:
            one.remove()
        git("worktree", "prune")
        if in_cache:
            with nights.in_checkout(checkout):  # what a night has just made is in no lock yet
                remove_unused_data(checkout, locks)
    removed += in_cache
    console.print(f"removed {_amount(removed)}", highlight=False)
    return removed


def _locks(registry: Registry, scratch: Path) -> list[Path]:
    """The lock of each version that has one."""
    locks = []
    for number, version in enumerate(registry.versions()):
        if "sha256.dvc.lock" in version.tags:
            folder = scratch / str(number)
            folder.mkdir()
            locks.append(registry.download_file(version, "dvc.lock", folder))
    return locks


def _show(found: Sequence[Removable], console: Console) -> None:
    if not found:
        console.print("nothing to remove", highlight=False)
        return
    table = Table(title="What may go", title_justify="left")
    for heading in ("what", "how many", "size", "for example"):
        table.add_column(heading, justify="right" if heading in ("how many", "size") else "left", overflow="fold")
    for kind in dict.fromkeys(one.kind for one in found):
        of_kind = [one for one in found if one.kind == kind]
        largest = max(of_kind, key=lambda one: one.n_bytes)
        example = f"{largest.path.parent.name}/{largest.path.name}: {largest.reason}"
        table.add_row(kind, f"{len(of_kind):,}", _size(sum(one.n_bytes for one in of_kind)), example)
    console.print(table, f"together {_amount(found)}", highlight=False)


def _agreed(console: Console) -> bool:
    if not sys.stdin.isatty():
        change = "say cnn gc --yes to remove it"
        raise ConfigError("cnn gc", received="nobody to ask", expected="a terminal or --yes", change=change)
    return Confirm.ask("remove it?", console=console, default=False)


def _amount(found: Sequence[Removable]) -> str:
    return f"{_size(sum(one.n_bytes for one in found))} in {len(found):,} places"


def _size(n_bytes: int) -> str:
    """Bytes as a person reads them.

    Example:
        >>> _size(3 << 20), _size(12)
        ('3.0 MiB', '12 bytes')
    """
    return next((f"{n_bytes / size:.1f} {unit}" for size, unit in _UNITS if n_bytes >= size), f"{n_bytes} bytes")

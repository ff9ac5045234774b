"""Room made: shows what nobody needs and how much it is, asks, removes."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table

from cnn import wiring
from cnn.config.environment import Environment
from cnn.disposal.cache import cache_of, remove_unused_data, unused_data
from cnn.disposal.home import in_home, old_nights
from cnn.disposal.removable import Policy, Removable, remove
from cnn.errors import ConfigError
from cnn.nights import Nights
from cnn.reproduction.keeping import LOCK
from cnn.reproduction.worktree import REPRODUCTIONS, forget
from cnn.tracking.registry import Registry

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def gc(environment: Environment, policy: Policy, console: Console, *, yes: bool = False) -> list[Removable]:
    """Remove checkpoints, old trials' files, leftovers of kills, and data that no version and no night needs.

    Ledgers, runs with their figures and curves, versions and saved nights stay whole. What a kill in the middle leaves,
    the next call finds. What a running night needs stays.

    Args:
        yes: Do not ask.

    Returns:
        What was removed.

    Raises:
        ConfigError: Nobody can be asked.
        IntegrityError: What a version keeps is damaged, so that nobody knows what it needs.
        ServiceError: The registry or DVC does not answer, or a night has begun in this checkout meanwhile.
        StorageError: Something cannot be removed.
    """
    registry, nights, checkout = wiring.registry(environment), Nights(environment.home / "nights"), Path.cwd()
    cache = _cache(nights, checkout, console)
    of_home = _of_home(environment, policy, nights, registry)
    in_cache = _of_cache(checkout, cache, registry)
    _show([*of_home, *in_cache], console)
    if not (of_home or in_cache) or not (yes or _agreed(console)):
        return []
    still = [one for one in _of_home(environment, policy, nights, registry) if one in of_home]  # it may have taken long
    removed, aside = [], []
    for one in still:
        if place := one.set_aside():
            removed.append(one)
            aside.append(place)
    remove(aside)
    for one in removed:
        if one.path.parent == environment.home / REPRODUCTIONS:
            forget(checkout, one.path)
    if cache and in_cache:
        with nights.in_checkout(checkout), _locks(registry) as locks:
            remove_unused_data(checkout, cache, locks)
    console.print(f"removed {_amount([*removed, *in_cache])}", highlight=False)
    return [*removed, *in_cache]


def _cache(nights: Nights, checkout: Path, console: Console) -> Path | None:
    """DVC's cache of this checkout, if it can be cleared now; if not, it is said why."""
    if nights.run_in(checkout):
        console.print("a night runs here: DVC's cache is left alone", highlight=False)
        return None
    cache = cache_of(checkout)
    if cache is None and (checkout / ".dvc").is_dir():
        console.print("DVC's cache lies outside this checkout, or is empty: left alone", highlight=False)
    return cache


def _of_home(environment: Environment, policy: Policy, nights: Nights, registry: Registry) -> list[Removable]:
    old = old_nights(nights, policy, {version.tags.get("night", "") for version in registry.versions()})
    return in_home(environment, policy, old, wiring.reader(environment).trial_folders)


def _of_cache(checkout: Path, cache: Path | None, registry: Registry) -> list[Removable]:
    if cache is None:
        return []
    with _locks(registry) as locks:
        return unused_data(checkout, cache, locks)


@contextmanager
def _locks(registry: Registry) -> Iterator[list[Path]]:
    """The lock of each version that has one."""
    with TemporaryDirectory() as scratch:
        locks = []
        for number, version in enumerate(registry.versions()):
            if f"sha256.{LOCK}" in version.tags:
                folder = Path(scratch) / str(number)
                folder.mkdir()
                locks.append(registry.download_file(version, LOCK, folder))
        yield locks


def _show(found: Sequence[Removable], console: Console) -> None:
    if not found:
        console.print("nothing to remove", highlight=False)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("what may go", "how many", "size", "why the largest may"):
        table.add_column(heading, justify="right" if heading in ("how many", "size") else "left", overflow="fold")
    for kind in dict.fromkeys(one.kind for one in found):
        of_kind = [one for one in found if one.kind == kind]
        largest = max(of_kind, key=lambda one: one.n_bytes)
        table.add_row(kind, f"{len(of_kind):,}", _size(sum(one.n_bytes for one in of_kind)), largest.reason)
    console.print(table, f"together {_amount(found)}", sep="\n", highlight=False)


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

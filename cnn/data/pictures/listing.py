"""A user's own pictures before any of them is opened: where each lies, what it shows, and to which split it belongs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cnn.data.arrays import Labels, Names
from cnn.data.findings import Finding

SPLIT_WORDS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What people call the splits, in small letters."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Listing:
    """Pictures in an order that depends on their names alone.

    Args:
        source: The source's word in `params.yaml`.
        place: The folder or the manifest.
        root: The folder that relative names begin in.
        names: (n,) paths as the source has them, ascending.
        labels: (n,) class numbers, or (n, k) of 0 and 1.
        splits: (n,) train, validation or test; empty where the source knows no splits.
        findings: What was bad already without opening a picture.
    """

    source: str
    place: Path
    root: Path
    class_names: tuple[str, ...]
    names: Names
    labels: Labels
    splits: Names
    findings: tuple[Finding, ...]

    def path(self, row: int) -> Path:
        """Where picture `row` lies."""
        return self.root / str(self.names[row])


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once: numbers by their value, everything else by its letters.

    Example:
        >>> in_order(["10", "9", "9"]), in_order(["b", "10", "9"])
        (('9', '10'), ('10', '9', 'b'))
    """
    different = set(names)
    numeric = all(name.isascii() and name.isdigit() for name in different)
    return tuple(sorted(different, key=(lambda name: (int(name), name)) if numeric else None))

"""Files that cannot be used, each with its reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why a file is bad, in the words of `bad_files.csv`."""

    MISSING = "missing file"
    EMPTY = "empty file"
    NOT_A_FILE = "not a regular file"
    NO_PERMISSION = "no permission to read"
    LINK_LOOP = "symlink loop"
    NOT_AN_IMAGE = "not an image"
    OTHER_FORMAT = "format not allowed"
    WRONG_EXTENSION = "wrong extension"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    TOO_LARGE = "too many pixels"
    ODD_MODE = "pixels without a known range"
    OTHER_SIZE = "another size"
    STRAY = "outside a class folder"
    BAD_LABEL = "unreadable label"
    UNKNOWN_LABEL = "unknown label"
    UNKNOWN_SPLIT = "unknown split"
    LISTED_TWICE = "listed twice"
    FEW_IMAGES = "class with too few images"
    SAME_IMAGE = "same image in two splits"
    NEAR_DUPLICATE = "near-duplicate in another split"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One bad file.

    Args:
        path: As the source names it: relative to the folder or the manifest, or absolute; of a class, its name.
        split: The split it stands in; empty when it stands in none.
        detail: What exactly was found, in words.
    """

    path: str
    split: str
    reason: Reason
    detail: str


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Findings by reason, the most frequent first.

    Example:
        >>> counts([Finding(path="a.png", split="", reason=Reason.EMPTY, detail="0 bytes")])
        {'empty file': 1}
    """
    return {reason.value: n for reason, n in Counter(finding.reason for finding in findings).most_common()}

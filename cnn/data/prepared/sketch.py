"""A set of images in a line of text: enough to tell how much of it another set shares, when neither is at hand."""

from cnn.data.arrays import Split
from cnn.data.prepared.equal_images import fingerprints

_N_KEPT, _N_LETTERS = 64, 12


def sketch_of(split: Split) -> str:
    """The smallest digests of its images, one behind another: the same sample of images in every set that has them.

    References:
        Broder (1997), On the resemblance and containment of documents.
    """
    return "".join(sorted({fingerprint.hex()[:_N_LETTERS] for fingerprint in fingerprints(split)})[:_N_KEPT])


def shared_fraction(sketch: str, earlier: str) -> float:
    """The part of a set's images that an earlier set has too, in [0, 1], estimated from their sketches.

    It is counted over those digests of the set that the earlier sketch would hold, if the earlier set had them: up to
    64, of a set that is a small part of the earlier one fewer. Sets that share nothing have 0, as do empty sketches.

    Example:
        >>> shared_fraction("a" * 12 + "b" * 12, "b" * 12 + "c" * 12)
        0.5
    """
    own, theirs = _digests(sketch), _digests(earlier)
    known = {digest for digest in own if len(theirs) < _N_KEPT or digest <= max(theirs)}
    return len(known & theirs) / len(known) if known else 0.0


def _digests(sketch: str) -> set[str]:
    return {sketch[start : start + _N_LETTERS] for start in range(0, len(sketch), _N_LETTERS)}

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


def resemblance(one: str, other: str) -> float:
    """The images that two sets share as a part of those that either has, in [0, 1], estimated from their sketches.

    The standard error is at most 0.06; of sets of up to 64 images together there is none. 0 where a sketch is empty.

    Example:
        >>> resemblance("a" * 12 + "b" * 12, "b" * 12 + "c" * 12)
        0.3333333333333333
    """
    some, others = _digests(one), _digests(other)
    if not some or not others:
        return 0.0
    sample = sorted(some | others)[:_N_KEPT]
    return sum(digest in some and digest in others for digest in sample) / len(sample)


def _digests(sketch: str) -> set[str]:
    return {sketch[start : start + _N_LETTERS] for start in range(0, len(sketch), _N_LETTERS)}

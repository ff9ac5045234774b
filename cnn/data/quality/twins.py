"""Images that stand in two splits: the very same pixels, or nearly."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cnn.data.arrays import Split
from cnn.data.prepared.equal_images import fingerprints
from cnn.data.prepared.likeness import Hashes, near_pairs, perceptual_hashes
from cnn.data.prepared.splits import SPLITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Twin:
    """An image of `split` that stands in `other` as well; `other` comes later among train, validation and test.

    Args:
        difference: Root mean square over the 16 x 16 normalised grey values; 0 with equal pixels.
    """

    split: str
    position: int
    other: str
    other_position: int
    exact: bool
    difference: float


def twins(splits: Mapping[str, Split], max_difference: float) -> list[Twin]:
    """Of each image that has its like in a later split the nearest one there, by split and position.

    Args:
        max_difference: Of near-duplicates, 0 or more; 0: only equal pixels are looked for.
    """
    found = _exact(splits)
    if max_difference == 0:
        return _sorted(found)
    hashes = {name: perceptual_hashes(split) for name, split in splits.items()}
    for name in SPLITS:
        for other in SPLITS[SPLITS.index(name) + 1 :]:
            for twin in _near(splits, hashes, name, other, max_difference):
                known = found.get((name, twin.position))
                if known is None or (not known.exact and twin.difference < known.difference):
                    found[name, twin.position] = twin
    return _sorted(found)


def _exact(splits: Mapping[str, Split]) -> dict[tuple[str, int], Twin]:
    places: dict[bytes, tuple[str, int]] = {}
    found = {}
    for name in SPLITS[::-1]:
        prints = fingerprints(splits[name])
        for position, print_ in enumerate(prints):
            other, other_position = places.get(print_, (name, position))
            if other != name:
                found[name, position] = Twin(
                    split=name,
                    position=position,
                    other=other,
                    other_position=other_position,
                    exact=True,
                    difference=0.0,
                )
        for position, print_ in enumerate(prints):
            places.setdefault(print_, (name, position))
    return found


def _near(
    splits: Mapping[str, Split], hashes: Mapping[str, Hashes], name: str, other: str, max_difference: float
) -> Iterator[Twin]:
    for pairs in near_pairs(splits[name], splits[other], hashes[name], hashes[other], max_difference):
        for position, other_position, difference in zip(pairs.mine, pairs.theirs, pairs.difference, strict=True):
            yield Twin(
                split=name,
                position=int(position),
                other=other,
                other_position=int(other_position),
                exact=False,
                difference=round(float(difference), 3),
            )


def _sorted(found: Mapping[tuple[str, int], Twin]) -> list[Twin]:
    return [found[key] for key in sorted(found, key=lambda key: (SPLITS.index(key[0]), key[1]))]

"""The data card: what a person should know of the images before trusting a model trained on them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.data.arrays import DataSet, Images, Split, image_chunks
from cnn.data.findings import Finding, counts
from cnn.data.prepared.equal_images import fingerprints
from cnn.data.quality.checks import class_counts, constant_images

_N_EXAMPLES = 5
_IMBALANCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCard:
    """One split. Means and standard deviations are those of a channel's values / 255."""

    n_images: int
    n_images_by_class: Mapping[str, int]
    channel_means: tuple[float, ...]
    channel_sds: tuple[float, ...]
    n_repeated: int
    n_constant: int
    highest_value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedImages:
    """Images of `second` whose very pixels also stand in `first`; examples are (position in first, in second)."""

    first: str
    second: str
    n_images: int
    examples: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCard:
    """All findings. It says nothing of the machine or the mirror, so that equal data give an equal card.

    Args:
        imbalance: Images of the largest training class over those of the smallest, 1 or more.
        n_conflicting: Different images that stand somewhere with two different labels.
        left_out: Files of the source that are in no split, by reason.
    """

    source: str
    content_hash: str
    data_hash: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    splits: Mapping[str, SplitCard]
    imbalance: float
    shared: tuple[SharedImages, ...]
    n_conflicting: int
    left_out: Mapping[str, int]
    warnings: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The card in JSON's types."""
        return asdict(self)


def data_card(data: DataSet, splits: Mapping[str, Split], data_hash: str, left_out: Sequence[Finding] = ()) -> DataCard:
    """Count, measure and compare."""
    prints = {name: fingerprints(split) for name, split in splits.items()}
    cards = {name: _split_card(split, data.class_names, prints[name]) for name, split in splits.items()}
    shared = tuple(_shared(first, second, prints) for first, second in combinations(splits, 2))
    n_conflicting = _conflicting(splits, prints)
    n_images = next(iter(cards.values())).n_images_by_class.values()
    imbalance = round(max(n_images) / min(n_images), 3)
    return DataCard(
        source=data.source,
        content_hash=data.content_hash,
        data_hash=data_hash,
        image_shape=data.image_shape,
        class_names=data.class_names,
        splits=cards,
        imbalance=imbalance,
        shared=shared,
        n_conflicting=n_conflicting,
        left_out=counts(left_out),
        warnings=_warnings(cards, imbalance, shared, n_conflicting, counts(left_out)),
    )


def channel_moments(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of `images` / 255, to six digits.

    They come from histograms, which are whole numbers: no machine sums them in another order.
    """
    return _moments(_histogram(images))


def _histogram(images: Images) -> npt.NDArray[np.int64]:
    """(c, 256): how often each value stands in each channel."""
    channels = images.shape[-1]
    histogram = np.zeros((channels, 256), dtype=np.int64)
    for chunk in image_chunks(images):
        for channel in range(channels):
            histogram[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    return histogram


def _moments(histogram: npt.NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    values = np.arange(256)
    n = int(histogram[0].sum())
    sums = [(int(row @ values), int(row @ values**2)) for row in histogram]
    means = tuple(round(total / n / 255, 6) for total, _ in sums)
    sds = tuple(round((n * squares - total**2) ** 0.5 / n / 255, 6) for total, squares in sums)
    return means, sds


def _split_card(split: Split, class_names: tuple[str, ...], prints: list[bytes]) -> SplitCard:
    histogram = _histogram(split.images)
    means, sds = _moments(histogram)
    return SplitCard(
        n_images=len(split),
        n_images_by_class=dict(zip(class_names, class_counts(split.labels, len(class_names)), strict=True)),
        channel_means=means,
        channel_sds=sds,
        n_repeated=len(prints) - len(set(prints)),
        n_constant=sum(int(constant_images(chunk).sum()) for chunk in split.chunks()),
        highest_value=int(np.flatnonzero(histogram.any(axis=0))[-1]),
    )


def _shared(first: str, second: str, prints: Mapping[str, list[bytes]]) -> SharedImages:
    # Read backwards, so that the first of equal images has the last word.
    positions = {print_: n - 1 for n, print_ in zip(range(len(prints[first]), 0, -1), prints[first][::-1], strict=True)}
    pairs = [(positions[print_], place) for place, print_ in enumerate(prints[second]) if print_ in positions]
    return SharedImages(first=first, second=second, n_images=len(pairs), examples=tuple(pairs[:_N_EXAMPLES]))


def _conflicting(splits: Mapping[str, Split], prints: Mapping[str, list[bytes]]) -> int:
    first: dict[bytes, bytes] = {}
    conflicting = set()
    for name, split in splits.items():
        for print_, label in zip(prints[name], split.labels.astype(np.int64), strict=True):
            if first.setdefault(print_, label.tobytes()) != label.tobytes():
                conflicting.add(print_)
    return len(conflicting)


def _warnings(
    cards: Mapping[str, SplitCard],
    imbalance: float,
    shared: tuple[SharedImages, ...],
    n_conflicting: int,
    left_out: Mapping[str, int],
) -> tuple[str, ...]:
    found = [f"left out: {n} {reason}" for reason, n in left_out.items()]
    found += [f"{pair.n_images} images of {pair.second} also stand in {pair.first}" for pair in shared if pair.n_images]
    if n_conflicting:
        found.append(f"{n_conflicting} images stand somewhere with two different labels")
    if imbalance > _IMBALANCE:
        found.append(f"the largest class of train has {imbalance} times the images of the smallest")
    for name, card in cards.items():
        if card.n_repeated:
            found.append(f"{card.n_repeated} images of {name} repeat another one of it")
        if card.n_constant:
            found.append(f"{card.n_constant} images of {name} are of one colour")
        if card.highest_value <= 1:
            found.append(f"no value of {name} is above 1: were the images scaled to [0, 1] before?")
    return tuple(found)

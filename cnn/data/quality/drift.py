"""What has changed between two prepared sets: which images, how many of which class, and how the images look.

Of tens of thousands of images every trifle is significant, of a few hundred nothing is: a change is called drift where
it is both beyond luck, after Holm's correction over all tests made, and large. The tests take the two sets for
independent; the more images they share, the less often luck is called a drift.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.data.quality.fingerprint import Fingerprint, Prints, together
from cnn.data.quality.image_statistics import statistic_names

GROUPS = {"training": False, "test": True}
"""The groups of images that are compared, and whether they are the test images: training and validation are one."""

_DECIMALS = 4
"""Of a statistic: finer ones are rounding, of which images without colour consist where colours are measured."""

_FEWEST_EXPECTED = 5.0
"""Images that a class should have in either set for the chi-squared distribution to hold (Cochran 1954)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One test of whether two groups of images are alike in something.

    Args:
        group: `training` or `test`.
        of: A statistic, `classes`, or `label NAME`.
        effect: Its size in [0, 1]: of a statistic the Kolmogorov-Smirnov distance, the largest difference between the
            two distribution functions; of counts Cramér's V of two sets of equal size, so that it does not depend on
            how many images there are: sqrt(sum (p - q)^2 / (p + q) / 2) over the shares p before and q now.
        p_value: After Holm's correction.
        before: Mean of the statistic, or the share of the class that moved most.
        now: The same at present.
        example: The class that moved most; empty for a statistic.
    """

    group: str
    of: str
    effect: float
    p_value: float
    before: float
    now: float
    example: str = ""

    def sentence(self) -> str:
        """Where it has moved.

        Example:
            >>> shift = Shift(group="test", of="brightness", effect=0.3, p_value=1e-9, before=0.4, now=0.5)
            >>> shift.sentence()
            'brightness of the test images: mean 0.400 before, 0.500 now (distance 0.30, p < 0.0001)'
        """
        luck = "p < 0.0001" if self.p_value < 1e-4 else f"p = {self.p_value:.2g}"
        if self.example:
            moved = f"{self.example} {self.before:.1%} before, {self.now:.1%} now"
            return f"{self.of} of the {self.group} images: {moved} (V {self.effect:.2f}, {luck})"
        moved = f"mean {self.before:.3f} before, {self.now:.3f} now"
        return f"{self.of} of the {self.group} images: {moved} (distance {self.effect:.2f}, {luck})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is different at present.

    Args:
        n_before: Different images of before; `n_now` at present.
        added: Images that were not there before; `removed`, that are no longer.
        copies: How many more images than before are only copies of others; negative: fewer.
        relabelled: Images of both with other labels; of a copied one, as many copies as it had have another label.
        relabelled_by: The most frequent of these changes in words, with their number.
        seen_in_test: Present test images that could be trained on before: a model of then has seen them.
        misfit: Why the two cannot be compared image by image; empty when they can.
        shifts: All tests, the largest effect first.
    """

    n_before: int
    n_now: int
    added: int = 0
    removed: int = 0
    copies: int = 0
    relabelled: int = 0
    relabelled_by: tuple[tuple[str, int], ...] = ()
    seen_in_test: int = 0
    misfit: str = ""
    shifts: tuple[Shift, ...] = ()

    def drifted(self, *, alpha: float, statistic: float, balance: float) -> tuple[Shift, ...]:
        """The tests that are significant at `alpha` and whose effect is large.

        Args:
            statistic: Least Kolmogorov-Smirnov distance that counts.
            balance: Least Cramér's V that counts.
        """
        return tuple(
            shift
            for shift in self.shifts
            if shift.p_value <= alpha and shift.effect >= (balance if shift.example else statistic)
        )

    def document(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self)


def compare_data(before: Fingerprint, now: Fingerprint) -> Changes:
    """Image by image, class by class, statistic by statistic."""
    all_before, all_now = together(before), together(now)
    of_before, of_now = _labels_by_digest(all_before), _labels_by_digest(all_now)
    misfit = _misfit(before, now)
    if misfit:
        return Changes(n_before=len(of_before), n_now=len(of_now), misfit=misfit)
    moves = (_moved(of_before[digest], of_now[digest]) for digest in of_before.keys() & of_now.keys())
    moved = Counter(f"{_named(was, now)} -> {_named(is_now, now)}" for was, is_now in filter(None, moves))
    learnt_from = {bytes(digest) for digest in together(before, test=False).digests}
    return Changes(
        n_before=len(of_before),
        n_now=len(of_now),
        added=len(of_now.keys() - of_before.keys()),
        removed=len(of_before.keys() - of_now.keys()),
        copies=(len(all_now) - len(of_now)) - (len(all_before) - len(of_before)),
        relabelled=sum(moved.values()),
        relabelled_by=tuple(sorted(moved.items(), key=lambda pair: (-pair[1], pair[0]))[:5]),
        seen_in_test=sum(bytes(digest) in learnt_from for digest in together(now, test=True).digests),
        shifts=_shifts(before, now),
    )


def holm(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(m,) adjusted so that the chance of any false one among those at most alpha is at most alpha.

    References:
        Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(stepped)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _misfit(before: Fingerprint, now: Fingerprint) -> str:
    if before.image_shape != now.image_shape:
        shapes = ("x".join(map(str, one.image_shape)) for one in (before, now))
        return f"images of {next(shapes)} before, of {next(shapes)} now"
    if before.head.task is not now.head.task:
        return f"a {before.head.task} task before, a {now.head.task} one now"
    gone = [name for name in before.head.class_names if name not in now.head.class_names]
    new = [name for name in now.head.class_names if name not in before.head.class_names]
    if gone or new or before.head.class_names != now.head.class_names:
        said = [f"no longer {', '.join(gone)}"] * bool(gone) + [f"new {', '.join(new)}"] * bool(new)
        return f"other classes than before: {'; '.join(said) or 'the same in another order'}"
    return "" if before.head.ancestors == now.head.ancestors else "another prepare.tree over the classes than before"


def _labels_by_digest(prints: Prints) -> dict[bytes, list[bytes]]:
    """Of each different image the labels of all its copies."""
    labels = np.ascontiguousarray(prints.labels.astype(np.int64))
    found: dict[bytes, list[bytes]] = {}
    for digest, label in zip(prints.digests, labels, strict=True):
        found.setdefault(bytes(digest), []).append(label.tobytes())
    return found


def _moved(before: Sequence[bytes], now: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """A label that an image had and the one it has in its place; None where copies only came or went."""
    gone, new = Counter(before) - Counter(now), Counter(now) - Counter(before)
    return (min(gone), min(new)) if gone and new else None


def _named(label: bytes, fingerprint: Fingerprint) -> str:
    """A label in words."""
    values, names = np.frombuffer(label, dtype=np.int64), fingerprint.head.class_names
    if len(values) == 1:
        return names[int(values[0])]
    return "|".join(names[place] for place in np.flatnonzero(values)) or "none"


def _shifts(before: Fingerprint, now: Fingerprint) -> tuple[Shift, ...]:
    made = [
        shift
        for group, is_test in GROUPS.items()
        for shift in _of_group(group, together(before, test=is_test), together(now, test=is_test), now)
    ]
    adjusted = holm(np.array([shift.p_value for shift in made]))
    shifts = [Shift(**asdict(shift) | {"p_value": float(p)}) for shift, p in zip(made, adjusted, strict=True)]
    return tuple(sorted(shifts, key=lambda shift: -shift.effect))


def _of_group(group: str, before: Prints, now: Prints, fingerprint: Fingerprint) -> list[Shift]:
    names, class_names = statistic_names(fingerprint.image_shape[-1]), fingerprint.head.class_names
    pairs = zip(names, before.statistics.T, now.statistics.T, strict=True)
    made = [_statistic(group, name, *columns) for name, *columns in pairs]
    if before.labels.ndim == 1:
        tables = [("classes", _counts(before, now, len(class_names)), class_names)]
    else:  # any number of labels an image: each label is a table of its own
        held = np.stack([before.labels.sum(axis=0), now.labels.sum(axis=0)]).astype(np.int64)
        sizes = np.array([len(before), len(now)])
        tables = [
            (f"label {name}", np.stack([held[:, place], sizes - held[:, place]], axis=1), (name, f"no {name}"))
            for place, name in enumerate(class_names)
        ]
    return made + [_balance(group, of, table, names) for of, table, names in tables]


def _statistic(group: str, name: str, before: Any, now: Any) -> Shift:
    from scipy.stats import ks_2samp

    found = ks_2samp(*(np.round(one, _DECIMALS) for one in (before, now)), method="asymp")
    means = float(np.mean(before, dtype=np.float64)), float(np.mean(now, dtype=np.float64))
    effect, p_value = float(found.statistic), float(found.pvalue)
    return Shift(group=group, of=name, effect=effect, p_value=p_value, before=means[0], now=means[1])


def _counts(before: Prints, now: Prints, n_classes: int) -> npt.NDArray[np.int64]:
    return np.stack([np.bincount(one.labels, minlength=n_classes) for one in (before, now)])


def _balance(group: str, of: str, table: npt.NDArray[np.int64], names: tuple[str, ...]) -> Shift:
    """Whether the shares of a table (2, k) of counts have moved."""
    shares = table / table.sum(axis=1, keepdims=True)
    place = int(np.argmax(np.abs(shares[1] - shares[0])))
    filled = shares[:, table.any(axis=0)]
    distances = (filled[1] - filled[0]) ** 2 / filled.sum(axis=0)
    return Shift(
        group=group,
        of=of,
        effect=float(np.sqrt(distances.sum() / 2)),
        p_value=_chance(table),
        before=float(shares[0, place]),
        now=float(shares[1, place]),
        example=names[place],
    )


def _chance(table: npt.NDArray[np.int64]) -> float:
    """The p value of a table (2, k): Fisher's exact test of two columns, a chi-squared test of more, rare ones as one.

    References:
        Cochran, "Some methods for strengthening the common chi-squared tests", Biometrics 10, 1954.
    """
    from scipy.stats import chi2_contingency, fisher_exact

    columns = table[:, table.any(axis=0)]
    expected = columns.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    rare = expected < _FEWEST_EXPECTED
    if columns.shape[1] > 2 and rare.any():
        columns = np.concatenate([columns[:, ~rare], columns[:, rare].sum(axis=1, keepdims=True)], axis=1)
    if columns.shape[1] < 2:
        return 1.0
    found = fisher_exact(columns) if columns.shape[1] == 2 else chi2_contingency(columns, correction=False)
    return float(found.pvalue)

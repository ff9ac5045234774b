"""What has changed between two prepared sets: which images, how many of which class, and how the images look.

Of tens of thousands of images every trifle is significant, of a few hundred nothing is: a change is called drift where
it is both beyond luck, after Holm's correction over all tests made, and large.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.data.quality.fingerprint import Fingerprint, Prints, together
from cnn.data.quality.image_statistics import statistic_names

GROUPS = {"training": False, "test": True}
"""The groups of images that are compared, and whether they are the test images: training and validation are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One test of whether two groups of images are alike in something.

    Args:
        group: `training` or `test`.
        of: A statistic, `classes`, or `label NAME`.
        effect: Its size in [0, 1]: of a statistic the Kolmogorov-Smirnov distance, the largest difference between the
            two distribution functions; of counts Cramér's V.
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
            'brightness of the test images: mean 0.400 before, 0.500 now (distance 0.30, p = 1e-09)'
        """
        if self.example:
            moved = f"{self.example} {self.before:.1%} before, {self.now:.1%} now"
            return f"{self.of} of the {self.group} images: {moved} (V {self.effect:.2f}, p = {self.p_value:.1g})"
        moved = f"mean {self.before:.3f} before, {self.now:.3f} now"
        return f"{self.of} of the {self.group} images: {moved} (distance {self.effect:.2f}, p = {self.p_value:.1g})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is different at present.

    Args:
        n_before: Different images of before; `n_now` at present.
        added: Images that were not there before; `removed`, that are no longer.
        relabelled: Images of both with other labels.
        relabelled_by: The most frequent of these changes in words, with their number.
        seen_in_test: Present test images that could be trained on before: a model of then has seen them.
        misfit: Why the two cannot be compared image by image; empty when they can.
        shifts: All tests, the largest effect first.
    """

    n_before: int
    n_now: int
    added: int = 0
    removed: int = 0
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
    of_before, of_now = _labels_by_digest(together(before)), _labels_by_digest(together(now))
    misfit = _misfit(before, now)
    counts = Changes(n_before=len(of_before), n_now=len(of_now), misfit=misfit)
    if misfit:
        return counts
    moved = Counter(
        f"{_named(of_before[digest], now)} -> {_named(of_now[digest], now)}"
        for digest in of_before.keys() & of_now.keys()
        if of_before[digest] != of_now[digest]
    )
    learnt_from = {bytes(digest) for digest in together(before, test=False).digests}
    return Changes(
        n_before=len(of_before),
        n_now=len(of_now),
        added=len(of_now.keys() - of_before.keys()),
        removed=len(of_before.keys() - of_now.keys()),
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
    return ""


def _labels_by_digest(prints: Prints) -> dict[bytes, bytes]:
    """Of each different image its label; of equal ones the smallest, so that their order does not matter."""
    labels = np.ascontiguousarray(prints.labels.astype(np.int64))
    found: dict[bytes, bytes] = {}
    for digest, label in zip(prints.digests, labels, strict=True):
        key, value = bytes(digest), label.tobytes()
        found[key] = min(found.get(key, value), value)
    return found


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

    found = ks_2samp(before, now, method="asymp")
    means = float(np.mean(before, dtype=np.float64)), float(np.mean(now, dtype=np.float64))
    effect, p_value = float(found.statistic), float(found.pvalue)
    return Shift(group=group, of=name, effect=effect, p_value=p_value, before=means[0], now=means[1])


def _counts(before: Prints, now: Prints, n_classes: int) -> npt.NDArray[np.int64]:
    return np.stack([np.bincount(one.labels, minlength=n_classes) for one in (before, now)])


def _balance(group: str, of: str, table: npt.NDArray[np.int64], names: tuple[str, ...]) -> Shift:
    """Chi-squared test of a table (2, k) of counts, without the columns that are empty in both."""
    from scipy.stats import chi2_contingency

    shares = table / table.sum(axis=1, keepdims=True)
    place = int(np.argmax(np.abs(shares[1] - shares[0])))
    filled = table[:, table.any(axis=0)]
    squares, p_value = chi2_contingency(filled, correction=False)[:2] if filled.shape[1] > 1 else (0.0, 1.0)
    return Shift(
        group=group,
        of=of,
        effect=float(np.sqrt(squares / table.sum())),
        p_value=float(p_value),
        before=float(shares[0, place]),
        now=float(shares[1, place]),
        example=names[place],
    )

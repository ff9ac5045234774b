"""How the error falls with the number of training images: error(n) = a n^-b + c, with what the measurement leaves open.

References:
    Hestness et al., "Deep learning scaling is predictable, empirically", 2017, section 3 (the law); Rosenfeld et al.,
    "A constructive prediction of the generalization error across scales", ICLR 2020 (the floor c).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar, nnls

from cnn.diagnosis.noise import Interval

Right = npt.NDArray[np.bool_]
"""(runs, n_val): which validation images each run with one number of training images answers right."""

_B = (0.05, 2.0)  # exponents that were ever seen lie between 0.07 and 0.6
_N_DRAWS = 300
_FEWEST_SIZES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """error(n) = a n^-b + c, with a and c at least 0."""

    a: float
    b: float
    c: float

    def error(self, n: float) -> float:
        """The error with `n` training images."""
        return float(self.a * n**-self.b + self.c)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCurve:
    """A measured data curve with its fit.

    Args:
        sizes: Numbers of training images, rising.
        errors: Mean validation error of each.
        law: The fit through them.
        exponent, floor: b and c with their intervals.
        twice: The error that twice the largest number would probably give.
        gain: How much less that is than what the law gives for the largest number.
        confidence: Of all intervals.
    """

    sizes: tuple[int, ...]
    errors: tuple[float, ...]
    law: PowerLaw
    exponent: Interval
    floor: Interval
    twice: Interval
    gain: Interval
    confidence: float

    @property
    def helps(self) -> bool:
        """Whether the gain of twice the images is beyond chance."""
        return self.gain.low > 0

    @property
    def floor_is_known(self) -> bool:
        """Whether the measurement says how low the error can get: the interval of c is under half the error."""
        return self.floor.high - self.floor.low < self.errors[-1] / 2

    @property
    def sentence(self) -> str:
        """What twice as many images would probably bring: both errors are the law's, for the last measured one has
        noise that a gain must not be taken from.
        """
        now, twice, gain = self.law.error(self.sizes[-1]), self.twice, self.gain
        said = (
            f"with {2 * self.sizes[-1]} training images, twice as many, the validation error would, by the law above, "
            f"probably go from {now:.3f} to {twice.estimate:.3f} ({twice.low:.3f} to {twice.high:.3f}), "
            f"{gain.estimate:.3f} less ({gain.low:+.3f} to {gain.high:+.3f})"
        )
        verdict = "." if self.helps else ", which cannot be told from nothing."
        floor = (
            ""
            if self.floor_is_known
            else (
                f" How low ever more images would bring it is not identified: anywhere from {self.floor.low:.3f} to "
                f"{self.floor.high:.3f} fits."
            )
        )
        return f"{said}{verdict}{floor}"


def power_law(sizes: Sequence[int], errors: Sequence[float]) -> PowerLaw:
    """The law nearest the points by least squares.

    For each exponent the best a and c are a linear problem; the exponent is then found along a line.

    Args:
        sizes: At least three different numbers of training images.

    Example:
        >>> sizes = [100, 200, 400, 800]
        >>> law = power_law(sizes, [0.9 * n**-0.35 + 0.05 for n in sizes])
        >>> round(law.b, 2), round(law.c, 2)
        (0.35, 0.05)
    """
    n, e = np.asarray(sizes, np.float64), np.asarray(errors, np.float64)

    def solved(b: float) -> tuple[Any, float]:
        columns = np.stack([(n / n[-1]) ** -b, np.ones_like(n)], axis=1)
        found, distance = nnls(columns, e)
        return found, float(distance)

    grid = np.geomspace(*_B, 12)
    at = int(np.argmin([solved(b)[1] for b in grid]))
    bounds = (grid[max(0, at - 1)], grid[min(len(grid) - 1, at + 1)])
    best = float(minimize_scalar(lambda b: solved(b)[1] ** 2, bounds=bounds, method="bounded").x)
    (scale, floor), _ = solved(best)
    return PowerLaw(a=float(scale * n[-1] ** best), b=best, c=float(floor))


def data_curve(right: Mapping[int, Right], *, seed: int, confidence: float = 0.95) -> DataCurve:
    """Fit the law and say what it leaves open, by drawing validation images and runs anew.

    The images are drawn for all runs at once, since all answered the same ones; to that comes the spread between runs
    that differ in their seed alone, pooled over the sizes, for a handful of runs cannot be drawn from.

    Args:
        right: By number of training images, at least three.
        seed: Of the draws.
    """
    sizes = tuple(sorted(right))
    if len(sizes) < _FEWEST_SIZES:
        raise ValueError(f"received {len(sizes)} numbers of training images; expected {_FEWEST_SIZES} or more")
    by_image = np.stack([1.0 - right[size].mean(axis=0) for size in sizes])  # (sizes, n_val): error of each image
    spread = _seed_spread([right[size] for size in sizes])
    errors = by_image.mean(axis=1)
    law, largest = power_law(sizes, errors), sizes[-1]
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(_N_DRAWS):
        images = rng.integers(0, by_image.shape[1], by_image.shape[1])
        noisy = by_image[:, images].mean(axis=1) + rng.normal(0.0, spread)
        fitted = power_law(sizes, np.clip(noisy, 0.0, 1.0))
        ahead = fitted.error(2 * largest)
        drawn.append((fitted.b, fitted.c, ahead, fitted.error(largest) - ahead))
    ends = np.quantile(np.array(drawn), [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    twice = law.error(2 * largest)
    middles = (law.b, law.c, twice, law.error(largest) - twice)
    exponent, floor, error_ahead, gain = (
        Interval(estimate=middle, low=min(middle, float(low)), high=max(middle, float(high)))
        for middle, low, high in zip(middles, *ends, strict=True)
    )
    return DataCurve(
        sizes=sizes,
        errors=tuple(map(float, errors)),
        law=law,
        exponent=exponent,
        floor=floor,
        twice=error_ahead,
        gain=gain,
        confidence=confidence,
    )


def _seed_spread(right: Sequence[Right]) -> npt.NDArray[np.float64]:
    """(sizes,) standard error of each mean by the runs' seeds, pooled over the sizes; 0 with one run each."""
    runs = np.array([len(one) for one in right])
    errors = [1.0 - one.mean(axis=1) for one in right]
    squares = sum(float(((one - one.mean()) ** 2).sum()) for one in errors)
    freedom = int((runs - 1).sum())
    spread: npt.NDArray[np.float64] = np.sqrt(squares / max(1, freedom) / runs)
    return spread

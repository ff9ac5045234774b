"""Score and overfitting gap at once: the trials that no other beats in both, and which of them is chosen.

The gap counts from 0 up: a network that does better on validation images than on training images owes it to chance,
and is not less overfitted than one that does equally well on both.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from cnn.records import Curve, best_row

One = TypeVar("One")

Figures = Callable[[One], tuple[float, float]]
"""The score, larger is better, and the gap, 0 or more, smaller is better."""


def overfitting(curve: Curve) -> float:
    """The overfitting gap in accuracy at the best epoch, in [0, 1]; 0 for a negative one."""
    return max(0.0, best_row(curve).gap_accuracy)


def front(all_of_them: Sequence[One], figures: Figures[One]) -> list[One]:
    """Those that no other beats in both, by gap; of several with equal figures the first.

    Example:
        >>> front([(0.8, 0.2), (0.7, 0.1), (0.7, 0.3)], lambda one: one)
        [(0.7, 0.1), (0.8, 0.2)]
    """
    found: list[One] = []
    for one in sorted(all_of_them, key=lambda one: (figures(one)[1], -figures(one)[0])):
        if not found or figures(one)[0] > figures(found[-1])[0]:
            found.append(one)
    return found


def preferred(all_of_them: Sequence[One], figures: Figures[One], *, slack: float) -> list[One]:
    """Those whose score is at most `slack` below the best of all, the smallest gap first; then the others, by score.

    Example:
        >>> preferred([(0.80, 0.2), (0.79, 0.1), (0.70, 0.0)], lambda one: one, slack=0.02)
        [(0.79, 0.1), (0.8, 0.2), (0.7, 0.0)]
    """
    if not all_of_them:
        return []
    least = max(figures(one)[0] for one in all_of_them) - slack
    near = [one for one in all_of_them if figures(one)[0] >= least]
    rest = [one for one in all_of_them if figures(one)[0] < least]
    by_gap = sorted(near, key=lambda one: (figures(one)[1], -figures(one)[0]))
    return by_gap + sorted(rest, key=lambda one: -figures(one)[0])

"""Learning rates as a function of the step alone, so that a run that was taken up again goes on at the right one."""

import math
from collections.abc import Callable

import keras
from keras import ops

from cnn.config.recipe import OptimizerRecipe

Shape = Callable[[keras.KerasTensor], keras.KerasTensor]
"""From the part done, in [0, 1], to a fraction of the peak."""

_ONE_CYCLE_RISE = 0.3  # the rise of a cycle that names none
_ONE_CYCLE_START = 1 / 25
_ONE_CYCLE_END = 1e-4 / 25


def _linear_rise(done: keras.KerasTensor) -> keras.KerasTensor:
    return done


def _level(done: keras.KerasTensor) -> keras.KerasTensor:
    return ops.ones_like(done)


def _cosine_fall(done: keras.KerasTensor) -> keras.KerasTensor:
    return _between(1.0, 0.0, done)


def _cycle_rise(done: keras.KerasTensor) -> keras.KerasTensor:
    return _between(_ONE_CYCLE_START, 1.0, done)


def _cycle_fall(done: keras.KerasTensor) -> keras.KerasTensor:
    return _between(1.0, _ONE_CYCLE_END, done)


def _between(start: float, end: float, done: keras.KerasTensor) -> keras.KerasTensor:
    """Half a cosine wave: end + (start - end) (1 + cos(pi done)) / 2."""
    return end + (start - end) * (1 + ops.cos(math.pi * done)) / 2


SCHEDULES: dict[str, tuple[Shape, Shape]] = {
    "constant": (_linear_rise, _level),
    "cosine": (_linear_rise, _cosine_fall),
    "one_cycle": (_cycle_rise, _cycle_fall),
}
"""How the rate warms up, and how it goes on from its peak."""


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of a recipe at each step of a run.

    The first `warmup_fraction` of all steps rises to the peak, which is reached at the last of them; the rest follows
    the schedule's shape. `one_cycle` has to rise: at a `warmup_fraction` of 0 it does so for 0.3 of all steps.

    Args:
        total_steps: Of the whole run, 1 or more.

    References:
        Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5 (cosine); Smith and Topin, "Super-convergence", 2018 (one
        cycle, here with its two halves as half waves of a cosine).

    Example:
        >>> schedule = Schedule(OptimizerRecipe(learning_rate=0.5, schedule="cosine", warmup_fraction=0.5), 4)
        >>> [schedule.rate(step) for step in range(4)]
        [0.25, 0.5, 0.5, 0.25]
    """

    def __init__(self, recipe: OptimizerRecipe, total_steps: int) -> None:
        fraction = recipe.warmup_fraction
        if recipe.schedule == "one_cycle" and not fraction:
            fraction = _ONE_CYCLE_RISE
        self._peak = recipe.learning_rate
        self._n_rising = round(fraction * total_steps)
        self._n_falling = max(1, total_steps - self._n_rising)
        self._rise, self._fall = SCHEDULES[recipe.schedule]

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        step = ops.cast(step, "float32")
        rate = self._fall((step - self._n_rising) / self._n_falling)
        if self._n_rising:
            rate = ops.where(step < self._n_rising, self._rise((step + 1) / self._n_rising), rate)
        return self._peak * rate

    def rate(self, step: int) -> float:
        """The rate at a step, to the seven digits that float32 has."""
        return float(f"{float(self(step)):.7g}")

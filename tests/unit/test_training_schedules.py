import math

import numpy as np
import pytest

from cnn.config.recipe import OptimizerRecipe

pytestmark = pytest.mark.slow  # imports TensorFlow

TOTAL = 100


def rates(**settings):
    from cnn.training.schedules import Schedule

    schedule = Schedule(OptimizerRecipe(learning_rate=0.5, **settings), TOTAL)
    return np.array([schedule.rate(step) for step in range(TOTAL)])


def test_constant_stays_at_the_peak():
    # Without warm-up, each step has the recipe's rate.
    assert set(rates(schedule="constant")) == {0.5}


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_warmup_rises_to_the_peak_and_takes_its_fraction(schedule):
    found = rates(schedule=schedule, warmup_fraction=0.2)
    # The rise is strict, lasts a fifth of all steps and ends at the peak, which no step exceeds.
    assert np.all(np.diff(found[:20]) > 0)
    assert found[19] == pytest.approx(0.5)
    assert found.max() == pytest.approx(0.5)
    # Afterwards no step has a higher rate than the one before.
    assert np.all(np.diff(found[20:]) <= 0)


def test_cosine_follows_its_formula():
    found = rates(schedule="cosine", warmup_fraction=0.2)
    # Step i of the 80 after the warm-up: peak (1 + cos(pi i / 80)) / 2.
    expected = [0.25 * (1 + math.cos(math.pi * step / 80)) for step in range(80)]
    assert found[20:] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_one_cycle_has_a_rise_of_its_own():
    found = rates(schedule="one_cycle")
    # It starts low, peaks at three tenths of the way, and ends far below where it started.
    assert found[0] < 0.05
    assert found.argmax() in (29, 30)
    assert found[-1] < found[0] / 10


@pytest.mark.parametrize("fraction", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle"])
def test_one_step_is_enough(schedule, fraction):
    from cnn.training.schedules import Schedule

    rate = Schedule(OptimizerRecipe(schedule=schedule, warmup_fraction=fraction), 1).rate(0)
    # Whatever the rounding does, the rate is a positive number within the peak.
    assert 0 < rate <= 1e-3

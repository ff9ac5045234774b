"""Data curves whose law is known."""

import re

import numpy as np
import pytest

from cnn.diagnosis.power_law import data_curve, power_law

SIZES = (500, 1000, 2000, 4000, 8000)


def error(n, a=3.0, b=0.4, c=0.05):
    return a * n**-b + c


def answers(rng, *, n_val=2000, runs=2, sizes=SIZES, law=error, spread=0.0):
    """Right and wrong answers: a hard image is hard for every run, and runs differ by their seed."""
    ease = rng.random(n_val)
    return {
        n: np.stack([ease > law(n) + rng.normal(0, spread) for _ in range(runs)]) for n in sizes
    }  # fmt: skip


@pytest.mark.parametrize(("a", "b", "c"), [(3.0, 0.4, 0.05), (0.9, 0.1, 0.0), (50.0, 1.0, 0.2)])
def test_a_law_without_noise_is_found_again(a, b, c):
    found = power_law(SIZES, [error(n, a, b, c) for n in SIZES])
    # Twice the largest number is what it is fitted for.
    assert found.error(16_000) == pytest.approx(error(16_000, a, b, c), abs=1e-4)
    assert (found.b, found.c) == pytest.approx((b, c), abs=0.01)


def test_errors_that_do_not_fall_have_no_gain():
    found = power_law(SIZES, [0.2] * 5)
    # A flat curve stays flat.
    assert found.error(8000) - found.error(16_000) == pytest.approx(0.0, abs=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    hits = [
        curve.twice.low <= error(16_000) <= curve.twice.high
        for number in range(12)
        for curve in [data_curve(answers(np.random.default_rng(number), spread=0.004), seed=number)]
    ]
    # 95 % by name; of 12, fewer than 9 come by chance twice in a thousand.
    assert sum(hits) >= 9


def test_more_validation_images_narrow_the_interval():
    few, many = (data_curve(answers(np.random.default_rng(1), n_val=n), seed=0).twice for n in (300, 20_000))
    # Sampling noise is in the interval.
    assert many.high - many.low < (few.high - few.low) / 2


def test_a_clear_gain_is_called_one_and_none_is_not():
    falling = data_curve(answers(np.random.default_rng(0), n_val=10_000), seed=0)
    flat = data_curve(answers(np.random.default_rng(0), law=lambda n: 0.2, spread=0.01), seed=0)
    # The sentence is honest in both cases.
    assert falling.helps and "cannot be told from nothing" not in falling.sentence
    assert not flat.helps and "cannot be told from nothing" in flat.sentence


def test_the_way_that_is_said_is_the_gain_that_is_said():
    rng = np.random.default_rng(3)
    curve = data_curve(answers(rng, n_val=200, spread=0.03), seed=0)
    now = float(re.search(r"go from (\d\.\d+) to", curve.sentence)[1])
    # The last measurement lies off the law here; from, to and gain are all three the law's.
    assert abs(curve.errors[-1] - curve.law.error(8000)) > 0.003
    assert now - curve.twice.estimate == pytest.approx(curve.gain.estimate, abs=1e-3)


def test_a_floor_that_nothing_shows_is_not_made_up():
    sizes = (500, 1000, 2000)
    unclear = data_curve(answers(np.random.default_rng(0), n_val=300, sizes=sizes, law=lambda n: 2 * n**-0.3), seed=0)
    # Three sizes on 300 images do not tell how low the error can get, and this is said.
    assert not unclear.floor_is_known and "not identified" in unclear.sentence


def test_the_same_answers_give_the_same_figures():
    given = answers(np.random.default_rng(0))
    # The draws are a function of the seed.
    assert data_curve(given, seed=3) == data_curve(given, seed=3)


def test_two_sizes_are_no_curve():
    # Three numbers of the law cannot come from two points.
    with pytest.raises(ValueError, match="expected 3 or more"):
        data_curve(answers(np.random.default_rng(0), sizes=(100, 200)), seed=0)

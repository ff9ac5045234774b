import math

import numpy as np
import pytest

from cnn.evaluation.metrics import multiclass_metrics, wilson_interval


def test_known_figures_of_a_small_test():
    probs = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.5, 0.3]]
    metrics = multiclass_metrics([0, 1, 1, 2], probs, ["a", "b", "c"], confidence=0.95)
    # Two of four images are right.
    assert metrics.accuracy == 0.5
    # Rows are actual classes, columns predicted ones.
    assert metrics.confusion == ((1, 0, 0), (1, 1, 0), (0, 1, 0))
    # Loss is the mean of -ln p(actual class).
    assert metrics.loss == pytest.approx(-(math.log(0.7) + math.log(0.3) + math.log(0.8) + math.log(0.3)) / 4)
    # Precision counts columns, recall counts rows.
    assert (metrics.per_class[0].precision, metrics.per_class[0].recall) == (0.5, 1.0)
    # A macro average is the plain mean over classes.
    assert metrics.macro_recall == pytest.approx((1.0 + 0.5 + 0.0) / 3)


def test_a_class_nobody_has_and_nobody_predicts_is_zero_and_silent():
    metrics = multiclass_metrics([0, 0], [[0.9, 0.1], [0.8, 0.2]], ["seen", "absent"], confidence=0.95)
    absent = metrics.per_class[1]
    # No prediction and no support give zeros; a warning would have failed this test.
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (0.0, 0.0, 0.0, 0)
    # The matrix keeps its place.
    assert metrics.confusion == ((2, 0), (0, 0))


def test_a_certain_mistake_has_a_finite_loss():
    metrics = multiclass_metrics([0], [[0.0, 1.0]], ["a", "b"], confidence=0.95)
    # A probability of zero is clipped at 1e-7.
    assert metrics.loss == pytest.approx(-math.log(1e-7))


def test_wilson_interval_is_the_published_one():
    # Newcombe (1998), table I: 81 of 263 at 95 % gives 0.2553 to 0.3662.
    assert wilson_interval(81, 263, confidence=0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    # At 0 of 20 the lower end is exactly 0, and the upper end is 0.1611.
    assert wilson_interval(0, 20, confidence=0.95) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize(
    ("labels", "probs"),
    [
        ([], np.empty((0, 2))),
        ([0, 1], [[0.5, 0.5]]),
        ([0], [[0.2, 0.3, 0.5]]),
        ([2], [[0.5, 0.5]]),
        ([-1], [[0.5, 0.5]]),
        ([0], [[float("nan"), 0.5]]),
    ],
    ids=["no images", "fewer rows", "more classes", "label too large", "negative label", "NaN"],
)
def test_what_cannot_be_scored_is_refused(labels, probs):
    # An impossible input is never scored as if it were possible.
    with pytest.raises(ValueError, match="Invalid"):
        multiclass_metrics(labels, probs, ["a", "b"], confidence=0.95)

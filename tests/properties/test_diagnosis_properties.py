"""What holds for every curve."""

import json

from hypothesis import given
from hypothesis import strategies as st
from making import epoch_row

from cnn.diagnosis.diagnose import diagnose
from cnn.diagnosis.noise import difference_interval, epoch_noise, trend, turning_point
from cnn.diagnosis.reading import Sizes
from cnn.records import TrialState

fractions, counts = st.floats(0, 1), st.integers(1, 5000)
losses = st.floats(0, 50)
series = st.lists(st.floats(-100, 100), min_size=1, max_size=60)
rows = st.fixed_dictionaries(
    {"accuracy": fractions, "clean_train_accuracy": fractions, "clean_train_loss": losses, "val_loss": losses}
)


@given(st.lists(rows, max_size=25), counts, counts, st.integers(2, 100), st.sampled_from(TrialState))
def test_every_curve_gets_one_verdict_with_evidence_that_json_takes(figures, n_clean, n_val, n_classes, reason):
    curve = tuple(epoch_row(epoch, **row) for epoch, row in enumerate(figures))
    said = diagnose(curve, Sizes(n_clean=n_clean, n_val=n_val, n_classes=n_classes), reason=reason.value)
    # Whatever the curve, something is said of it, and every sentence is one.
    assert said.evidence and all(sentence.endswith(".") for sentence in said.evidence)
    # The document is JSON without NaN or infinity.
    assert json.loads(json.dumps(said.document(), allow_nan=False))["verdict"] == said.verdict


@given(fractions, counts, fractions, counts)
def test_a_difference_lies_in_its_interval_and_turns_with_its_sign(first, n_first, second, n_second):
    there = difference_interval(first, n_first, second, n_second, confidence=0.95)
    back = difference_interval(second, n_second, first, n_first, confidence=0.95)
    # The estimate is inside.
    assert there.low <= there.estimate <= there.high
    # Whoever asks the other way round hears the same with the other sign.
    assert abs(there.low + back.high) < 1e-9 and abs(there.high + back.low) < 1e-9


@given(fractions, fractions, st.integers(4, 500))
def test_more_images_say_more(first, second, n):
    few = difference_interval(first, n, second, n, confidence=0.95)
    many = difference_interval(first, 16 * n, second, 16 * n, confidence=0.95)
    # Sixteen times the images narrow an interval, never widen it.
    assert many.high - many.low < few.high - few.low


@given(series, st.floats(0.1, 10), st.floats(-5, 5))
def test_noise_knows_the_scale_and_no_slope(values, scale, slope):
    moved = [scale * value + slope * position for position, value in enumerate(values)]
    # Noise grows with the unit, and a steady climb is none of it.
    assert abs(epoch_noise(moved) - scale * epoch_noise(values)) < 1e-6


@given(series)
def test_a_trend_turns_with_the_series(values):
    forth, back = trend(values), trend(values[::-1])
    # Backwards, what rose falls, as steeply and as surely.
    assert abs(forth.slope + back.slope) < 1e-9 and abs(forth.p_rising - back.p_falling) < 1e-9


@given(st.lists(st.integers(1, 20), min_size=1, max_size=30), st.lists(st.integers(1, 20), max_size=30))
def test_the_turn_of_a_valley_is_its_lowest_point(down, up):
    depths = [sum(down[position:]) for position in range(len(down))]
    heights = [sum(up[: position + 1]) for position in range(len(up))]
    # Falling to nought, then rising: the turn is where nought is.
    assert turning_point([*map(float, depths), 0.0, *map(float, heights)]) == len(down)

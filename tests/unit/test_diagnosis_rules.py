"""Verdicts on curves whose truth is known, over noise and sample sizes."""

import math

import numpy as np
import pytest
from diagnosed import rate, simulated, verdict_of, verdicts
from making import epoch_row

from cnn.diagnosis.diagnose import Limits, diagnose
from cnn.diagnosis.reading import Sizes
from cnn.records import Task

N = 40
RNG = 7
FAST = {"clean": lambda part: 0.95 - 0.85 * math.exp(-40 * part), "loss": lambda part: 0.3 + 2 * math.exp(-40 * part)}
POOR = {"clean": lambda part: 0.4 - 0.3 * math.exp(-9 * part), "loss": lambda part: 1.7 + 0.6 * math.exp(-12 * part)}


def falling_then_rising(turn=0.4, slope=0.8):
    return lambda part: 0.5 + 1.8 * math.exp(-12 * part) + slope * max(0.0, part - turn)


@pytest.mark.parametrize("noise", [0.001, 0.01])
@pytest.mark.parametrize("n_val", [200, 5000])
def test_a_gap_that_is_not_there_is_seldom_seen(noise, n_val):
    found = verdicts(N, noise=noise, n_clean=n_val, n_val=n_val)
    # The intervals are of 95 %, and an overfitting gap must lie above theirs: one tail, whatever the curve's noise.
    assert rate(found, "overfitting") <= 0.05
    # The other tail: validation is not called better without cause either.
    assert rate(found, "data_suspect") <= 0.05


def test_a_gap_is_seen_the_more_surely_the_more_images_there_are():
    rates = [rate(verdicts(N, gap=lambda part: 0.08, n_clean=n, n_val=n), "overfitting") for n in (50, 300, 1000, 4000)]
    # Power grows with the images, from little to almost certainty.
    assert rates == sorted(rates) and rates[0] < 0.35 and rates[-1] > 0.95


@pytest.mark.parametrize("gap", [0.0, 0.15])
def test_a_handful_of_images_bears_no_verdict_on_the_gap(gap):
    found = verdicts(N, gap=lambda part: gap, n_clean=30, n_val=30)
    # Of 30 images none can say that all is well, whether it is or not.
    assert rate(found, "healthy", "plateau") == 0.0
    # Where there is no gap it is left open, which is said as such.
    assert gap or rate(found, "undecided") > 0.9


def test_two_hundred_images_do_not_call_a_large_gap_healthy():
    found = verdicts(N, gap=lambda part: 0.12, n_clean=200, n_val=200)
    # What 200 images can't exclude is not excluded.
    assert rate(found, "healthy", "plateau") <= 0.02


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_the_turn_of_the_validation_loss_is_found_where_it_is(noise):
    turns = []
    for number in range(30):
        rng = np.random.default_rng([RNG, number])
        truth = {"gap": lambda part: 0.12 * part, "val_loss": falling_then_rising()}
        said = diagnose(simulated(rng, noise=noise, **truth), Sizes(n_clean=1000, n_val=1000, n_classes=10))
        assert said.verdict.value == "overfitting"
        turns.append(said.figures["rise_epoch"])
    # The loss turns at 0.4 of 30 epochs, where its exponential has not quite died out: epochs 12 to 14.
    assert np.median(turns) == pytest.approx(13, abs=1.5)
    # It is found in almost every curve, within three epochs.
    assert np.mean(np.abs(np.array(turns) - 13) <= 3) >= 0.9


def test_the_evidence_says_from_when_and_how_fast():
    truth = {"gap": lambda part: 0.12 * part, "val_loss": falling_then_rising()}
    said = diagnose(simulated(np.random.default_rng(RNG), **truth), Sizes(n_clean=1000, n_val=1000, n_classes=10))
    # A rise of 0.8 over a whole run of 30 epochs is 0.0276 an epoch.
    assert said.figures["rise_slope"] == pytest.approx(0.8 / 29, rel=0.2)
    # The sentence holds the epoch, the slope, and what training does meanwhile.
    assert said.evidence[0].startswith(f"validation loss rises from epoch {said.figures['rise_epoch']:.0f} on, by 0.02")
    assert "while clean training loss falls" in said.evidence[0]
    # The gap comes with its interval.
    assert f"({said.figures['gap_low']:+.3f} to {said.figures['gap_high']:+.3f})" in said.evidence[1]


@pytest.mark.parametrize(
    ("verdict", "truth"),
    [
        ("healthy", {"clean": lambda part: 0.95 - 0.85 * math.exp(-5 * part), "n_epochs": 12}),
        ("plateau", {**FAST, "n_epochs": 60}),
        ("still_learning", {"clean": lambda part: 0.1 + 0.6 * part, "loss": lambda part: 2.3 - 1.4 * part}),
        ("underfitting", POOR),
        ("not_learning", {"clean": lambda part: 0.1, "loss": lambda part: math.log(10)}),
        ("diverged", {"clean": lambda part: 0.15, "loss": lambda part: 2 + 40 * part}),
        ("unstable", {"noise": 0.08}),
        ("data_suspect", {"gap": lambda part: -0.1, "clean": lambda part: 0.8 - 0.7 * math.exp(-8 * part)}),
        ("overfitting", {"gap": lambda part: 0.12}),
    ],
)  # fmt: skip
def test_each_verdict_is_given_to_the_curves_that_earn_it(verdict, truth):
    # By far most of the curves of one truth bear its name.
    assert rate(verdicts(20, seed=3, **truth), verdict) >= 0.9


def test_a_loss_that_is_no_number_is_a_divergence():
    said = diagnose((), Sizes(n_clean=9, n_val=9, n_classes=2), reason="NaN loss at epoch 1")
    # The epoch that ended in NaN is no row of the curve; the reason alone tells.
    assert (said.verdict.value, said.evidence) == (
        "diverged",
        ("the loss stopped being a number (NaN loss at epoch 1).",),
    )


def test_a_run_without_an_epoch_is_left_open():
    said = diagnose((), Sizes(n_clean=9, n_val=9, n_classes=2), reason="out of memory")
    # Nothing was seen, and the reason is passed on.
    assert said.verdict.value == "undecided" and "out of memory" in said.sentence


def test_three_epochs_show_no_trend():
    curve = tuple(epoch_row(epoch, 0.6, clean_train_accuracy=0.6, val_loss=1.2 - epoch / 10) for epoch in range(3))
    # Three values in falling order come by chance once in six.
    assert verdict_of(curve, n_clean=10_000, n_val=10_000) == "undecided"


def test_one_epoch_at_chance_is_no_proof_that_nothing_is_learnt():
    at_chance = {"clean_train_accuracy": 0.1, "clean_train_loss": math.log(10), "val_loss": math.log(10)}
    short, long = (tuple(epoch_row(epoch, 0.1, **at_chance) for epoch in range(n)) for n in (1, 10))
    # A slow start looks the same for an epoch, and not for ten.
    assert (verdict_of(short, n_clean=9000, n_val=9000), verdict_of(long)) == ("undecided", "not_learning")


def test_running_accuracy_has_no_say():
    curve = simulated(np.random.default_rng(RNG))
    dropped = tuple(
        epoch_row(row.epoch, row.val_accuracy, clean_train_accuracy=row.clean_train_accuracy,
                  clean_train_loss=row.clean_train_loss, val_loss=row.val_loss, train_accuracy=0.2, train_loss=9.0)
        for row in curve
    )  # fmt: skip
    sizes = Sizes(n_clean=1000, n_val=1000, n_classes=10)
    # Dropout and augmentation lower the running figures; the gap does not move.
    assert diagnose(curve, sizes) == diagnose(dropped, sizes)


def test_a_gap_of_the_last_epoch_alone_is_not_the_gap():
    truth = {"gap": lambda part: 0.2 if part == 1 else 0.0, "clean": lambda part: 0.95 - 0.85 * math.exp(-8 * part)}
    # One bad last epoch, after 29 without any gap, is no overfitting.
    assert rate(verdicts(20, **truth), "overfitting") == 0.0


def test_what_is_enough_can_be_set():
    curve = simulated(np.random.default_rng(RNG), gap=lambda part: 0.08, n_clean=5000, n_val=5000)
    sizes = {"n_clean": 5000, "n_val": 5000}
    # A gap of 0.08 matters when 0.05 does, and not when only 0.2 does.
    assert verdict_of(curve, **sizes) == "overfitting" != verdict_of(curve, **sizes, limits=Limits(gap=0.2))


def test_guessing_many_labels_is_not_guessing_one_class():
    sizes = Sizes(n_clean=9, n_val=9, n_classes=4, task=Task.MULTILABEL)
    # Four coins fall right together once in sixteen; the loss of a coin is ln 2 whatever their number.
    assert (sizes.chance, sizes.chance_loss) == (1 / 16, math.log(2))


def test_a_gap_that_stands_still_is_said_to():
    rows = tuple(epoch_row(epoch, accuracy=0.8, clean_train_accuracy=0.8) for epoch in range(12))
    said = " ".join(diagnose(rows, Sizes(n_clean=5000, n_val=5000, n_classes=10)).evidence)
    # No reader learns anything from 1e-17 an epoch.
    assert "stays as it is" in said and "e-" not in said


def jumping(rng, n_images, n_epochs, *, level=0.7):
    """Every image falls anew in every epoch, and the loss jumps: the most that chance can do without the network."""
    shares = rng.binomial(n_images, level, (n_epochs, 2)) / n_images
    losses = 0.8 + 0.3 * rng.normal(size=n_epochs)
    return tuple(
        epoch_row(epoch, held, clean_train_accuracy=clean, clean_train_loss=loss, val_loss=loss)
        for epoch, ((clean, held), loss) in enumerate(zip(shares.tolist(), losses.tolist(), strict=True))
    )


@pytest.mark.parametrize("n_epochs", [8, 30])
@pytest.mark.parametrize("n_images", [30, 200])
def test_jumps_that_so_few_images_make_by_chance_are_not_called_unstable(n_images, n_epochs):
    rngs = (np.random.default_rng([n_images, n_epochs, number]) for number in range(50))
    found = [verdict_of(jumping(rng, n_images, n_epochs), n_clean=n_images, n_val=n_images) for rng in rngs]
    # One in twenty at the most, were every image on the brink: of 50, more than 5 come by chance once in thirty.
    assert rate(found, "unstable") <= 0.1


def test_an_unstable_verdict_says_what_chance_would_give():
    curve = simulated(np.random.default_rng(3), noise=0.08)
    said = diagnose(curve, Sizes(n_clean=1000, n_val=1000, n_classes=10))
    jumps, by_chance = said.figures["jumps"], said.figures["jumps_chance"]
    # The two numbers stand side by side, and the first is clearly the larger.
    assert said.verdict.value == "unstable" and jumps >= 2 * by_chance
    assert f"jumps by {jumps:.3f}" in said.evidence[0] and f"gives {by_chance:.3f} at most" in said.evidence[0]
    # Nothing after it calls the same jumps chance.
    assert not any("from epoch to epoch" in sentence for sentence in said.evidence[1:])


@pytest.mark.parametrize(("n_epochs", "words"), [(1, "1 epoch is too few"), (3, "3 epochs are too few")])
def test_a_run_of_a_few_epochs_is_told_to_train_longer(n_epochs, words):
    curve = tuple(epoch_row(epoch, 0.6, clean_train_accuracy=0.6) for epoch in range(n_epochs))
    said = diagnose(curve, Sizes(n_clean=5000, n_val=5000, n_classes=10))
    # 5,000 images are enough; only epochs are wanting, and the line of a training says so.
    assert words in said.sentence and said.sentence.endswith("First remedy: train longer.")


def test_the_clean_sample_is_not_called_the_training_images():
    said = diagnose(simulated(np.random.default_rng(RNG), n_clean=58, n_val=58, n_epochs=12),
                    Sizes(n_clean=58, n_val=58, n_classes=10, n_train=517))  # fmt: skip
    # 517 were trained on; the gap rests on 58 of them.
    assert said.verdict.value == "undecided"
    assert "with 58 of the training images, scored cleanly, and 58 validation images" in said.evidence[0]

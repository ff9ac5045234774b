"""How often the gate errs, simulated through its own decisions: models whose true difference is known."""

import numpy as np
import pytest

from cnn.config.params import PromoteParams
from cnn.data.arrays import Split
from cnn.data.prepared.sketch import sketch_of
from cnn.evaluation.comparison import mcnemar, paired_test
from cnn.evaluation.predictions import Predictions
from cnn.promotion.gate import Match, decide
from cnn.promotion.paired import better, classes
from cnn.promotion.spending import EXPONENT, left, level, share
from cnn.records import Head, Task
from cnn.runtime import derived_seed
from cnn.tracking.registry import Version

PARAMS = PromoteParams()
K = 10
N_NIGHTS = 30


def rng_of(*words):
    return np.random.default_rng(derived_seed("promotion", *words))


def version(number, **tags):
    tags = {"sha256": f"{number:016d}", "run_key": f"night-{number}", "test_hash": "images"} | tags
    return Version(name="cats", number=number, source="", tags=tags)


def predictions(rng, correct, labels):
    """Of k classes, right where `correct` says so, sure by a chance of its own."""
    said = np.where(correct, labels, (labels + rng.integers(1, K, size=len(labels))) % K)
    sure = rng.uniform(0.5, 0.99, size=len(labels))
    probs = np.repeat(((1 - sure) / (K - 1))[:, None], K, axis=1).astype(np.float32)
    probs[np.arange(len(labels)), said] = sure
    return Predictions(labels=labels, probs=probs)


def pair(rng, n, *, gained, lost):
    """Champion and challenger, of whom 70 % of the images are got right; where they differ is chance."""
    labels = np.arange(n) % K
    champion = rng.random(n) < 0.7
    flips = rng.random(n)
    challenger = np.where(champion, flips >= lost / 0.7, flips < gained / 0.3)
    return [predictions(rng, correct, labels) for correct in (champion, challenger)]


def verdict_of(champion, challenger, *, lines=(), number=2, params=PARAMS, **tags):
    match = Match(challenger=challenger, champion=champion)
    return decide(version(number, **tags), version(1), rulings=(), match=lambda _: match, params=params, lines=lines)


def later(n_looks):
    """A history of so many looks at the same images."""
    return [{"test_hash": "images", "pair": f"earlier {look}", "look": look} for look in range(1, n_looks + 1)]


def test_equal_models_are_promoted_at_most_once_in_twenty():
    rng = rng_of("equal")
    promoted = [verdict_of(*pair(rng, 1000, gained=0.04, lost=0.04)).promoted for _ in range(1000)]
    # A thousand first looks at models that are equally good: at most 5 % are false.
    assert sum(promoted) <= 50
    # The test is not just blind: some luck gets through at the level of a first look.
    assert sum(promoted) > 0


def test_thirty_nights_on_one_test_set_err_at_most_once_in_twenty_together():
    rng, n, runs_with_a_false_one = rng_of("nights"), 400, 0
    for _ in range(1000):
        hard = rng.beta(2, 1, size=n)  # the same images are hard for all models: nothing here is independent
        champion, false = rng.random(n) < hard, False
        for look in range(1, N_NIGHTS + 1):
            challenger = rng.random(n) < hard
            test = mcnemar(challenger, champion)
            if better(test, level=level(PARAMS.alpha, look), margin=0.0, look=look).passed:
                champion, false = challenger, True  # and the nights go on with the lucky one
        runs_with_a_false_one += false
    # Of a thousand months in which no model was better than another, at most 5 % saw any promotion.
    assert runs_with_a_false_one <= 50


def test_thirty_nights_without_spending_err_far_more_often():
    rng, n, runs = rng_of("unspent"), 400, 0
    for _ in range(200):
        hard = rng.beta(2, 1, size=n)
        champion = rng.random(n) < hard
        runs += any(
            better(mcnemar(rng.random(n) < hard, champion), level=PARAMS.alpha, margin=0.0, look=1).passed
            for _ in range(N_NIGHTS)
        )
    # What the spending is for: the same level every night promotes by luck in most months.
    assert runs > 60


def test_the_gate_itself_counts_its_looks():
    rng, lines = rng_of("counting"), []
    for night in range(2, 12):
        champion, challenger = pair(rng, 500, gained=0.04, lost=0.04)
        verdict = verdict_of(champion, challenger, lines=lines, number=night)
        lines.append(verdict.document())
    # Each night's look is the next, at a level that falls.
    assert [line["look"] for line in lines] == list(range(1, 11))
    assert [line["level"] for line in lines] == [level(PARAMS.alpha, look) for look in range(1, 11)]
    assert lines[-1]["left"] == left(10) < lines[0]["left"]
    again = verdict_of(champion, challenger, lines=lines, number=11)
    # The very same pair is no new look.
    assert (again.look, again.level) == (10, lines[-1]["level"])
    verdict = verdict_of(champion, challenger, lines=lines, number=11, test_hash="other images")
    # Images that nobody has looked at begin anew.
    assert verdict.look == 1


def test_test_images_with_some_fresh_ones_among_them_are_not_fresh():
    images, labels = np.arange(1000, dtype="<u4").view(np.uint8).reshape(1000, 2, 2, 1), np.zeros(500, np.int64)
    first, grown, fresh = (
        sketch_of(Split(images=images[start : start + 500], labels=labels)) for start in (0, 50, 500)
    )
    few = sketch_of(Split(images=images[100:150], labels=labels[:50]))
    champion, challenger = pair(rng_of("grown"), 500, gained=0.04, lost=0.04)
    lines = [verdict_of(champion, challenger, test_hash="first", test_sketch=first).document()]
    # Nine tenths of the images have been looked at: the next look, and the same pair is a new one there.
    lines.append(verdict_of(champion, challenger, lines=lines, test_hash="grown", test_sketch=grown).document())
    assert [line["look"] for line in lines] == [1, 2]
    # Compared again on the very same images they have the look they had.
    assert verdict_of(champion, challenger, lines=lines, test_hash="first", test_sketch=first).look == 1
    # A few that were taken out of the first.
    assert verdict_of(champion, challenger, lines=lines[:1], test_hash="few", test_sketch=few).look == 2
    # None of these is among the first.
    assert verdict_of(champion, challenger, lines=lines[:1], test_hash="fresh", test_sketch=fresh).look == 1
    # Versions of before there were sketches go by the hash alone.
    assert verdict_of(champion, challenger, lines=lines, test_hash="grown", number=3).look == 3


@pytest.mark.parametrize(("n_before", "least"), [(0, 0.95), (N_NIGHTS - 1, 0.8), (364, 0.8)])
def test_a_point_and_a_half_on_ten_thousand_images_is_seen(n_before, least):
    rng, n = rng_of("planted", n_before), 100
    lines = later(n_before)
    promoted = [verdict_of(*pair(rng, 10_000, gained=0.0375, lost=0.0225), lines=lines).promoted for _ in range(n)]
    # Through all rules, also after a month and after a year of looks at the same images.
    assert np.mean(promoted) >= least


@pytest.mark.parametrize("disagreement", [0.02, 0.08])
def test_a_class_made_ten_points_worse_is_blocked_always(disagreement):
    rng = rng_of("class", disagreement)
    for run in range(100):
        champion, challenger = pair(rng, 10_000, gained=disagreement + 0.03, lost=disagreement)
        hurt = run % K
        own = np.flatnonzero((challenger.labels == hurt) & challenger.correct)
        spoilt = rng.choice(own, size=100, replace=False)
        probs = challenger.probs.copy()
        probs[spoilt] = np.roll(probs[spoilt], 1, axis=1)
        # it is level with the champion in this class by chance alone, so that ten points are ten points
        level_again = np.flatnonzero((challenger.labels == hurt) & (challenger.correct != champion.correct))
        probs[level_again] = champion.probs[level_again]
        worse = Predictions(labels=challenger.labels, probs=probs)
        ruling = classes(worse, champion, limit=PARAMS.class_loss, alpha=PARAMS.guard_alpha)
        # However much better the rest has become.
        assert ruling.passed is False
        if run < K:
            assert not verdict_of(champion, worse).promoted


def test_equal_models_are_nearly_never_blocked_for_a_class():
    rng = rng_of("classes of equals")
    blocked = [
        classes(*pair(rng, 10_000, gained=0.03, lost=0.03), limit=PARAMS.class_loss, alpha=PARAMS.guard_alpha).passed
        is False
        for _ in range(100)
    ]
    # Ten classes of a thousand images each, and luck in all of them.
    assert np.mean(blocked) <= 0.01


def test_a_model_worse_by_the_margin_is_promoted_at_most_once_in_twenty():
    rng, params, n = rng_of("margin"), PARAMS.model_copy(update={"margin": 0.01}), 4000
    tests = []
    for _ in range(1000):
        draw = rng.multinomial(n, [0.02, 0.03, 0.95])
        tests.append(mcnemar(*paired_outcomes(draw), margin=params.margin))
    promoted = [better(test, level=params.alpha, margin=params.margin, look=1).passed for test in tests]
    # Non-inferiority errs when the truth lies exactly at the margin (three standard errors allowed).
    assert np.mean(promoted) <= 0.05 + 3 * (0.05 * 0.95 / 1000) ** 0.5
    equal = [mcnemar(*paired_outcomes(rng.multinomial(n, [0.02, 0.02, 0.96])), margin=0.01) for _ in range(200)]
    # And a model that is no worse at all mostly passes, which superiority would refuse.
    assert np.mean([better(test, level=0.05, margin=0.01, look=1).passed for test in equal]) > 0.8


def paired_outcomes(draw):
    wins, losses, both = draw
    return [True] * wins + [False] * losses + [True] * both, [False] * wins + [True] * losses + [True] * both


HEADS = {
    Task.BINARY: Head(class_names=("no", "yes"), task=Task.BINARY),
    Task.MULTILABEL: Head(class_names=("a", "b", "c"), task=Task.MULTILABEL),
    Task.HIERARCHICAL: Head(class_names=("a", "b", "c"), task=Task.HIERARCHICAL, ancestors=(("x",), ("x",), ("y",))),
}


def scored(rng, task, labels, hard, skill):
    """Answers of a given skill to images of a given difficulty."""
    head = HEADS[task]
    truth = labels if task is Task.MULTILABEL else np.eye(len(head.class_names))[labels]
    signal = skill * (2 * truth - 1) - hard[:, None] + rng.normal(size=truth.shape)
    if task is Task.MULTILABEL:
        probs = 1 / (1 + np.exp(-signal))
    else:
        probs = np.exp(signal) / np.exp(signal).sum(axis=1, keepdims=True)
    return Predictions(labels=labels, probs=probs.astype(np.float32), head=head)


def drawn_pair(rng, task, n, *, gain):
    labels = (
        rng.integers(0, 2, size=(n, 3)) if task is Task.MULTILABEL else rng.integers(0, len(HEADS[task].class_names), n)
    )
    hard = rng.normal(size=n)
    return scored(rng, task, labels, hard, 1.0), scored(rng, task, labels, hard, 1.0 + gain)


@pytest.mark.parametrize("task", HEADS, ids=str)
def test_the_paired_bootstrap_keeps_its_level_and_sees_what_is_there(task):
    rng, runs = rng_of("bootstrap", task), 50
    equal = [paired_test(*reversed(drawn_pair(rng, task, 100, gain=0.0))).p_value for _ in range(runs)]
    # Of equally skilled models one in twenty is called better (three standard errors allowed).
    assert np.mean(np.array(equal) <= 0.05) <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5
    planted = [paired_test(*reversed(drawn_pair(rng, task, 500, gain=1.0))).p_value for _ in range(5)]
    # A plainly better one is seen at a level that a month of looks leaves.
    assert np.mean(np.array(planted) <= level(0.05, N_NIGHTS)) >= 0.8


def test_no_alpha_promotes_nobody():
    # 1,100 images gained and none lost: a chance that no float can hold is 0, and so is the level.
    test = mcnemar([True] * 1100, [False] * 1100)
    assert test.p_value == 0.0 and not better(test, level=0.0, margin=0.0, look=1).passed


def test_the_shares_are_all_of_alpha_and_no_more():
    shares = [share(look) for look in range(1, 20_001)]
    # They fall, and their sum comes near 1 from below: the rest is the tail, at most the integral beyond.
    assert shares == sorted(shares, reverse=True)
    tail = 20_000 ** (1 - EXPONENT) / (EXPONENT - 1) * share(1)
    assert 1 - tail <= sum(shares) < 1

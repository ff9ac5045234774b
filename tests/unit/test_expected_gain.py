"""When a search ends early: what is expected of going on, and what becomes of it when a search is killed."""

import numpy as np
import pytest
from making import epoch_row

from cnn.config.space import Choice, Float, Int
from cnn.records import Outcome, TrialState
from cnn.search.engines.random import RandomSearcher
from cnn.search.engines.searcher import Pause, StoredTrial
from cnn.search.engines.terminating import IN_A_ROW, Terminating
from cnn.search.expected_gain import encoded, expected_gain, fewest_trials
from cnn.search.space import Space

SPACE = Space(
    {
        "model.dropout": Float(type="float", low=0.0, high=0.5),
        "optimizer.learning_rate": Float(type="float", low=1e-4, high=1e-1, log=True),
        "optimizer.name": Choice(type="choice", values=("adamw", "sgd")),
        "optimizer.momentum": Float(type="float", low=0.5, high=1.0, when={"optimizer.name": ("sgd",)}),
        "model.filters": Int(type="int", low=8, high=64, step=8),
    }
)


def score_of(values, noise=0.0, rng=None):
    """Best in the middle of the rates; the rest hardly matters."""
    away = np.log10(values["optimizer.learning_rate"] / 3e-3)
    return float(0.9 - 0.2 * away**2 + 0.02 * values["model.filters"] / 64 + (rng.normal(0, noise) if rng else 0.0))


def trials_of(n, seed=0, noise=0.0, near=None):
    rng = np.random.default_rng(seed)
    drawn = [SPACE.sample(rng) for _ in range(n)]
    if near:
        drawn = [values | {"optimizer.learning_rate": float(10 ** rng.normal(-2.5, near))} for values in drawn]
    return [(values, score_of(values, noise, rng)) for values in drawn]


def test_a_search_that_has_seen_little_has_much_to_gain_and_one_that_has_seen_all_has_not():
    poor = [trial for trial in trials_of(60) if trial[1] < 0.75][:12]
    rich = trials_of(60, near=0.15)
    gains = [expected_gain(SPACE, trials, seed=1) for trials in (poor, rich)]
    # Where the best is far off, a further ten trials are worth points; where it is found, next to nothing.
    assert gains[0] > 0.03
    assert 0.0 <= gains[1] < 0.005


def test_what_noise_gave_the_best_is_no_gain_to_come():
    rng = np.random.default_rng(2)
    flat = [(SPACE.sample(rng), 0.8 + float(rng.normal(0, 0.01))) for _ in range(40)]
    # Ten further draws of this noise would beat the best in one search of five; no recipe would be the better for it.
    assert expected_gain(SPACE, flat, seed=1) < 0.004
    # All alike: nothing to be had.
    assert expected_gain(SPACE, [(values, 0.8) for values, _ in flat], seed=1) == 0.0


def test_the_same_trials_promise_the_same():
    assert expected_gain(SPACE, trials_of(15), seed=3) == expected_gain(SPACE, trials_of(15), seed=3)
    with pytest.raises(ValueError, match="Expected 10 trials or more"):
        expected_gain(SPACE, trials_of(9), seed=3)


def test_a_point_is_in_the_unit_cube_whatever_is_active():
    points = np.array([encoded(SPACE, SPACE.sample(np.random.default_rng(seed))) for seed in range(50)])
    # One place a number, one a value of a choice; what is inactive is neither high nor low.
    assert points.shape == (50, 6) and points.min() >= 0.0 and points.max() <= 1.0
    adamw = encoded(
        SPACE, {"model.dropout": 0.5, "optimizer.learning_rate": 1e-4, "optimizer.name": "adamw", "model.filters": 8}
    )
    named = dict(zip(_columns(), adamw, strict=True))
    assert named == {"dropout": 1.0, "rate": 0.0, "adamw": 1.0, "sgd": 0.0, "momentum": 0.5, "filters": 0.0}


def _columns():
    kinds = {
        "model.dropout": ["dropout"],
        "optimizer.learning_rate": ["rate"],
        "optimizer.name": ["adamw", "sgd"],
        "optimizer.momentum": ["momentum"],
        "model.filters": ["filters"],
    }
    return [name for path in SPACE.dimensions for name in kinds[path]]


def ended(number, score, state=TrialState.COMPLETED):
    return Outcome(number=number, state=state, reason="all epochs", curve=(epoch_row(0, score),))


def searched(searcher, n, score, restored=()):
    """Ask and tell until there are n trials or no proposal is left; all trials, as a ledger has them."""
    stored = list(restored)
    for number in range(len(stored), n):
        proposal = searcher.ask(number)
        if proposal is Pause.EXHAUSTED:
            break
        outcome = ended(number, score(proposal.values))
        searcher.tell(outcome)
        stored.append(StoredTrial(proposal=proposal, curve=outcome.curve, outcome=outcome))
    return stored


def ending(min_gain, said):
    engine = RandomSearcher(SPACE, seed=5, epochs=1)
    return Terminating(engine, SPACE, min_gain=min_gain, seed=5, say=said.append)


def test_a_search_ends_when_little_is_expected_and_says_so_once():
    said = []
    searcher = ending(0.02, said)
    searcher.restore([], "")
    trials = searched(searcher, 60, score_of)
    # Not before there is something to judge by, and well before all are used up.
    assert fewest_trials(SPACE) + IN_A_ROW - 1 <= len(trials) < 60
    # It stays over, and one sentence has the figure and the setting.
    assert searcher.ask(len(trials)) is Pause.EXHAUSTED and len(said) == 1
    assert (
        "the next 10 trials together are expected to raise the score by 0.0" in said[0] and "search.min_gain" in said[0]
    )


def test_a_search_that_is_killed_ends_where_it_would_have_ended():
    unbroken, said = ending(0.02, []), []
    unbroken.restore([], "")
    trials = searched(unbroken, 60, score_of)
    resumed = ending(0.02, said)
    resumed.restore(trials[:-1], "")
    # One trial more, as before; the sentence is said by whoever ends it.
    assert len(searched(resumed, 60, score_of, restored=trials[:-1])) == len(trials)
    again = ending(0.02, said)
    again.restore(trials, "")
    assert again.ask(len(trials)) is Pause.EXHAUSTED


def test_trials_that_were_cut_off_say_nothing():
    searcher = ending(0.5, [])
    searcher.restore([], "")
    for number in range(30):
        searcher.ask(number)
        searcher.tell(ended(number, 0.5, TrialState.PRUNED if number % 2 else TrialState.FAILED))
    # None ran to its end: nothing is known, so the search goes on.
    assert searcher.ask(30) is not Pause.EXHAUSTED

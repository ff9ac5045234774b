"""The best of many looks better than it is: fresh seeds decide."""

import pytest
from making import epoch_row, ledger_row

from cnn.config.objective import ObjectiveParams
from cnn.records import Outcome, TrialState
from cnn.search.finalists import finalists, front, pending_repeats, standings
from cnn.search.job import JobId


def run(number, accuracy, repeat=0, state=TrialState.COMPLETED):
    return ledger_row(Outcome(number=number, state=state, reason="", curve=(epoch_row(accuracy=accuracy),)), repeat)


TRIALS = [
    run(0, 0.7),
    run(1, 0.9),
    run(2, 0.8),
    run(3, 0.95, state=TrialState.PRUNED),
    run(4, 0.99, state=TrialState.FAILED),
]


def test_finalists_are_the_best_completed_trials():
    # A pruned trial has not been measured to its end, a failed one not at all.
    assert [row.id.number for row in finalists(TRIALS, 2)] == [1, 2]


def test_pruned_trials_are_better_than_none():
    # Nothing completed: the best pruned one is all there is.
    assert [row.id.number for row in finalists(TRIALS[3:], 2)] == [3]


def test_among_equals_the_earlier_trial_comes_first():
    # Otherwise the winner would depend on the order of finishing.
    assert [row.id.number for row in finalists([run(1, 0.9), run(0, 0.9)], 1)] == [0]


def test_everyone_gets_a_first_fresh_seed_before_anyone_a_second():
    begun = [*TRIALS, run(1, 0.5, repeat=1)]
    # Trial 1 has begun its first; trial 2's first comes before trial 1's second.
    assert pending_repeats(begun, 2, 2) == [JobId(2, 1), JobId(1, 2), JobId(2, 2)]


def test_the_mean_of_the_fresh_runs_decides():
    rows = [*TRIALS, run(1, 0.70, repeat=1), run(1, 0.72, repeat=2), run(2, 0.79, repeat=1), run(2, 0.77, repeat=2)]
    best, second = standings(rows, 2)
    # Trial 1 was first by luck; trial 2 holds what it promised.
    assert (best.row.id.number, best.mean) == (2, 0.78)
    # The spread is over all runs, the lucky one included.
    assert second.spread > best.spread > 0


def test_without_a_fresh_run_for_each_all_runs_count():
    rows = [*TRIALS, run(2, 0.6, repeat=1)]
    # Trial 1 has no fresh run, so its 0.9 is taken at its word, against 0.8 and 0.6 of trial 2.
    assert [standing.row.id.number for standing in standings(rows, 2)] == [1, 2]


def test_a_run_that_was_cut_off_confirms_nothing():
    rows = [*TRIALS, run(1, 0.2, repeat=1, state=TrialState.PRUNED), run(2, 0.79, repeat=1)]
    # The budget ended in the middle of trial 1's fresh run: its 0.2 says nothing about the recipe.
    assert standings(rows, 2)[0].fresh_scores == ()
    assert standings(rows, 2)[0].row.id.number == 1


def test_a_recipe_that_fails_on_a_fresh_seed_does_not_win():
    rows = [*TRIALS, run(1, 0.0, repeat=1, state=TrialState.FAILED), run(2, 0.6, repeat=1)]
    # Trial 1's 0.9 was luck of another kind: the next seed brought nothing at all.
    assert [standing.row.id.number for standing in standings(rows, 2)] == [2, 1]
    # Unless nobody is better.
    assert standings([*rows, run(2, 0.0, repeat=2, state=TrialState.FAILED)], 2)[0].row.id.number == 1


# ---- score and gap at once

BOTH = ObjectiveParams(of="accuracy_and_gap", score_slack=0.02)


def both(number, accuracy, gap, repeat=0, state=TrialState.COMPLETED):
    row = epoch_row(accuracy=accuracy, clean_train_accuracy=accuracy + gap)
    return ledger_row(Outcome(number=number, state=state, reason="", curve=(row,)), repeat)


MANY = [
    both(0, 0.90, 0.20),
    both(1, 0.89, 0.10),
    both(2, 0.885, 0.15),  # beaten by trial 1 in both
    both(3, 0.87, 0.02),
    both(4, 0.85, -0.05),
    both(5, 0.84, 0.00),  # beaten by trial 4: a negative gap counts as 0, and its score is better
    both(6, 0.95, 0.00, state=TrialState.PRUNED),
    both(7, 0.99, 0.00, state=TrialState.FAILED),
]


def test_the_front_is_what_no_completed_trial_beats_in_both():
    assert [row.id.number for row in front(MANY)] == [4, 3, 1, 0]


def test_less_than_no_gap_is_no_better():
    # Better on validation images than on training images is chance: the score decides between these two.
    assert [row.id.number for row in front([both(0, 0.8, -0.1), both(1, 0.9, -0.01)])] == [1]


def test_finalists_are_the_one_that_would_win_and_the_best_score_then_the_rest_of_the_front():
    # Within 0.02 of 0.90, trial 1 has the smallest gap; trial 0 says what within means, and is tried again too.
    assert [row.id.number for row in finalists(MANY, 2, BOTH)] == [1, 0]
    # Then the others of the front by score; nobody from behind it.
    assert [row.id.number for row in finalists(MANY, 9, BOTH)] == [1, 0, 3, 4]
    # A single finalist is the one that the rule prefers, not the best score.
    assert [row.id.number for row in finalists(MANY, 1, BOTH)] == [1]
    assert finalists([], 3, BOTH) == []


def test_the_smallest_mean_gap_near_the_best_mean_score_wins():
    fresh = [both(1, 0.84, 0.08, 1), both(0, 0.87, 0.12, 1), both(3, 0.855, 0.09, 1), both(3, 0.855, 0.07, 2)]
    first, second, third = standings([*MANY, *fresh], 3, BOTH)
    # The best mean is trial 0's 0.87: trial 3 is within 0.02 of it and has less gap; trial 1 has fallen out of reach.
    assert [one.row.id.number for one in (first, second, third)] == [3, 0, 1]
    # Means of the fresh runs alone, as for scores.
    assert (first.mean_gap, first.gap) == (pytest.approx(0.08), pytest.approx(0.02))


def test_a_wider_slack_buys_a_smaller_gap():
    winners = [standings(MANY, 9, BOTH.model_copy(update={"score_slack": slack}))[0] for slack in (0.0, 0.03, 0.5)]
    # With none the best score wins, with all the smallest gap.
    assert [one.row.id.number for one in winners] == [0, 3, 4]


def test_a_recipe_that_fails_on_a_fresh_seed_does_not_win_by_its_gap():
    rows = [*MANY, both(1, 0.0, 0.0, 1, state=TrialState.FAILED), both(0, 0.8, 0.3, 1)]
    assert [one.row.id.number for one in standings(rows, 2, BOTH)] == [0, 1]
    assert standings([], 2, BOTH) == []

"""The best of many looks better than it is: fresh seeds decide."""

from making import epoch_row, ledger_row

from cnn.records import Outcome, TrialState
from cnn.search.finalists import finalists, pending_repeats, standings
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

"""The sentence that names a search's winner and why: one case for each way a search can end."""

from dataclasses import replace

import pytest
from making import epoch_row

from cnn.config.objective import ObjectiveParams
from cnn.config.params import SearchParams
from cnn.errors import SpaceError
from cnn.records import Cost, Outcome, Proposal, TrialState
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow
from cnn.search.winner import winner_of, winner_words

PARAMS = SearchParams.model_validate(
    {
        "space": {"model.filters": {"type": "int", "low": 4, "high": 8}},
        "budget": {"trials": 9, "epochs": 1},
        "finalists": 2,
        "finalist_seeds": 2,
    }
)
BOTH = ObjectiveParams(of="accuracy_and_gap", score_slack=0.05)
PRUNED, FAILED = TrialState.PRUNED, TrialState.FAILED
NO_SEEDS = {"finalist_seeds": 0}
GAP = {"objective": BOTH}


def run(number, score, repeat=0, *, gap=0.0, state=TrialState.COMPLETED):
    curve = (epoch_row(0, score, clean_train_accuracy=score + gap),) if state is not FAILED else ()
    return LedgerRow(
        id=JobId(number, repeat),
        proposal=Proposal(number=number, values={}, epochs=1),
        seed=0,
        cost=Cost(),
        deaths=0,
        outcome=Outcome(number=number, state=state, reason="", curve=curve, cost=Cost()),
    )


FRESH = [run(0, 0.5), run(1, 0.6), run(0, 0.55, 1), run(1, 0.5, 1)]
CASES = {
    "fresh seeds": (
        {},
        [*FRESH, run(0, 0.65, 2), run(1, 0.5, 2)],
        "winner: trial 0, because the mean of its 2 fresh-seed runs, 0.6000, is the best of the finalists; "
        "the runner-up, trial 1, has 0.5000",
    ),
    "one seed": ({}, FRESH, "the score of its fresh-seed run, 0.5500, is the best of the finalists; the runner-up"),
    "a cut off trial was better": (
        {},
        [run(0, 0.1136), run(1, 0.1796, state=PRUNED)],
        "winner: trial 0, because its score, 0.1136, is the best of the 1 that ran to their end; no finalist was "
        "trained again to its end: the budget ended before; trial 1 had 0.1796, but did not run to its end and could "
        "not win",
    ),
    "no seeds wanted": (NO_SEEDS, [run(0, 0.5), run(1, 0.4)], "again: search.finalist_seeds is 0"),
    "nobody came to the end": (
        {},
        [run(0, 0.2, state=PRUNED), run(1, 0.1, state=PRUNED)],
        "trial 0, because its score, 0.2000, is the best of the 2, none of which ran to its end",
    ),
    "not all again": (
        {},
        [run(0, 0.5), run(1, 0.6), run(1, 0.7, 1)],
        "trial 1, because the mean of all its runs, 0.6500, is the best of the finalists; the runner-up, trial 0, has "
        "0.5000; the budget ended before every finalist was trained again",
    ),
    "the better one failed": (
        {},
        [run(0, 0.5), run(1, 0.6), run(0, 0.5, 1), run(1, 0.0, 1, state=FAILED)],
        "trial 0, because the score of its fresh-seed run, 0.5000, is the best of the finalists; the runner-up, trial "
        "1, failed when it was trained again",
    ),
    "both counted": (
        GAP,
        [run(0, 0.58, gap=0.1), run(1, 0.6, gap=0.2), run(0, 0.57, 1, gap=0.1), run(1, 0.6, 1, gap=0.2)],
        "trial 0, because it has the smallest mean gap among the finalists from the Pareto front whose mean score is "
        "at most 0.05 below the best of them: score 0.5700, gap 0.1000; the runner-up, trial 1, has 0.6000, gap 0.2000",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_winner_is_named_with_the_reason(case):
    changes, rows, said = CASES[case]
    params = PARAMS.model_copy(update=changes)
    words = winner_words(rows, params)
    # The reason is the one that held, in one line, and of the trial that did win.
    assert said in words and "\n" not in words
    assert words.startswith(f"winner: trial {winner_of(rows, params).row.id.number}, because ")


def test_trials_under_way_have_no_say():
    rows = [run(0, 0.5), replace(run(1, 0.9), outcome=None)]
    # Without an outcome there is no score to be better by.
    assert winner_words(rows, PARAMS).startswith("winner: trial 0,") and "trial 1" not in winner_words(rows, PARAMS)


@pytest.mark.parametrize(
    "state, reason, change",
    [
        (PRUNED, "the budget ended at epoch 1", "raise search.budget in params.yaml"),
        (FAILED, "ValueError: no", "edit search in params.yaml"),
    ],
)
def test_a_search_without_a_model_says_what_to_change(state, reason, change):
    row = run(0, 0.0, state=state)
    row = replace(row, outcome=replace(row.outcome, reason=reason, curve=()))
    with pytest.raises(SpaceError) as refused:
        winner_of([row], PARAMS)
    # One trial is no plural, and what ended it decides what helps.
    assert str(refused.value) == (
        f"search: received 1 trial and none with a model ({reason}); expected at least one; {change}"
    )

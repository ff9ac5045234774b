"""The report of a search says who could win, and advises nothing that the winner has already."""

import pytest
from studied import VALUES, facts_of, ledger, row, titled

from cnn.config.recipe import Recipe
from cnn.records import TrialState
from cnn.reports.study import study_report


def test_a_better_trial_that_was_cut_off_is_not_in_the_race_and_none_of_the_worst():
    completed = row(0, 0, VALUES, 0.1136)
    cut = row(1, 0, VALUES, 0.1796, state=TrialState.PRUNED, reason="the budget ended at epoch 2")
    facts = facts_of([completed, cut])
    report = study_report(facts)
    # The winner's rank is among those that could win; who scored better is named with what became of it.
    assert facts.winner.number == 0 and "rank 1 of the 1 that ran to their end" in report.findings[0]
    assert "not in the race: trial 1 0.1796 (the budget ended at epoch 2)" in report.findings[1]
    worst, best = titled(facts, "What is wrong with the worst"), titled(facts, "The best")
    # Nobody below the winner: nobody is called the worst.
    assert worst.points == () and "No other trial scored below trial 0" in worst.text[0]
    # In the table of the best how each ended; whoever could not win stands last.
    assert [cells[:3] for cells in best.tables[0].rows] == [
        ("0 (winner)", "0.1136", "all epochs"),
        ("1", "0.1796", "the budget ended at epoch 2"),
    ]
    # The best score and the front say that this one could not win.
    went, front = titled(facts, "How the search went").text[0], titled(facts, "Accuracy against overfitting").text
    assert "It could not win" in went and "the best that did is trial 0, 0.1136" in went
    assert "Of these, trial 1 did not run to its end and could not win." in front


def test_where_all_ran_to_their_end_nothing_is_said_of_it():
    all_ended = [one for one in ledger() if one.outcome.state is TrialState.COMPLETED]
    report = study_report(facts_of(all_ended))
    said = " ".join([*report.findings, *(text for section in report.sections for text in section.text)])
    # No column and no sentence for what did not happen.
    assert "could not win" not in said and "not in the race" not in said
    assert "ended by" not in titled(facts_of(all_ended), "The best").tables[0].header


@pytest.mark.parametrize(("place", "advised"), [("none", True), ("before_activation", False)])
def test_no_remedy_is_what_the_winner_has_already(place, advised):
    model = {"family": "plain", "batch_norm": place}
    base = Recipe.model_validate({"model": model, "training": {"epochs": 6}})
    values = {"optimizer.learning_rate": 0.001}
    report = study_report(facts_of([row(0, 0, values, 0.8)], base=base))
    # A rising curve is advised to take BatchNorm only where there is none.
    assert any("BatchNorm" in remedy for remedy in report.remedies) is advised
    assert report.remedies

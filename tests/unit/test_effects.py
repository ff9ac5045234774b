"""What remedies have been measured to do: kept a data set, and believed with caution."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from making import epoch_row

from cnn.config.space import Float, dimensions_document
from cnn.diagnosis.effects import Effect, RemedyMemory, belief
from cnn.diagnosis.remedies import ORDER
from cnn.diagnosis.verdict import Verdict
from cnn.records import Outcome, TrialState
from cnn.search.rounds import effect

ILL = Verdict.OVERFITTING


def measured(gain, *, trial=0, remedy="dropout", gap=0.0):
    return Effect(study="a", trial=trial, verdict=ILL.value, remedy=remedy, score=gain, gap=gap)


def ended(*accuracies, state=TrialState.COMPLETED, gap=0.125):
    rows = tuple(
        epoch_row(epoch, accuracy, clean_train_accuracy=accuracy + gap) for epoch, accuracy in enumerate(accuracies)
    )
    return Outcome(number=0, state=state, reason="scripted", curve=rows)


def test_before_anything_is_measured_the_order_of_the_remedies_is_believed():
    means = [belief(ILL, name, ()).mean for name in ORDER[ILL]]
    # Each remedy is expected to help, and less than the one before it.
    assert all(mean > 0 for mean in means)
    assert all(first > second for first, second in pairwise(means))


def test_pairs_move_a_belief_towards_their_mean_the_more_of_them_there_are():
    few = belief(ILL, "dropout", [measured(0.05, trial=n) for n in range(2)])
    many = belief(ILL, "dropout", [measured(0.05, trial=n) for n in range(50)])
    # Two pairs are believed in part, fifty nearly whole, and each makes surer.
    assert belief(ILL, "dropout", ()).mean < few.mean < many.mean < 0.05
    assert many.mean == pytest.approx(0.05, abs=0.002)
    assert many.spread < few.spread
    # What has done harm is no longer expected to help; other remedies, and other verdicts, have nothing to do with it.
    harm = [measured(-0.05, trial=n) for n in range(2)]
    assert belief(ILL, "dropout", harm).mean < 0
    assert belief(ILL, "batch_norm", harm) == belief(ILL, "batch_norm", ())
    assert belief(Verdict.DIVERGED, "batch_norm", harm).n == 0


def test_a_smaller_gap_at_an_equal_score_is_a_gain():
    assert measured(0.0, gap=-0.2).gain == pytest.approx(0.02)


def test_effects_are_read_back_and_heard_once(tmp_path):
    memory = RemedyMemory(tmp_path / "remedies" / "abc.jsonl")
    memory.keep(measured(0.02, trial=7))
    memory.keep(measured(0.03, trial=9, gap=-0.1))
    # A search that goes on after a kill says again what it has measured.
    memory.keep(measured(0.02, trial=7))
    again = RemedyMemory(tmp_path / "remedies" / "abc.jsonl")
    again.keep(measured(0.02, trial=7))
    assert again.effects == (measured(0.02, trial=7), measured(0.03, trial=9, gap=-0.1))
    # Another data set, and another home, know nothing of it.
    assert RemedyMemory(tmp_path / "remedies" / "other.jsonl").effects == ()


def test_a_torn_or_flipped_line_costs_that_line_alone(tmp_path):
    path = tmp_path / "abc.jsonl"
    memory = RemedyMemory(path)
    for trial in range(3):
        memory.keep(measured(0.01, trial=trial))
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in range(1, last):
        path.write_bytes(whole[:-cut])
        torn = RemedyMemory(path)
        # Whatever a kill has left of the last line, those before it stand ...
        assert [one.trial for one in torn.effects][:2] == [0, 1]
        torn.keep(measured(0.01, trial=8))
        # ... and the next line does not join it.
        assert [one.trial for one in RemedyMemory(path).effects][-1] == 8
    path.write_bytes(whole.replace(b'"trial": 1', b'"trial": \xff', 1))
    # A flipped byte in the middle is that line's loss.
    assert [one.trial for one in RemedyMemory(path).effects] == [0, 2]


def test_the_last_focus_is_that_of_the_same_space(tmp_path):
    path = tmp_path / "abc.jsonl"
    focus = dimensions_document({"model.dropout": Float(type="float", low=0.1, high=0.3)})
    memory = RemedyMemory(path)
    memory.keep_focus("night-1", "one space", focus)
    memory.keep_focus("night-2", "another space", {})
    # Another space has other ranges: its focus says nothing here.
    assert RemedyMemory(path).last_focus("one space") == ("night-1", focus)
    assert RemedyMemory(path).last_focus("a third") is None
    memory.keep_focus("night-3", "one space", {})
    # The last word counts, also when it is that the whole space is open again.
    assert RemedyMemory(path).last_focus("one space") == ("night-3", {})


def test_the_effect_of_a_pair_is_measured_at_the_best_epochs():
    score, gap = effect(ended(0.5, 0.75, 0.625, gap=0.0625), ended(0.5, 0.625, 0.5, gap=0.125))
    # Best against best, whichever epochs they are: 0.75 - 0.625, and 0.0625 - 0.125.
    assert (score, gap) == (0.125, -0.0625)


def test_a_run_that_diverged_has_lost_its_score_but_outweighs_nothing():
    exploded = replace(ended(state=TrialState.FAILED), reason="NaN loss at epoch 1")
    assert effect(exploded, ended(0.0625)) == (-0.0625, 0.0)
    assert effect(exploded, ended(0.5, 0.625)) == (-0.1, 0.0)
    lost = measured(effect(exploded, ended(0.5, 0.625))[0], trial=1)
    gained = [measured(0.02, trial=n) for n in range(2, 22)]
    # Twenty pairs in which it gained two points each are more than one accident.
    assert belief(Verdict.OVERFITTING, lost.remedy, [lost, *gained]).mean > 0


def test_a_run_that_the_machine_killed_says_nothing():
    killed = replace(ended(state=TrialState.FAILED), reason="worker 0 was killed by signal 9, 2 times")
    assert effect(killed, ended(0.5, 0.625)) is None


def test_what_was_cut_off_or_is_no_number_says_nothing():
    assert effect(ended(0.5, state=TrialState.PRUNED), ended(0.5)) is None
    assert effect(ended(math.nan), ended(0.5)) is None

"""The verdict on every run of a search, where a tracker's reader can filter by it."""

import json

import pytest
from making import epoch_row

from cnn.records import Head, Outcome, TrialState
from cnn.search.job import JobId
from cnn.search.logbook import Logbook, verdict_counts
from cnn.tracking.memory import MemoryTracker
from cnn.wiring import diagnoser

DIAGNOSE = diagnoser(Head(class_names=tuple("0123456789")), 5000, 5000)
RECIPE = {"training": {"epochs": 20, "patience": None}, "model": {"dropout": 0.0}}


def outcome(number, clean, held, reason="all epochs"):
    rows = [
        epoch_row(epoch, held - 0.001 * abs(epoch - 10), clean_train_accuracy=clean, clean_train_loss=0.2, val_loss=0.8)
        for epoch in range(20)
    ]
    return Outcome(number=number, state=TrialState.COMPLETED, reason=reason, curve=tuple(rows))


OVERFITTING, EXPLODED = outcome(0, 0.95, 0.8), Outcome(number=1, state=TrialState.FAILED, reason="NaN loss at epoch 1")


@pytest.fixture
def logged(tmp_path):
    """The tracker after a trial that overfits and one that exploded."""
    tracker = MemoryTracker()
    book = Logbook(
        tracker, "study", {}, draw=lambda curve, path, title: path.touch(), scratch=tmp_path, diagnose=DIAGNOSE
    )
    book.open({})
    for one in (OVERFITTING, EXPLODED):
        book.begin(JobId(one.number), RECIPE, 0)
        book.end(JobId(one.number), one)
    book.wait()
    return tracker


def test_each_run_bears_its_verdict_as_one_word(logged):
    words = [logged.read_run(f"study/{number}").tags["diagnosis"] for number in (0, 1)]
    # What MLflow filters by: tags.diagnosis = 'overfitting'.
    assert words == ["overfitting", "diverged"]


def test_each_run_bears_the_sentence_with_gap_and_first_remedy(logged):
    sentence = logged.read_run("study/0").tags["diagnosis_sentence"]
    # The gap of 0.95 - 0.8 at the best epoch, the eleventh.
    assert "at the best epoch, 11, is +0.150" in sentence and "First remedy: stop when" in sentence


def test_the_whole_diagnosis_is_a_file_of_the_run(logged):
    document = json.loads(logged.read_file("study/0", "diagnosis.json"))
    # With the sizes it rests on, so that it can be made again from the curve.
    assert (document["figures"]["n_val"], document["figures"]["n_classes"]) == (5000, 10)
    # Values are those for this run's own recipe.
    assert {"path": "model.dropout", "direction": "up", "value": 0.25} in document["remedies"][1]["changes"]


def test_a_study_counts_its_verdicts():
    # One figure a verdict, whatever process said it.
    counts = verdict_counts(DIAGNOSE, [OVERFITTING, EXPLODED, OVERFITTING])
    assert counts == {"diagnosed_diverged": 1.0, "diagnosed_overfitting": 2.0}


def test_a_doctor_that_fails_loses_no_trial(tmp_path):
    def broken(outcome, recipe):
        raise ZeroDivisionError

    tracker = MemoryTracker()
    book = Logbook(tracker, "s", {}, draw=lambda *_: None, scratch=tmp_path, diagnose=broken)
    book.open({})
    book.begin(JobId(1), RECIPE, 0)
    book.end(JobId(1), EXPLODED)
    book.wait()
    # The run is logged to its end, without a verdict.
    assert (tags := tracker.read_run("s/1").tags)["reason"] == "NaN loss at epoch 1" and "diagnosis" not in tags

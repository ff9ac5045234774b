"""When what was made again counts as the same."""

import math

import numpy as np
import pytest

from cnn.durable import sha256_of, write_sealed
from cnn.errors import IntegrityError
from cnn.evaluation.predictions import Predictions, write_predictions
from cnn.records import Task
from cnn.reproduction.conditions import Change, changes, code_digest
from cnn.reproduction.outcome import Result, Sameness, other_data, outcome_of, read_result, seed_spread

N = 1000


def result(wrong, *, model="a", digest="p", test_hash="t", accuracy=None):
    """A result of a model that is wrong on these of N images of two classes."""
    labels = np.zeros(N, dtype=np.int64)
    probs = np.tile(np.float32([0.9, 0.1]), (N, 1))
    probs[list(wrong)] = [0.2, 0.8]
    figures = {"accuracy": 1 - len(wrong) / N if accuracy is None else accuracy, "n": N}
    return Result(
        trained={"model_sha256": model, "best_val_score": 0.5, "reason": "all epochs"},
        evaluated={**figures, "test_hash": test_hash, "predictions_sha256": digest},
        predictions=Predictions(labels=labels, probs=probs),
    )


def test_equal_digests_are_bit_identical():
    outcome = outcome_of(result(range(30)), result(range(30)))
    assert outcome.sameness is Sameness.IDENTICAL
    # Every figure is there, and none has moved.
    assert {"test accuracy", "test n", "best_val_score"} == {figure.name for figure in outcome.figures}
    assert all(figure.difference == 0 for figure in outcome.figures)


@pytest.mark.parametrize("changed", ["model", "digest"])
def test_one_other_digest_is_not_bit_identical(changed):
    # The same answers by another file, or the same file with other probabilities: alike, no more.
    outcome = outcome_of(result(range(30)), result(range(30), **{changed: "other"}))
    assert outcome.sameness is Sameness.ALIKE


def test_a_difference_that_luck_explains_is_within_the_spread():
    # 30 wrong, then 30 others: 60 discordant images of 1,000, the difference 0.
    outcome = outcome_of(result(range(30)), result(range(100, 130), model="b"))
    assert outcome.sameness is Sameness.ALIKE
    assert "the answers differ on 60 images" in outcome.reason


def test_a_difference_beyond_luck_is_another_model_unless_seeds_are_known_to_do_that():
    then, now = result(range(30)), result(range(80), model="b")
    # 50 images more are wrong: 5 points, where the paired interval allows 1.4.
    assert outcome_of(then, now).sameness is Sameness.DIFFERENT
    # In the search, other seeds of this recipe differed by as much.
    assert outcome_of(then, now, spread=0.02).sameness is Sameness.ALIKE
    # By so little they did not.
    assert outcome_of(then, now, spread=0.005).sameness is Sameness.DIFFERENT


def test_other_test_images_say_nothing():
    outcome = outcome_of(result(range(30)), result(range(30), model="b", test_hash="other"))
    assert (outcome.sameness, outcome.reason) == (Sameness.DIFFERENT, "the test images are others")


def test_other_data_are_told_by_their_hashes():
    outcome = other_data("a" * 64, "b" * 64)
    assert outcome.sameness is Sameness.DIFFERENT
    assert "bbbbbbbbbbbb" in outcome.reason and "aaaaaaaaaaaa" in outcome.reason


def test_a_figure_that_is_new_has_no_past():
    then, now = result(range(30)), result(range(30), model="b")
    now.evaluated["roc_auc"] = 0.75
    (figure,) = [one for one in outcome_of(then, now).figures if one.name == "test roc_auc"]
    # It is shown, not left out; its difference is none.
    assert math.isnan(figure.then) and figure.now == 0.75 and math.isnan(figure.difference)


def test_a_result_is_read_from_its_files_and_damage_is_named(tmp_path):
    predictions = result(range(3)).predictions
    write_predictions(tmp_path / "predictions.npz", predictions)
    write_sealed(tmp_path / "train.json", {"model_sha256": "m", "val_loss": 0.25})
    figures = {"accuracy": 0.997, "predictions_sha256": sha256_of(tmp_path / "predictions.npz")}
    write_sealed(tmp_path / "evaluate.json", figures)
    found = read_result(tmp_path, tmp_path)
    assert found.figures == {"test accuracy": 0.997, "val_loss": 0.25}
    (tmp_path / "predictions.npz").write_bytes((tmp_path / "predictions.npz").read_bytes()[:-1])
    # Half a file of predictions would compare images with others.
    with pytest.raises(IntegrityError, match=r"predictions\.npz"):
        read_result(tmp_path, tmp_path)


def test_the_spread_of_seeds_is_the_winners_accuracy_only(tmp_path):
    write_sealed(tmp_path / "winner.yaml", {"spread": 0.0125, "recipe": {}})
    # Known for a score that is an accuracy; of an AUC it would be about something else.
    assert seed_spread(tmp_path / "winner.yaml", Task.MULTICLASS) == 0.0125
    assert seed_spread(tmp_path / "winner.yaml", Task.BINARY) == 0.0
    assert seed_spread(tmp_path / "none.yaml", Task.MULTICLASS) == 0.0


def test_conditions_that_changed_are_listed_what_computes_first():
    then = {"threads": 2, "devices": ["CPU"], "packages": {"keras": "3.15.1", "rich": "14", "attrs": "1"}}
    now = {"threads": 4, "devices": ["CPU"], "packages": {"keras": "3.16.0", "rich": "15", "zict": "3"}}
    # Machine, then frameworks, then the rest; what came and what went has no version on one side.
    assert changes(then, now) == [
        Change(what="threads", then="2", now="4"),
        Change(what="package keras", then="3.15.1", now="3.16.0"),
        Change(what="package attrs", then="1", now="none"),
        Change(what="package rich", then="14", now="15"),
        Change(what="package zict", then="none", now="3"),
    ]
    assert changes(then, then) == []


def test_the_codes_digest_is_that_of_its_files(tmp_path):
    (tmp_path / "a.py").write_text("one = 1\n")
    before = code_digest(tmp_path)
    (tmp_path / "notes.txt").write_text("no code")
    # What is no Python says nothing about the code.
    assert code_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("one = 2\n")
    # A changed line does.
    assert code_digest(tmp_path) != before

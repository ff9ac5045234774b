"""Two subjects side by side."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from making import epoch_row
from rich.console import Console

from cnn.commands.compare import _print, comparison_of
from cnn.commands.compared import Subject, find_subject
from cnn.errors import ConfigError
from cnn.evaluation.plots.compared import compared_picture
from cnn.evaluation.predictions import Predictions
from cnn.records import Head, Task
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.registry import MemoryRegistry
from cnn.tracking.tracker import Run

NAMES = ("cat", "dog", "owl")


def predictions(answers, labels):
    probs = np.full((len(labels), 3), 0.1, dtype=np.float32)
    probs[np.arange(len(labels)), answers] = 0.8
    return Predictions(labels=np.asarray(labels), probs=probs, head=Head(class_names=NAMES))


def subject(name, answers=None, labels=(0, 0, 0, 1, 1, 1), *, params=None, test_hash="t", **figures):
    return Subject(
        name=name,
        params={"train.seed": "0", "recipe.model.filters": "8"} | (params or {}),
        figures=figures,
        curve=(epoch_row(0), epoch_row(1, 0.75)),
        predictions=None if answers is None else predictions(answers, labels),
        test_hash=test_hash,
    )


def test_only_what_differs_is_listed():
    found = comparison_of(subject("a"), subject("b", params={"train.seed": "1", "train.patience": "3"}))
    # The value that both have is not shown; one that only one has, is.
    assert found.params == {"train.seed": ("0", "1"), "train.patience": ("", "3")}


def test_a_run_without_settings_is_compared_by_its_recipe():
    run = Subject(name="run", params={"recipe.model.filters": "16"}, figures={})
    found = comparison_of(subject("a"), run)
    # That a run keeps no seed does not make its seed another.
    assert found.params == {"recipe.model.filters": ("8", "16")}


def test_the_paired_test_counts_the_images_that_only_one_gets_right():
    a, b = subject("a", (0, 0, 0, 1, 1, 2)), subject("b", (0, 0, 1, 1, 2, 2))
    found = comparison_of(a, b)
    assert (found.test.wins, found.test.losses, found.test.n) == (2, 0, 6)
    # Two-sided: 2 of 2 coins show heads, or tails, in half of the cases.
    assert found.p_value == pytest.approx(0.5)
    # The other way round it says the same.
    turned = comparison_of(b, a)
    assert (turned.test.wins, turned.test.losses, turned.p_value) == (0, 2, found.p_value)


def test_equal_models_differ_by_nothing():
    found = comparison_of(subject("a", (0, 0, 0, 1, 1, 2)), subject("b", (0, 0, 0, 1, 1, 2)))
    assert (found.p_value, found.test.difference, found.disagreements) == (1.0, 0.0, [])


def test_disagreements_name_image_and_answers_the_decisive_ones_first():
    a, b = subject("a", (1, 0, 0, 1, 1, 1)), subject("b", (2, 0, 0, 1, 1, 0))
    found = comparison_of(a, b).disagreements
    # On image 5 one is right; on image 0 both are wrong, each in its way.
    assert [(one.image, one.actual, one.a, one.b) for one in found] == [
        (5, "dog", "dog", "cat"),
        (0, "cat", "dog", "owl"),
    ]
    named = replace(a, predictions=replace(a.predictions, names=tuple(f"pets/{n}.png" for n in range(6))))
    # A picture of the user's own is found by its file; an array has its place alone.
    assert [one.file for one in comparison_of(named, b).disagreements] == ["pets/5.png", "pets/0.png"]
    assert {one.file for one in found} == {""}
    screen = Console(file=io.StringIO(), width=100)
    _print(comparison_of(named, b), screen, 5)
    assert "pets/5.png" in screen.file.getvalue()


def test_several_labels_an_image_are_named_together():
    head = Head(class_names=NAMES, task=Task.MULTILABEL)
    labels = np.array([[1, 0, 1], [0, 0, 0]])

    def of(*rows):
        return Predictions(labels=labels, probs=np.float32(rows), head=head)

    a = Subject(name="a", params={}, figures={}, predictions=of((0.9, 0.1, 0.9), (0.1, 0.1, 0.1)), test_hash="t")
    b = Subject(name="b", params={}, figures={}, predictions=of((0.9, 0.1, 0.1), (0.1, 0.1, 0.1)), test_hash="t")
    (one,) = comparison_of(a, b).disagreements
    assert (one.image, one.actual, one.a, one.b) == (0, "cat + owl", "cat + owl", "cat")


@pytest.mark.parametrize(
    ("b", "why"),
    [
        (subject("b", (0, 0, 0, 1, 1, 1), test_hash="other"), "other images"),
        (subject("b"), "no test images were kept for b"),
    ],
)
def test_without_the_same_images_there_is_no_test_and_a_reason(b, why):
    found = comparison_of(subject("a", (0, 0, 0, 1, 1, 1)), b)
    assert (found.test, found.disagreements) == (None, [])
    assert why in found.untested


def test_the_screen_and_the_json_say_it(tmp_path):
    a = subject(
        "cats version 1", (0, 0, 0, 1, 1, 2), test_accuracy=0.8333, test_accuracy_low=0.5, test_accuracy_high=0.9
    )
    b = subject("cats version 2", (0, 0, 1, 1, 2, 2), params={"train.seed": "1"}, test_accuracy=0.5)
    found = comparison_of(a, b, tmp_path / "a-b.png")
    screen = Console(file=io.StringIO(), width=100)
    _print(found, screen, 1)
    shown = screen.file.getvalue()
    # Settings, figure with interval and difference, test, images, where the curves are.
    for part in (
        "train.seed",
        "0.8333 (0.5000-0.9000)",
        "-0.3333",
        "A is ahead, which luck may explain",
        "only A right on 2",
        "2 test images",
        "disagree, the first 1",
        "a-b.png",
    ):
        assert part in shown
    document = json.loads(json.dumps(found.document()))
    assert document["figures"]["test_accuracy"] == [0.8333, 0.5]
    # What only one has is null, which JSON knows, and no NaN, which it does not.
    assert document["figures"]["test_accuracy_low"] == [0.5, None]
    assert len(document["disagreements"]) == 2


def test_a_run_of_a_search_can_be_one_of_the_two(tmp_path):
    tracker = MemoryTracker()
    tracker.start(Run(key="night-1/0", name="trial 0", params={"model.filters": "8"}))
    for epoch, accuracy in enumerate((0.5, 0.75)):
        tracker.log_epoch("night-1/0", epoch_row(epoch, accuracy))
    tracker.log_figures("night-1/0", {"best_val_accuracy": 0.75})
    found = find_subject("night-1/0", "cats", MemoryRegistry(tmp_path), tracker)
    # Its recipe, its end figure and its curve; the figures of an epoch are no end figures.
    assert (found.params, found.figures) == ({"recipe.model.filters": "8"}, {"best_val_accuracy": 0.75})
    assert [row.val_accuracy for row in found.curve] == [0.5, 0.75]
    with pytest.raises(ConfigError, match=r"nothing of this name; expected a version"):
        find_subject("night-2/0", "cats", MemoryRegistry(tmp_path), tracker)


def test_the_picture_is_a_function_of_the_curves(tmp_path):
    curves = {"a": (epoch_row(0), epoch_row(1, 0.75)), "b": (epoch_row(0, math.nan),)}
    for name in ("1.png", "2.png"):
        compared_picture(curves, tmp_path / name)
    # Equal curves, equal bytes; a NaN in one breaks its line, not the picture.
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    compared_picture({"a": curves["b"], "b": curves["a"]}, tmp_path / "3.png")
    assert (tmp_path / "3.png").read_bytes() != (tmp_path / "1.png").read_bytes()

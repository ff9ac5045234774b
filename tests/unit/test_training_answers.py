"""What answers are right, how good they are, and from which probability on: by hand."""

import math
from dataclasses import asdict

import numpy as np
import pytest
from making import epoch_row as an_epoch
from sklearn.metrics import f1_score

from cnn.records import Head, Task, best_row, epoch_row, head_from
from cnn.training.answers import predictions, right, score
from cnn.training.cross_entropy import binary_cross_entropy, cross_entropy, hierarchical_cross_entropy
from cnn.training.thresholds import best_threshold, chosen_thresholds
from cnn.training.tree import nodes

LABELS = Head(class_names=("a", "b"), task=Task.MULTILABEL)
TREE = Head(
    class_names=("cat", "dog", "car"), task=Task.HIERARCHICAL, ancestors=(("animal",), ("animal",), ("vehicle", "road"))
)


def test_entirely_right_is_all_labels_and_no_other():
    labels, probs = np.array([[1, 0], [1, 1], [0, 0]]), np.array([[0.9, 0.1], [0.9, 0.4], [0.1, 0.6]])
    # One missed and one invented label make two images wrong.
    assert right(labels, probs, Task.MULTILABEL).tolist() == [True, False, False]
    # Other thresholds mend both.
    assert right(labels, probs, Task.MULTILABEL, (0.5, 0.3)).tolist() == [True, True, False]
    assert predictions(probs, Task.MULTILABEL, (0.5, 0.65)).tolist() == [[1, 0], [1, 0], [0, 0]]


def test_a_threshold_is_not_rounded_to_the_width_of_a_probability():
    lower, upper = np.float32(0.3), np.nextafter(np.float32(0.3), np.float32(1))
    between = (float(lower) + float(upper)) / 2
    # Two neighbours among float32 numbers are told apart by the number half-way between them.
    probs = np.array([[1 - lower, lower], [1 - upper, upper]], np.float32)
    assert predictions(probs, Task.BINARY, (between,)).tolist() == [0, 1]


def test_the_score_of_each_task():
    probs = np.array([[0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])
    # The plain accuracy; the positive image ranks below both negative ones; each label's average precision.
    assert score(np.array([0, 1, 1]), probs, Head(class_names=("a", "b"))) == pytest.approx(2 / 3)
    assert score(np.array([0, 1, 0]), probs, Head(class_names=("a", "b"), task=Task.BINARY)) == 0.0
    assert score(np.array([[1, 0], [0, 0], [0, 1]]), probs, LABELS) == pytest.approx((1 / 2 + 1) / 2)
    # A NaN is passed on: it ends a run, and must not end the program.
    for head in (LABELS, Head(class_names=("a", "b"), task=Task.BINARY), Head(class_names=("a", "b"))):
        assert math.isnan(score(np.array([0, 1, 0]), probs * math.nan, head))


def test_losses_by_hand():
    probs = np.array([[0.25, 0.25, 0.5]])
    # The way to a cat has two nodes: animal with 1/4 + 1/4, and the cat itself.
    assert hierarchical_cross_entropy(np.array([0]), probs, TREE) == pytest.approx(
        -(math.log(0.5) + math.log(0.25)) / 2
    )
    # That to a car three, each with all the probability of the branch.
    assert hierarchical_cross_entropy(np.array([2]), probs, TREE) == pytest.approx(-math.log(0.5))
    # Without a tree nothing is added.
    flat = Head(class_names=("cat", "dog", "car"), task=Task.HIERARCHICAL)
    assert hierarchical_cross_entropy(np.array([0]), probs, flat) == pytest.approx(cross_entropy(np.array([0]), probs))
    # The mean over labels, those that do not hold included.
    assert binary_cross_entropy(np.array([[1, 0, 0]]), probs) == pytest.approx(
        -(math.log(0.25) + math.log(0.75) + math.log(0.5)) / 3
    )


def test_nodes_of_one_name_in_two_branches_are_two():
    head = Head(class_names=("a", "b"), task=Task.HIERARCHICAL, ancestors=(("left", "other"), ("right", "other")))
    # What a node is called below does not make it another branch's.
    assert nodes(head)[2:4] == (("left", "other"), ("right", "other"))


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_has_a_higher_f1(seed):
    generator = np.random.default_rng(seed)
    held = generator.integers(0, 2, 80)
    given = np.round(np.clip(held * 0.3 + generator.random(80) * 0.7, 0, 1), 2)
    best = f1_score(held, given >= best_threshold(held, given))
    # Every other place between two probabilities, and beyond them, was tried.
    assert best == pytest.approx(max(f1_score(held, given >= cut, zero_division=0) for cut in np.linspace(0, 1, 401)))


def test_ties_between_thresholds_have_rules():
    held, given = np.array([0, 1, 1]), np.array([0.1, 0.3, 0.8])
    # Half-way between the two images it keeps apart.
    assert best_threshold(held, given) == pytest.approx(0.2)
    # Either of two cuts is as good (F1 2/3): the one nearer to 0.5 is taken.
    assert best_threshold(np.array([1, 0, 0, 1]), np.array([0.9, 0.7, 0.2, 0.1])) == pytest.approx(0.8)
    # Where all images bear the label, the threshold lies below the lowest.
    assert best_threshold(np.array([1, 1]), np.array([0.4, 0.6])) == pytest.approx(0.2)
    # Nothing is known of a label that no image bears.
    assert best_threshold(np.array([0, 0]), np.array([0.4, 0.6])) == 0.5


def test_each_task_has_as_many_thresholds_as_it_needs():
    labels, probs = np.array([[1, 0], [0, 0]]), np.array([[0.4, 0.4], [0.2, 0.9]])
    # One a label, one for two classes, none where the largest probability wins.
    assert chosen_thresholds(labels, probs, Task.MULTILABEL) == pytest.approx((0.3, 0.5))
    assert chosen_thresholds(labels[:, 0], probs, Task.BINARY) == pytest.approx((0.2,))
    assert chosen_thresholds(labels[:, 0], probs, Task.MULTICLASS) == ()


# ---- records


def test_curves_of_before_there_were_scores_are_read():
    row = an_epoch(3, 0.75)
    old = {name: value for name, value in asdict(row).items() if name != "val_score"}
    # The score was the accuracy then.
    assert epoch_row(old) == row
    # Where a score was kept, it is the one.
    assert epoch_row(asdict(row) | {"val_score": 0.25}).val_score == 0.25


def test_the_best_epoch_is_that_of_the_score():
    curve = (an_epoch(0, 0.9, val_score=0.5), an_epoch(1, 0.1, val_score=0.6), an_epoch(2, 0.9, val_score=0.6))
    # Not that of the accuracy; of two equal scores the one with the lower loss, here the earlier one.
    assert best_row(curve) is curve[1]
    assert best_row((*curve, an_epoch(3, val_score=0.6, val_loss=1.0))).epoch == 3


def test_a_head_reads_back_as_it_was_written():
    assert head_from(TREE.document()) == TREE
    # Before there were tasks it was one of k classes.
    assert head_from({"class_names": ["a", "b"]}) == Head(class_names=("a", "b"))

"""Figures of two classes, of several labels and of a tree, against worked examples and against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from cnn.evaluation.metrics import metrics_of
from cnn.evaluation.metrics.intervals import auc_interval, bootstrap_interval, drawn_average_precision
from cnn.evaluation.predictions import Predictions
from cnn.records import Head, Task

YES_NO = Head(class_names=("no", "yes"), task=Task.BINARY)
LABELS = Head(class_names=("cat", "dog", "owl"), task=Task.MULTILABEL)
TREE = Head(
    class_names=("cat", "dog", "car", "plane"),
    task=Task.HIERARCHICAL,
    ancestors=(("animal",), ("animal",), ("vehicle", "road"), ("vehicle",)),
)


def measured(head, labels, probs, thresholds=(), confidence=0.95):
    predictions = Predictions(
        labels=np.asarray(labels), probs=np.asarray(probs, np.float32), head=head, thresholds=thresholds
    )
    return metrics_of(predictions, confidence=confidence)


def noisy(n, seed=0):
    """Two classes that are told apart fairly well."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    positive = 1 / (1 + np.exp(-(labels * 2 - 1 + generator.normal(0, 1.5, n))))
    return labels, np.stack([1 - positive, positive], axis=1)


# ---- two classes


def test_two_classes_are_measured_at_their_threshold():
    probs = [[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]]
    found = measured(YES_NO, [0, 0, 1, 1], probs, (0.3,))
    # From 0.3 on it is yes: one mistake, the second image.
    assert (found.accuracy, found.confusion) == (0.75, ((1, 1), (0, 2)))
    # Of three predicted two are right, and both that are positive are found.
    assert (found.own["precision"], found.own["recall"]) == (pytest.approx(2 / 3), 1.0)
    # Three of the four pairs of a positive and a negative image are in order: no threshold enters.
    assert found.own["roc_auc"] == 0.75
    # Precision is 1 down to the first half of recall, and 2/3 at the second.
    assert found.own["pr_auc"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_two_classes_agree_with_scikit_learn():
    labels, probs = noisy(500)
    found = measured(YES_NO, labels, probs, (0.42,))
    predicted = probs[:, 1].astype(np.float32) >= 0.42
    expected = {
        "roc_auc": sk.roc_auc_score(labels, probs[:, 1]),
        "pr_auc": sk.average_precision_score(labels, probs[:, 1]),
        "f1": sk.f1_score(labels, predicted),
    }
    # Each figure is the one its name has in the field.
    assert {name: found.own[name] for name in expected} == pytest.approx(expected)
    assert found.loss == pytest.approx(sk.log_loss(labels, probs))
    # Intervals hold what they are about.
    for name in ("roc_auc", "pr_auc"):
        assert found.own[f"{name}_low"] < found.own[name] < found.own[f"{name}_high"]


@pytest.mark.parametrize("n", [60, 400])
def test_intervals_of_areas_hold_the_truth_as_often_as_they_say(n):
    truth = {"roc_auc": noisy(200_000, 99)}
    areas = {
        "roc_auc": sk.roc_auc_score(truth["roc_auc"][0], truth["roc_auc"][1][:, 1]),
        "pr_auc": sk.average_precision_score(truth["roc_auc"][0], truth["roc_auc"][1][:, 1]),
    }
    found = [measured(YES_NO, *noisy(n, seed), confidence=0.8).own for seed in range(60)]
    for name, area in areas.items():
        share = np.mean([own[f"{name}_low"] <= area <= own[f"{name}_high"] for own in found])
        # 80 % of 60 intervals, give or take four standard deviations of that share.
        assert abs(share - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 60), (name, share)


def test_a_perfect_ranking_of_few_images_is_not_certain():
    low, high = auc_interval(1.0, 20, 20, confidence=0.95)
    # The upper end can be nothing else, but the lower one says that forty images prove little.
    assert high == 1.0 and 0.85 < low < 0.95
    # More images prove more, and the other end is its mirror.
    assert auc_interval(1.0, 2000, 2000, confidence=0.95)[0] > 0.998
    assert auc_interval(0.0, 20, 20, confidence=0.95) == pytest.approx((0.0, 1 - low))


# ---- several labels


def test_labels_are_counted_one_by_one():
    labels = [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    probs = [[0.9, 0.6, 0.1], [0.8, 0.7, 0.2], [0.1, 0.3, 0.4]]
    found = measured(LABELS, labels, probs)
    # Only the second image is answered entirely right.
    assert found.accuracy == pytest.approx(1 / 3)
    # Three labels found, one invented (dog), one missed (dog): the last row invents, the last column misses.
    assert found.confusion == ((2, 0, 0, 0), (0, 1, 0, 1), (0, 0, 0, 0), (0, 1, 0, 0))
    assert found.own["micro_f1"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    # An owl is on no image: it has no average precision, and the mean is over the other two.
    assert [entry.average_precision for entry in found.per_class] == [
        1.0,
        pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3),
        None,
    ]
    assert found.own["mean_average_precision"] == pytest.approx((1.0 + 5 / 6) / 2)


def test_a_threshold_a_label_changes_that_label_alone():
    labels, probs = [[1, 1, 0]], [[0.4, 0.4, 0.4]]
    found = measured(LABELS, labels, probs, (0.3, 0.5, 0.4))
    # The first is found, the second missed, and from its threshold on the third is predicted.
    assert [(entry.recall, entry.precision, entry.threshold) for entry in found.per_class] == [
        (1.0, 1.0, 0.3),
        (0.0, 0.0, 0.5),
        (0.0, 0.0, 0.4),
    ]


def test_labels_agree_with_scikit_learn():
    generator = np.random.default_rng(3)
    labels = (generator.random((300, 3)) < [0.1, 0.5, 0.8]).astype(int)
    probs = np.clip(labels * 0.3 + generator.random((300, 3)) * 0.7, 0, 1).astype(np.float32)
    found, predicted = measured(LABELS, labels, probs), probs >= 0.5
    expected = {
        "mean_average_precision": sk.average_precision_score(labels, probs, average="macro"),
        "micro_f1": sk.f1_score(labels, predicted, average="micro"),
    }
    assert {name: found.own[name] for name in expected} == pytest.approx(expected)
    assert found.macro_f1 == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert found.accuracy == pytest.approx(sk.accuracy_score(labels, predicted))
    # Binary cross-entropy is the mean of each column's log loss.
    assert found.loss == pytest.approx(np.mean([sk.log_loss(*pair) for pair in zip(labels.T, probs.T, strict=True)]))
    assert found.own["mean_average_precision_low"] < found.own["mean_average_precision"]


def test_a_draw_of_every_image_once_is_the_test_set_itself():
    labels, probs = noisy(200)
    positive = np.round(probs[:, 1], 1)  # with many ties
    counts = np.stack([np.ones(200, np.int64), np.full(200, 3, np.int64)])
    expected = sk.average_precision_score(labels, positive)
    # However often all are drawn together, the figure is the same, ties included.
    assert drawn_average_precision(labels, positive, counts) == pytest.approx([expected, expected])
    weights = np.arange(200) % 4
    # Drawn unevenly, it is the weighted one.
    assert drawn_average_precision(labels, positive, weights[None]) == pytest.approx(
        [sk.average_precision_score(labels, positive, sample_weight=weights)]
    )


def test_the_bootstrap_of_a_mean_has_the_width_of_its_standard_error():
    values = np.random.default_rng(0).normal(0, 1, 400)
    low, high = bootstrap_interval(lambda counts: counts @ values / 400, 400, confidence=0.95)
    # 2 * 1.96 standard errors, to the precision of a thousand draws.
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    # The same images are drawn each time.
    assert (low, high) == bootstrap_interval(lambda counts: counts @ values / 400, 400, confidence=0.95)


# ---- a tree


def test_a_tree_is_measured_level_by_level():
    # Right; another animal; a vehicle by air for one on the road; an animal for a vehicle.
    labels, predicted = [0, 0, 2, 3], [0, 1, 3, 1]
    found = measured(TREE, labels, np.eye(4)[predicted])
    assert found.accuracy == 0.25
    # All but the last get the top right; one of four the second level, where cat, dog and plane are classes already.
    assert (found.own["accuracy_level_1"], found.own["accuracy_level_2"]) == (0.75, 0.25)
    # Of classes on the third level there is one, and it is not found.
    assert found.own["accuracy_level_3"] == 0.0
    # Shared nodes 2 + 1 + 1 + 0; on the predicted ways 2 + 2 + 2 + 2, on the actual ones 2 + 2 + 3 + 2.
    assert found.own["hierarchical_precision"] == pytest.approx(4 / 8)
    assert found.own["hierarchical_recall"] == pytest.approx(4 / 9)
    assert found.own["hierarchical_f1"] == pytest.approx(2 * 4 / 17)
    assert found.own["hierarchical_f1_low"] <= found.own["hierarchical_f1"] <= found.own["hierarchical_f1_high"]


@pytest.mark.parametrize(
    ("head", "labels", "probs"),
    [
        (YES_NO, [0, 2], [[0.5, 0.5]] * 2),
        (YES_NO, [0, 1], [[0.5, float("nan")]] * 2),
        (LABELS, [0, 1], [[0.5] * 3] * 2),
        (LABELS, [[0, 2, 0]], [[0.5] * 3]),
        (LABELS, np.empty((0, 3)), np.empty((0, 3))),
        (TREE, [0], [[0.5, 0.5]]),
    ],
    ids=["label too large", "NaN", "one label an image", "neither 0 nor 1", "no images", "fewer classes"],
)
def test_what_does_not_fit_the_task_is_refused(head, labels, probs):
    # An impossible input is never scored as if it were possible.
    with pytest.raises(ValueError, match="Invalid"):
        measured(head, labels, probs)

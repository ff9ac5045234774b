import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cnn.evaluation.comparison import mcnemar
from cnn.evaluation.metrics import multiclass_metrics, wilson_interval


@st.composite
def predictions(draw):
    n, n_classes = draw(st.integers(1, 40)), draw(st.integers(2, 6))
    labels = draw(arrays(np.int64, n, elements=st.integers(0, n_classes - 1)))
    raw = draw(arrays(np.float64, (n, n_classes), elements=st.floats(0.0, 1.0))) + 1e-9
    return labels, raw / raw.sum(axis=1, keepdims=True), [f"class {index}" for index in range(n_classes)]


@given(predictions())
def test_figures_agree_with_the_confusion_matrix(case):
    labels, probs, names = case
    metrics = multiclass_metrics(labels, probs, names, confidence=0.95)
    matrix = np.array(metrics.confusion)
    # Every image is counted once, on the row of its class.
    assert matrix.sum(axis=1).tolist() == np.bincount(labels, minlength=len(names)).tolist()
    # Accuracy is the diagonal's part of all.
    assert metrics.accuracy == pytest.approx(np.trace(matrix) / matrix.sum())
    # Recall is the diagonal's part of its row, precision that of its column, 0 where there is nothing to divide by.
    for index, entry in enumerate(metrics.per_class):
        assert entry.recall == pytest.approx(matrix[index, index] / max(matrix[index].sum(), 1))
        assert entry.precision == pytest.approx(matrix[index, index] / max(matrix[:, index].sum(), 1))
    # The interval holds the accuracy and stays within [0, 1].
    assert 0.0 <= metrics.accuracy_low <= metrics.accuracy <= metrics.accuracy_high <= 1.0


@given(predictions(), st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(case, random):
    labels, probs, names = case
    order = list(range(len(labels)))
    random.shuffle(order)
    one = multiclass_metrics(labels, probs, names, confidence=0.9)
    other = multiclass_metrics(labels[order], probs[order], names, confidence=0.9)
    # A test set is a set.
    assert one.confusion == other.confusion
    # Up to rounding of the sum, so is its loss.
    assert one.loss == pytest.approx(other.loss)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_more_confidence_is_a_wider_interval(case):
    n_right, n = case
    narrow, wide = (wilson_interval(n_right, n, confidence=confidence) for confidence in (0.8, 0.99))
    # To be surer one must claim less.
    assert wide[0] <= narrow[0] + 1e-12 and narrow[1] <= wide[1] + 1e-12


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_comparison_holds_together(pairs):
    challenger, champion = (np.array(side) for side in zip(*pairs, strict=True))
    result = mcnemar(challenger, champion)
    # The difference is that of the two accuracies.
    assert result.difference == pytest.approx(challenger.mean() - champion.mean())
    # A chance lies in (0, 1].
    assert 0.0 < result.p_value <= 1.0
    # An interval has its ends in order, within what a difference can be.
    assert -1.0 <= result.low < result.high <= 1.0
    # The models' worth decides on which side of even odds the p-value falls.
    assert (result.p_value <= 0.5) == (result.wins > result.losses)

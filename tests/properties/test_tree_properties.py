"""Whatever the tree: probabilities and predictions are consistent with it, and figures keep their bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn.config.tree import ancestors_of
from cnn.records import Head, Task
from cnn.training.answers import predictions, score
from cnn.training.cross_entropy import cross_entropy, hierarchical_cross_entropy
from cnn.training.tree import depths, membership, nodes, overlap, shared


@st.composite
def cases(draw):
    """A tree of two to eight classes of any depths, labels and probabilities."""
    names = [f"class {number}" for number in range(draw(st.integers(2, 8)))]

    def subtree(classes, depth):
        if depth == 0 or len(classes) == 1 or draw(st.booleans()):
            return classes if len(classes) > 1 or draw(st.booleans()) else classes[0]
        cut = draw(st.integers(1, len(classes) - 1))
        return {"left": subtree(classes[:cut], depth - 1), "right": subtree(classes[cut:], depth - 1)}

    tree = {"top": subtree(names[:1], 2), "bottom": subtree(names[1:], 3)}
    shuffled = draw(st.permutations(names))
    head = Head(class_names=tuple(shuffled), task=Task.HIERARCHICAL, ancestors=ancestors_of(tree, shuffled))
    n = draw(st.integers(1, 20))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probs = generator.dirichlet(np.full(len(names), 0.5), n).astype(np.float32)
    return head, generator.integers(0, len(names), n), probs


@given(cases())
def test_a_nodes_probability_is_that_of_its_children(case):
    head, _, probs = case
    ways, of_nodes = nodes(head), probs @ membership(head)
    for number, way in enumerate(ways):
        children = [other for other, below in enumerate(ways) if below[:-1] == way]
        # A class is its own probability; any other node is the sum of what lies under it.
        expected = of_nodes[:, children].sum(axis=1) if children else probs[:, head.paths.index(way)]
        np.testing.assert_allclose(of_nodes[:, number], expected, atol=1e-5)
    # The top level shares out everything.
    tops = [number for number, way in enumerate(ways) if len(way) == 1]
    np.testing.assert_allclose(of_nodes[:, tops].sum(axis=1), 1, atol=1e-5)


@given(cases())
def test_what_is_predicted_lies_in_the_tree(case):
    head, labels, probs = case
    predicted, common, length = predictions(probs, head.task), shared(head), depths(head)
    # The nodes above a predicted class are those of the tree, whatever the sums of other branches: a way to a class is
    # all shared with itself, and two ways part once.
    assert (common[predicted, predicted] == length[predicted]).all()
    assert (common <= np.minimum.outer(length, length)).all() and (common == common.T).all()
    precision, recall, f1 = overlap(labels, predicted, head)
    # Figures stay in their bounds, F1 between the other two, and a right answer is right at all levels.
    assert 0 <= min(precision, recall) <= f1 + 1e-12 and f1 <= max(precision, recall) + 1e-12 <= 1 + 1e-12
    assert f1 >= (predicted == labels).mean() * length[labels].min() / length.max() - 1e-12
    assert overlap(labels, labels, head) == (1.0, 1.0, 1.0) and score(labels, probs, head) == f1


@given(cases())
def test_a_worse_mistake_never_costs_less_than_the_class_alone_says(case):
    head, labels, probs = case
    # A node is at least as probable as the class under it, so that its part of the loss is no larger.
    assert hierarchical_cross_entropy(labels, probs, head) <= cross_entropy(labels, probs) + 1e-6


@given(cases(), st.floats(0.05, 0.4))
def test_probability_in_the_right_branch_is_worth_more(case, moved):
    head, _, _ = case
    common = shared(head)
    for label in range(head.n_classes):
        near, far = (
            int(np.argmax(common[label] - 99 * (np.arange(head.n_classes) == label))),
            int(common[label].argmin()),
        )
        if near == label or common[label, near] == common[label, far]:
            continue
        losses = []
        for other in (near, far):
            probs = np.full((1, head.n_classes), 0.5 / head.n_classes)
            probs[0, other] += moved
            probs[0, label] += 0.5 - moved
            losses.append(hierarchical_cross_entropy(np.array([label]), probs, head))
        # The same mistake, nearer in the tree, costs less.
        assert losses[0] < losses[1] - 1e-9


@pytest.mark.parametrize("scale", [1.0, 1e-9])
def test_sums_over_many_leaves_keep_small_probabilities(scale):
    head = Head(class_names=("a", "b"), task=Task.HIERARCHICAL, ancestors=(("x",), ("x",)))
    probs = np.array([[0.25, 0.75]], np.float32) * np.float32(scale)
    # A float32 sum of float32 numbers of one size loses nothing that counts.
    np.testing.assert_allclose((probs @ membership(head))[0, 0], scale, rtol=1e-6)

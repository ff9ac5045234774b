"""What training makes small, and what it reports meanwhile: each kind of classification in Keras's terms.

Labels are (b,) integers or (b, k) floats. The latter are those of several labels an image, or two images' mixed into
one, whose rows then sum to 1. All functions give one number an image, with several labels one for each of them, so that
both can be weighted.
"""

from collections.abc import Callable

import keras
from keras import ops

from cnn.records import Head, Task
from cnn.training.cross_entropy import level_weights
from cnn.training.tree import membership

Loss = Callable[[keras.KerasTensor, keras.KerasTensor], keras.KerasTensor]

_SMALLEST = 1e-30  # far below what is scored: a lost image must keep its gradient


def make_loss(head: Head, label_smoothing: float = 0.0) -> Loss:
    """The loss of a head's task, labels and probabilities (b, k) in, nats out: (b,), with `MULTILABEL` (b, k).

    Args:
        label_smoothing: s in [0, 1). A class is trained against (1 - s) onehot + s / k, a label against
            (1 - s) y + s / 2.

    References:
        Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7.
    """
    return _LOSSES[head.task](head, label_smoothing)


def _of_one(head: Head, label_smoothing: float) -> Loss:
    def loss(labels: keras.KerasTensor, probs: keras.KerasTensor) -> keras.KerasTensor:
        if not label_smoothing and not _are_soft(labels, head):
            return keras.losses.sparse_categorical_crossentropy(labels, probs)
        return keras.losses.categorical_crossentropy(_targets(labels, head), probs, label_smoothing=label_smoothing)

    return loss


def _of_any(head: Head, label_smoothing: float) -> Loss:
    def loss(labels: keras.KerasTensor, probs: keras.KerasTensor) -> keras.KerasTensor:
        # (b, k), so that each label of an image can be weighted; the mean over both is the same
        return keras.losses.binary_crossentropy(labels[..., None], probs[..., None], label_smoothing=label_smoothing)

    return loss


def _of_tree(head: Head, label_smoothing: float) -> Loss:
    """As `cross_entropy.hierarchical_cross_entropy`; being linear in the target, it takes any mixture of classes."""
    under, weights = membership(head), level_weights(head)

    def loss(labels: keras.KerasTensor, probs: keras.KerasTensor) -> keras.KerasTensor:
        smoothed = _targets(labels, head) * (1 - label_smoothing) + label_smoothing / head.n_classes
        of_nodes = ops.clip(ops.matmul(probs, under), _SMALLEST, 1.0)
        return -ops.sum(ops.matmul(smoothed, weights) * ops.log(of_nodes), axis=-1)

    return loss


_LOSSES: dict[Task, Callable[[Head, float], Loss]] = {
    Task.MULTICLASS: _of_one,
    Task.BINARY: _of_one,
    Task.MULTILABEL: _of_any,
    Task.HIERARCHICAL: _of_tree,
}


def running_metrics(head: Head) -> list[keras.Metric]:
    """`accuracy`, the part of images answered entirely right, and `cross_entropy`, the loss without smoothing."""

    def right(labels: keras.KerasTensor, probs: keras.KerasTensor) -> keras.KerasTensor:
        if head.task is Task.MULTILABEL:
            return ops.all(ops.equal(ops.greater_equal(probs, 0.5), ops.greater_equal(labels, 0.5)), axis=-1)
        return ops.equal(ops.argmax(_targets(labels, head), axis=-1), ops.argmax(probs, axis=-1))

    mean = keras.metrics.MeanMetricWrapper
    return [mean(right, name="accuracy"), mean(make_loss(head), name="cross_entropy")]


def _are_soft(labels: keras.KerasTensor, head: Head) -> bool:
    """Whether there is a number a class; Keras hands over integers as (b, 1)."""
    return len(labels.shape) == 2 and labels.shape[-1] == head.n_classes


def _targets(labels: keras.KerasTensor, head: Head) -> keras.KerasTensor:
    """(b, k) floats whose rows sum to 1."""
    if _are_soft(labels, head):
        return ops.cast(labels, "float32")
    return ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), head.n_classes)

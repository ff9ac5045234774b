"""The ends of networks: from feature maps to one feature vector an image, and to the answer."""

from collections.abc import Callable
from typing import Literal

import keras

from cnn.models.blocks import Layers
from cnn.records import Head, Task

CLASSIFIERS = ("probs", "positive")
"""The layers whose weights belong to the classes, of any head."""


def feature_vector(
    maps: keras.KerasTensor, layers: Layers, *, by: Literal["flatten", "global_average"]
) -> keras.KerasTensor:
    """Feature maps (n, h, w, c) as vectors: all h * w * c numbers, or the mean of each channel."""
    if by == "flatten":
        return keras.layers.Flatten(name="flatten", dtype=layers.dtype)(maps)
    return keras.layers.GlobalAveragePooling2D(name="global_average", dtype=layers.dtype)(maps)


def class_probabilities(features: keras.KerasTensor, head: Head, layers: Layers) -> keras.KerasTensor:
    """Probabilities (n, k), by the name `probs` and in float32 whatever the network computes in.

    A bfloat16 softmax loses small classes. With a tree the classes are its leaves; what a node above them gets is the
    sum of its leaves, so that no answer contradicts the tree.
    """
    return _HEADS[head.task](features, head, layers)


def _one_of_many(features: keras.KerasTensor, head: Head, layers: Layers) -> keras.KerasTensor:
    return layers.dense(features, "probs", head.n_classes, activation="softmax", dtype="float32")


def _one_of_two(features: keras.KerasTensor, head: Head, layers: Layers) -> keras.KerasTensor:
    """One unit z, answered as the softmax of (0, z): (1 - p, p) with p = sigmoid(z), but 1 - p without its rounding."""
    positive = layers.dense(features, "positive", 1, activation="linear", dtype="float32")
    negative = keras.layers.Rescaling(0.0, name="negative", dtype="float32")(positive)
    logits = keras.layers.Concatenate(name="logits", dtype="float32")([negative, positive])
    return keras.layers.Activation("softmax", name="probs", dtype="float32")(logits)


def _any_of_many(features: keras.KerasTensor, head: Head, layers: Layers) -> keras.KerasTensor:
    return layers.dense(features, "probs", head.n_classes, activation="sigmoid", dtype="float32")


_HEADS: dict[Task, Callable[[keras.KerasTensor, Head, Layers], keras.KerasTensor]] = {
    Task.MULTICLASS: _one_of_many,
    Task.BINARY: _one_of_two,
    Task.MULTILABEL: _any_of_many,
    Task.HIERARCHICAL: _one_of_many,
}

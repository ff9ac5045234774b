"""The ends of networks: from feature maps to one feature vector an image, and to the answer."""

from typing import Literal

import keras

from cnn.models.blocks import Layers
from cnn.records import Head


def feature_vector(
    maps: keras.KerasTensor, layers: Layers, *, by: Literal["flatten", "global_average"]
) -> keras.KerasTensor:
    """Feature maps (n, h, w, c) as vectors: all h * w * c numbers, or the mean of each channel."""
    if by == "flatten":
        return keras.layers.Flatten(name="flatten", dtype=layers.dtype)(maps)
    return keras.layers.GlobalAveragePooling2D(name="global_average", dtype=layers.dtype)(maps)


def class_probabilities(features: keras.KerasTensor, head: Head, layers: Layers) -> keras.KerasTensor:
    """Softmax over the classes, in float32 whatever the network computes in: a bfloat16 softmax loses small classes."""
    return layers.dense(features, "probs", head.n_classes, activation="softmax", dtype="float32")

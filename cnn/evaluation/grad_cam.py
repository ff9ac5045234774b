"""Where a network looks: Grad-CAM heat maps."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf  # noqa: TID251 - Keras has no gradient of its own

_NO_MAPS = (
    keras.layers.InputLayer,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding2D,
)
"""Layers that say nothing of their own about an image, and may say it coarser."""


def grad_cam(model: keras.Model, images: Any, classes: Any) -> npt.NDArray[np.float32]:
    """Where an image speaks for a class.

    With A_k the maps of the last layer that has any, and y the class's score before softmax or sigmoid:

        heat = relu(sum over k of alpha_k * A_k),  alpha_k = mean over places of dy / dA_k

    Args:
        model: A functional Keras model, images in, probabilities (n, k) out.
        images: (n, h, w, c), as the model takes them.
        classes: (n,) integers in [0, k): the class that is asked about, one an image.

    Returns:
        (n, h, w) in [0, 1]: brought to the images' size, the largest of each image 1; all 0 where nothing speaks for
        the class.

    Raises:
        ValueError: The model has no layer of maps larger than 1 x 1.

    References:
        Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based localization",
        ICCV 2017, equations 1 and 2.
    """
    maps_of, scores_of = _cut(model)
    images = np.asarray(images)
    maps = tf.cast(maps_of(images, training=False), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        scores = tf.gather(scores_of(maps), np.asarray(classes, np.int32), batch_dims=1)
    gradient = tape.gradient(scores, maps)
    alpha = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(alpha * maps, axis=-1, keepdims=True))
    heat = keras.ops.image.resize(heat, images.shape[1:3], interpolation="bilinear", data_format="channels_last")
    return _normalised(np.asarray(heat[..., 0], np.float32))


def _cut(model: keras.Model) -> tuple[keras.Model, Any]:
    """The model up to its last maps, and from there to the scores before softmax or sigmoid."""
    for layer in reversed(model.layers):
        shape = layer.output.shape if isinstance(layer.output, keras.KerasTensor) else ()
        if len(shape) != 4 or max(shape[1:3]) == 1 or isinstance(layer, _NO_MAPS):
            continue
        try:
            return keras.Model(model.inputs[0], layer.output), _scores(model, layer.output)
        except ValueError:  # a branch: not all that is answered passes through it
            continue
    raise ValueError(f"Model {model.name} has no layer whose maps lead to its answer.")


def _scores(model: keras.Model, maps: keras.KerasTensor) -> Any:
    """From maps to scores: the answer before softmax or sigmoid, whose gradient vanishes where the network is sure."""
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.layers.Activation):  # one number z that answers for two classes, as logits 0 and z
        logits = keras.Model(maps, last.input)
        return lambda values: logits(values, training=False) - logits(values, training=False)[:, ::-1]
    if not isinstance(last, keras.layers.Dense):
        probs = keras.Model(maps, model.outputs[0])
        return lambda values: tf.math.log(tf.cast(probs(values, training=False), tf.float32) + 1e-7)
    features = keras.Model(maps, last.input)

    def scores(values: Any) -> Any:
        given = tf.cast(features(values, training=False), tf.float32)
        product = tf.matmul(given, tf.cast(last.kernel.value, tf.float32))
        return product if last.bias is None else product + tf.cast(last.bias.value, tf.float32)

    return scores


def _normalised(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    largest = heat.max(axis=(1, 2), keepdims=True)
    scaled: npt.NDArray[np.float32] = np.divide(heat, largest, out=np.zeros_like(heat), where=largest > 0)
    return scaled

"""Classes of unequal size, evened out in training: by the weight of an image, or by how often it is shown."""

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from cnn.data.arrays import Labels

_LARGEST_WEIGHT = 100.0


def class_weights(labels: Labels, n_classes: int) -> npt.NDArray[np.float32]:
    """Of class c with n_c of n images n / (k n_c), k being the number of classes that have images, or 0 without images.
    The mean weight of an image is 1. It is what scikit-learn calls `balanced`.

    Args:
        labels: (n,) class numbers.

    Returns:
        (n_classes,).

    Example:
        >>> class_weights(np.array([0, 0, 0, 0, 1]), 2).tolist()
        [0.625, 2.5]
    """
    counts = np.bincount(labels, minlength=n_classes)
    weights = len(labels) / ((counts > 0).sum() * np.maximum(counts, 1))
    return np.where(counts > 0, weights, 0.0).astype(np.float32)


def positive_weights(labels: Labels) -> npt.NDArray[np.float32]:
    """How much more a label that holds counts than one that doesn't: images without it over images with it, at most
    100, at least 1/100.

    Args:
        labels: (n, k), 1 where a label holds, else 0.

    Returns:
        (k,).

    Example:
        >>> positive_weights(np.array([[1, 0], [0, 0], [0, 0], [0, 1]])).tolist()
        [3.0, 3.0]
    """
    with_it = np.asarray(labels).sum(axis=0)
    ratio = (len(labels) - with_it) / np.maximum(with_it, 1)
    weights: npt.NDArray[np.float32] = np.clip(ratio, 1 / _LARGEST_WEIGHT, _LARGEST_WEIGHT).astype(np.float32)
    return weights


class BalancedSampling:
    """Which n images an epoch shows when all classes are shown equally often, with a difference of one at the most.

    Of a large class another part is drawn each epoch; the images of a small one are shown again and again, each as
    often, with a difference of one.

    Args:
        labels: (n,) class numbers.
    """

    def __init__(self, labels: Labels) -> None:
        _, self._classes, self._counts = np.unique(labels, return_inverse=True, return_counts=True)
        self._starts = np.cumsum(self._counts) - self._counts

    def images(self, draws: keras.KerasTensor, epoch: keras.KerasTensor) -> keras.KerasTensor:
        """(n,) int32 numbers of images, by class; the epoch moves on who has one more than the others.

        Args:
            draws: (n,), uniform in [0, 1).
            epoch: 0 or more.
        """
        n_images, n_classes = len(self._classes), len(self._counts)
        shuffled = ops.argsort(draws)
        by_class = ops.take(shuffled, ops.argsort(ops.take(ops.convert_to_tensor(self._classes, "int32"), shuffled)))
        slots = ops.arange(n_images, dtype="int32")
        classes, ranks = (slots + epoch) % n_classes, slots // n_classes
        starts, counts = (ops.take(ops.convert_to_tensor(a, "int32"), classes) for a in (self._starts, self._counts))
        return ops.take(by_class, starts + ranks % counts)

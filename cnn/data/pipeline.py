"""Batches of images for training.

Nothing here is drawn from a global generator: the order of an epoch and what happens to each image are functions of
(seed, epoch, index of the image), whatever the batch size, the threads, or where a run was taken up again.
"""

import numpy as np
import numpy.typing as npt
import tensorflow as tf  # noqa: TID251 - the one room of tf.data

from cnn.config.recipe import AugmentRecipe
from cnn.data.augment import N_DRAWS, augmented
from cnn.runtime import derived_seed

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]


class TrainingPipeline:
    """Shuffled, augmented batches, a finite dataset an epoch.

    Args:
        images: (n, h, w, c) uint8; not copied and not to be changed afterwards; may be memory-mapped.
        labels: (n,) class numbers.
        batch_size: 1 or more; the last batch of an epoch may be smaller.
        seed: 0 to 2**31 - 1.

    Example:
        >>> images, labels = np.zeros((5, 8, 8, 1), np.uint8), np.arange(5)
        >>> pipeline = TrainingPipeline(images, labels, batch_size=2, augment=AugmentRecipe(), seed=0)
        >>> pipeline.steps, sorted(int(label) for _, batch in pipeline.epoch(0) for label in batch)
        (3, [0, 1, 2, 3, 4])
    """

    def __init__(self, images: Images, labels: Labels, *, batch_size: int, augment: AugmentRecipe, seed: int) -> None:
        self.steps = -(-len(images) // batch_size)
        self._images, self._labels = _tensors(images, labels)
        self._batch_size = batch_size
        self._augment = augment
        self._shuffle_seed = derived_seed(seed, "shuffle")
        self._augment_seed = derived_seed(seed, "augment")
        # The epoch is an argument of a traced function, so that it is fixed in the dataset this returns (an iterator
        # that reads ahead can't see another epoch) and no epoch but the first costs a tracing.
        self._traced = tf.function(self._dataset)

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """All images once: pairs of images (b, h, w, c) uint8 and labels (b,) int32, `steps` batches.

        Args:
            epoch: 0 or more.
        """
        return self._traced(tf.constant(epoch, tf.int32))

    def _dataset(self, epoch: tf.Tensor) -> tf.data.Dataset:
        n_images = self._images.shape[0]
        order = tf.argsort(_random((n_images,), self._shuffle_seed, epoch), stable=True)
        draws = _random((n_images, N_DRAWS), self._augment_seed, epoch)

        def batch(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = tf.gather(self._images, indices), tf.gather(self._labels, indices)
            return augmented(images, tf.gather(draws, indices), self._augment), labels

        return (
            tf.data.Dataset.from_tensor_slices(order)
            .batch(self._batch_size)
            .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(tf.data.AUTOTUNE)
        )


def _tensors(images: Images, labels: Labels) -> tuple[tf.Tensor, tf.Tensor]:
    """In the machine's memory, where tf.data works, not on an accelerator.

    `tf.constant` would copy 150 MB of CIFAR-10 twice in each worker; an operation given an aligned array looks into its
    memory instead, and a memory-mapped one is shared by all workers of a machine.
    """
    with tf.device("CPU:0"):
        return tf.raw_ops.Identity(input=images), tf.raw_ops.Identity(input=labels.astype(np.int32))


def _random(shape: tuple[int, ...], seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Uniform in [0, 1). Row i belongs to image i."""
    return tf.random.stateless_uniform(shape, seed=tf.stack([seed, epoch]), alg="philox")

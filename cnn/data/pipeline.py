"""Batches of images for training.

Nothing here is drawn from a global generator: the order of an epoch and what happens to each image are functions of
(seed, epoch, index of the image), whatever the batch size, the threads, or where a run was taken up again.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import tensorflow as tf  # noqa: TID251 - the one room of tf.data

from cnn.config.recipe import AugmentRecipe
from cnn.data.augmentation import augmented, drawn
from cnn.data.augmentation.mixing import mixed_images, mixed_labels
from cnn.data.class_balance import BalancedSampling, class_weights, positive_weights
from cnn.errors import ConfigError
from cnn.runtime import derived_seed

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.integer]


class TrainingPipeline:
    """Shuffled, augmented batches, a finite dataset an epoch.

    Args:
        images: (n, h, w, c) uint8; not copied and not to be changed afterwards; may be memory-mapped.
        labels: (n,) class numbers, or (n, k) with 1 where a label holds, else 0.
        batch_size: 1 or more; the last batch of an epoch may be smaller.
        seed: 0 to 2**31 - 1.
        n_classes: k; None: the largest class number and one.
        class_balance: `training.class_balance` of a recipe.

    Raises:
        ConfigError: Balanced sampling, of images that have several labels.

    Example:
        >>> images, labels = np.zeros((5, 8, 8, 1), np.uint8), np.arange(5)
        >>> pipeline = TrainingPipeline(images, labels, batch_size=2, augment=AugmentRecipe(), seed=0)
        >>> pipeline.steps, sorted(int(label) for _, batch in pipeline.epoch(0) for label in batch)
        (3, [0, 1, 2, 3, 4])
    """

    def __init__(
        self,
        images: Images,
        labels: Labels,
        *,
        batch_size: int,
        augment: AugmentRecipe,
        seed: int,
        n_classes: int | None = None,
        class_balance: Literal["none", "weights", "sampling"] = "none",
    ) -> None:
        self.steps = -(-len(images) // batch_size)
        self._images, self._labels = _tensors(images, labels)
        self._batch_size = batch_size
        self._augment = augment
        self._seed = seed
        self._n_classes = n_classes or int(labels.max(initial=0)) + 1
        self._weights = _weights(labels, self._n_classes) if class_balance == "weights" else None
        self._sampling = _sampling(labels) if class_balance == "sampling" else None
        # The epoch is an argument of a traced function, so that it is fixed in the dataset this returns (an iterator
        # that reads ahead can't see another epoch) and no epoch but the first costs a tracing.
        self._traced = tf.function(self._dataset)

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """All images once, in `steps` batches; with balanced sampling as many, the same ones more than once.

        Args:
            epoch: 0 or more.

        Returns:
            Pairs of images (b, h, w, c) uint8 and labels: (b,) int32 class numbers, or (b, k) float32 shares of classes
            where images are mixed or have several labels. With class weights, triples: a weight for each image (b,), or
            for each of its labels (b, k), float32.
        """
        return self._traced(tf.constant(epoch, tf.int32))

    def _dataset(self, epoch: tf.Tensor) -> tf.data.Dataset:
        """A slot is a place for an image among the n of an epoch; its number is that of the image, unless sampled."""
        n_images, *sides, _ = self._images.shape
        with tf.device("CPU:0"):  # where tf.data works; an accelerator would round its sines otherwise
            order = tf.argsort(self._random("shuffle", (n_images,), epoch), stable=True)
            numbers = drawn(lambda name, k: self._random(name, (n_images, k), epoch), tuple(sides), self._augment)
            shown = self._sampling and self._sampling.images(self._random("sampling", (n_images,), epoch), epoch)

        def batch(slots: tf.Tensor, followers: tf.Tensor) -> tuple[tf.Tensor, ...]:
            return self._batch(slots, followers, numbers, shown)

        return (
            tf.data.Dataset.from_tensor_slices((order, tf.roll(order, -1, axis=0)))
            .batch(self._batch_size)
            .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .prefetch(tf.data.AUTOTUNE)
        )

    def _batch(
        self, slots: tf.Tensor, followers: tf.Tensor, numbers: Mapping[str, tf.Tensor], shown: tf.Tensor | None
    ) -> tuple[tf.Tensor, ...]:
        """The partner of an image is the one that follows it in the epoch's order, over the end of the batch: so each
        image is augmented once (the partner of the last one twice), and the batch size leaves no trace.
        """
        if self._augment.mixes:
            slots = tf.concat([slots, followers[-1:]], axis=0)
        indices = slots if shown is None else tf.gather(shown, slots)
        rows = {name: tf.gather(tensor, slots) for name, tensor in numbers.items()}
        images, labels = tf.gather(self._images, indices), tf.gather(self._labels, indices)
        images = augmented(images, rows, self._augment)
        if self._augment.mixes:
            mixtures = {name: tensor[:-1] for name, tensor in rows.items()}
            targets = tf.one_hot(labels, self._n_classes) if labels.shape.rank == 1 else labels
            images = mixed_images(images[:-1], images[1:], mixtures)
            labels = mixed_labels(targets[:-1], targets[1:], mixtures)
        return (images, labels) if self._weights is None else (images, labels, self._weighed(labels, self._weights))

    def _weighed(self, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """A mixture weighs what its parts weigh, in their shares."""
        if self._labels.shape.rank == 2:
            return 1 + labels * (weights - 1)
        return tf.gather(weights, labels) if labels.shape.rank == 1 else tf.reduce_sum(labels * weights, axis=1)

    def _random(self, name: str, shape: tuple[int, ...], epoch: tf.Tensor) -> tf.Tensor:
        """Uniform in [0, 1). Row i belongs to slot i."""
        seed = derived_seed(self._seed, name)
        return tf.random.stateless_uniform(shape, seed=tf.stack([seed, epoch]), alg="philox")


def _tensors(images: Images, labels: Labels) -> tuple[tf.Tensor, tf.Tensor]:
    """In the machine's memory, where tf.data works, not on an accelerator.

    `tf.constant` would copy 150 MB of CIFAR-10 twice in each worker; an operation given an aligned array looks into its
    memory instead, and a memory-mapped one is shared by all workers of a machine.
    """
    labels = labels.astype(np.int32 if labels.ndim == 1 else np.float32)
    with tf.device("CPU:0"):
        return tf.raw_ops.Identity(input=images), tf.raw_ops.Identity(input=labels)


def _weights(labels: Labels, n_classes: int) -> tf.Tensor:
    with tf.device("CPU:0"):
        return tf.constant(class_weights(labels, n_classes) if labels.ndim == 1 else positive_weights(labels))


def _sampling(labels: Labels) -> BalancedSampling:
    if labels.ndim > 1:
        expected, change = "none or weights, where an image has several labels", "edit the recipe"
        raise ConfigError("training.class_balance", received="sampling", expected=expected, change=change)
    return BalancedSampling(labels)

"""Loss and accuracy in inference mode, as they stand in a learning curve."""

from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from cnn.data.arrays import Images, Labels, Split
from cnn.training.cross_entropy import cross_entropy

Probs = npt.NDArray[np.float32]

_BATCH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean cross-entropy in nats, and the fraction of right answers in [0, 1]."""

    loss: float
    accuracy: float


def score(model: keras.Model, split: Split) -> Score:
    """How a model answers images as they are: no dropout, no augmentation, no label smoothing."""
    probs = probabilities(model, split.images)
    return Score(loss=cross_entropy(split.labels, probs), accuracy=accuracy(split.labels, probs))


def probabilities(model: keras.Model, images: Images) -> Probs:
    """The model's answers (n, k) to images (n, h, w, c), n at least 1.

    All batches have one size, for a new one would cost a new tracing; the last is filled up. `predict_on_batch` is a
    fifth of the cost of `evaluate` on first use, which counts when a trial takes two seconds.
    """
    n_batches = -(-len(images) // _BATCH)
    size = -(-len(images) // n_batches)
    batches = (images[start : start + size] for start in range(0, len(images), size))
    answers = [model.predict_on_batch(_filled(batch, size))[: len(batch)] for batch in batches]
    return np.concatenate(answers)


def accuracy(labels: Labels, probs: Probs) -> float:
    """The fraction of labels that have the largest probability of their row."""
    return float((probs.argmax(axis=1) == labels).mean())


def _filled(batch: Images, size: int) -> Images:
    missing = size - len(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)]) if missing else batch

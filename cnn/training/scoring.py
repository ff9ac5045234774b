"""Loss, accuracy and score in inference mode, as they stand in a learning curve."""

from dataclasses import dataclass

import keras
import numpy as np
import numpy.typing as npt

from cnn.data.arrays import Images, Split
from cnn.records import Head
from cnn.training import answers
from cnn.training.cross_entropy import loss

Probs = npt.NDArray[np.float32]

_BATCH = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The task's loss in nats, the fraction of images answered entirely right, and the task's own score.

    Where there are thresholds they are 0.5 here: better ones are chosen once, after training.
    """

    loss: float
    accuracy: float
    score: float


def score(model: keras.Model, split: Split, head: Head) -> Score:
    """How a model answers images as they are: no dropout, no augmentation, no label smoothing."""
    probs = probabilities(model, split.images)
    return Score(
        loss=loss(split.labels, probs, head),
        accuracy=float(answers.right(split.labels, probs, head.task).mean()),
        score=answers.score(split.labels, probs, head),
    )


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


def _filled(batch: Images, size: int) -> Images:
    missing = size - len(batch)
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)]) if missing else batch

"""Curves whose truth is known: accuracies of images that are easy or hard by nature, and losses with noise."""

import math

import numpy as np
from making import epoch_row

from cnn.diagnosis.diagnose import diagnose
from cnn.diagnosis.reading import Sizes


def simulated(
    rng,
    *,
    n_clean=1000,
    n_val=1000,
    clean=lambda part: 0.9 - 0.8 * math.exp(-8 * part),
    gap=lambda part: 0.0,
    loss=lambda part: 0.4 + 1.9 * math.exp(-8 * part),
    val_loss=None,
    noise=0.003,
    n_epochs=30,
):
    """A curve of `n_epochs` from the true accuracies and losses.

    An image is right when it is easier than the network is good, so that a sample that is hard by chance stays hard for
    all epochs. Sampling moves the mean loss by as much as itself over the root of the images.

    Args:
        clean, gap, loss, val_loss: Of the part of the run that is done, in [0, 1]; `val_loss` is `loss` when None.
        noise: Standard deviation from epoch to epoch, of accuracies and, relatively, of losses; where accuracy jumps
            by a tenth, losses jump by 0.3 nats the other way.
    """
    held = val_loss or loss
    ease, val_ease = rng.random(n_clean), rng.random(n_val)
    luck, val_luck = 1 + rng.normal(0, 1 / math.sqrt(n_clean)), 1 + rng.normal(0, 1 / math.sqrt(n_val))
    rows = []
    for epoch in range(n_epochs):
        part, jump = epoch / (n_epochs - 1), rng.normal(0, noise)
        good = clean(part) + jump
        accuracy = float((val_ease < good - gap(part)).mean())
        figures = {
            "clean_train_accuracy": float((ease < good).mean()),
            "clean_train_loss": max(1e-4, loss(part) * (luck + rng.normal(0, noise)) - 3 * jump),
            "val_loss": max(1e-4, held(part) * (val_luck + rng.normal(0, noise)) - 3 * jump),
        }
        rows.append(epoch_row(epoch, accuracy, **figures))
    return tuple(rows)


def verdict_of(curve, *, n_clean=1000, n_val=1000, n_classes=10, **others):
    """The verdict's word."""
    return diagnose(curve, Sizes(n_clean=n_clean, n_val=n_val, n_classes=n_classes), **others).verdict.value


def verdicts(n, *, seed=0, n_clean=1000, n_val=1000, **truth):
    """The verdicts on `n` curves of one truth."""
    rngs = (np.random.default_rng([seed, number]) for number in range(n))
    sizes = {"n_clean": n_clean, "n_val": n_val}
    return [verdict_of(simulated(rng, **sizes, **truth), **sizes) for rng in rngs]


def rate(words, *sought):
    """The part of the verdicts that are one of those."""
    return sum(word in sought for word in words) / len(words)

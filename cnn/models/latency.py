"""How long a network takes for one image, on this machine."""

import statistics
import time

import keras
import numpy as np
import numpy.typing as npt

from cnn.config.recipe import Recipe
from cnn.models.build import build_model
from cnn.records import Head

N_WARM = 5
"""The first of them traces the network; the others fill caches."""

TIMED_S = 0.5
"""A median over less is that of one moment in which the machine was busy or was not."""

FEWEST = 10


def latency_ms(recipe: Recipe, image_shape: tuple[int, int, int], head: Head) -> float:
    """Milliseconds from one image to its probabilities: the median of the calls of half a second, at least `FEWEST`.

    Weights have no influence, so an untrained network will do. With as many threads as this process has, beside
    whatever else the machine does, and without XLA, as a saved model is served.

    Raises:
        ConfigError: The images are too small for the recipe's convolutions or pools.
    """
    mixed = recipe.training.mixed_precision
    model = build_model(recipe.model, image_shape, head, seed=0, mixed_precision=mixed)
    model.compile(jit_compile=False)
    return median_ms(model, image_shape)


def median_ms(model: keras.Model, image_shape: tuple[int, int, int]) -> float:
    """As `latency_ms`, of a model that is there, with its own way of being compiled."""
    image = np.zeros((1, *image_shape), np.uint8)
    for _ in range(N_WARM):
        _seconds(model, image)
    timed: list[float] = []
    while len(timed) < FEWEST or sum(timed) < TIMED_S:
        timed.append(_seconds(model, image))
    return statistics.median(timed) * 1000


def _seconds(model: keras.Model, image: npt.NDArray[np.uint8]) -> float:
    began = time.perf_counter()
    model.predict_on_batch(image)
    return time.perf_counter() - began

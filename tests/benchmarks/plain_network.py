"""A plain network and the space around it, for searches that must be small: images of half the side.

The network has nothing against overfitting, as a tutorial's, and the space holds what there is to add.
"""

import numpy as np

from cnn.config.environment import Environment, read_environment
from cnn.data.sources.catalogue import SOURCES

BASE = {
    "model": {"blocks": 2, "filters": 16, "head": "flatten", "dense_units": 64},
    "optimizer": {"name": "adamw", "learning_rate": 0.001, "weight_decay": 0.0001},
    "training": {"batch_size": 32},
}
SPACE = {
    "model.filters": {"type": "int", "low": 8, "high": 32, "step": 8},
    "model.dense_units": {"type": "int", "low": 32, "high": 256, "log": True},
    "model.batch_norm": {"type": "choice", "values": ["none", "before_activation"]},
    "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "model.head_dropout": {"type": "float", "low": 0.0, "high": 0.6},
    "optimizer.learning_rate": {"type": "float", "low": 0.0003, "high": 0.01, "log": True},
    "optimizer.weight_decay": {"type": "float", "low": 0.0001, "high": 0.1, "log": True},
    "augment.flip": {"type": "choice", "values": [False, True]},
    "augment.shift": {"type": "choice", "values": [0.0, 0.1]},
}


def environment_in(home):
    """A home of its own; the download cache is the person's."""
    return Environment(home=home, data_cache=str(read_environment().downloads))


def write_halved(source, path):
    """The training images of a source at half the side, the mean of each 2 x 2 pixels, as an `.npz`."""
    found = SOURCES[source].load(None, read_environment().downloads).train
    n, height, width, channels = found.images.shape
    blocks = found.images.reshape(n, height // 2, 2, width // 2, 2, channels)
    images = np.concatenate([part.mean(axis=(2, 4)).round().astype(np.uint8) for part in np.array_split(blocks, 20)])
    np.savez(path, x_train=images, y_train=found.labels)

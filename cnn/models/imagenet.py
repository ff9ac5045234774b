"""ImageNet weights of the published networks that `keras.applications` has.

The networks themselves, with what they do to the pixels, are those of the families; here is only where their weights
come from.
"""

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import keras
import numpy as np
import numpy.typing as npt

from cnn.errors import ConfigError, SourceError
from cnn.models.applications import published_weights

_PATIENCE_S = 20.0

NETWORKS: dict[str, tuple[Callable[..., keras.Model], int]] = {
    "vgg16": (keras.applications.VGG16, 224),
    "vgg19": (keras.applications.VGG19, 224),
    "resnet50": (keras.applications.ResNet50, 224),
    "resnet101": (keras.applications.ResNet101, 224),
    "resnet152": (keras.applications.ResNet152, 224),
    "inception_v3": (keras.applications.InceptionV3, 299),
    "mobilenet_v1": (keras.applications.MobileNet, 224),
    "mobilenet_v2": (keras.applications.MobileNetV2, 224),
    "mobilenet_v3_small": (partial(keras.applications.MobileNetV3Small, include_preprocessing=False), 224),
    "mobilenet_v3_large": (partial(keras.applications.MobileNetV3Large, include_preprocessing=False), 224),
}
"""Each network with the side of the images it was trained on; its weights without the top take any size."""


def imagenet_weights(network: str, n_channels: int) -> dict[str, npt.NDArray[np.float32]]:
    """The weights of a network's feature maps, by `layer/variable`.

    Args:
        network: `model.network` of the recipe.
        n_channels: Of the images.

    Raises:
        ConfigError: There are no such weights for this network, or the images have no three channels.
        SourceError: They can be had neither from Keras's cache nor from their official place.
    """
    if network not in NETWORKS:
        received, expected = f"imagenet for network {network}", f"one of {', '.join(NETWORKS)}"
        change = "set model.network in the recipe, or name a model of your own with transfer.from"
        raise ConfigError("transfer.from", received=received, expected=expected, change=change)
    if n_channels != 3:
        received, change = f"imagenet for images of {n_channels} channel", "set prepare.images.channels: 3"
        raise ConfigError("transfer.from", received=received, expected="images of 3 channels", change=change)
    make, side = NETWORKS[network]
    with _no_endless_waiting():
        try:
            return published_weights(make, input_shape=(side, side, 3))
        except Exception as error:  # Keras raises a bare one when a download fails, or its content is not right
            raise _unreachable(network, error) from error


def _unreachable(network: str, error: Exception) -> SourceError:
    address = re.search(r"https?://\S+?(?=:?\s|$)", str(error))
    place = address[0] if address else "their official place"
    return SourceError(
        "transfer.from imagenet",
        received=f"no weights of {network} from {place} ({str(error).rpartition(' -- ')[2][:200]})",
        expected="them there, or the file in Keras's cache (KERAS_HOME/models, else ~/.keras/models)",
        change="connect to the network, copy the file into the cache, or start from a model of your own registry",
    )


@contextmanager
def _no_endless_waiting() -> Iterator[None]:
    """Keras downloads without a time limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)

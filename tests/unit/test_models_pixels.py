"""What networks do to the pixels, against Keras's own functions."""

import keras
import numpy as np
import pytest

from cnn.models.blocks import Layers
from cnn.models.pixels import scaled

LAYERS = Layers(seed=0, dtype="float32")
THEIRS = {
    "caffe": keras.applications.resnet.preprocess_input,
    "symmetric": keras.applications.mobilenet_v2.preprocess_input,
    "unit": lambda images: images / 255,
}


@pytest.mark.parametrize("way", THEIRS)
@pytest.mark.parametrize("channels", [3, 1])
def test_pixels_are_scaled_as_the_networks_were_published(way: str, channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, channels), dtype=np.uint8)
    inputs = keras.Input(images.shape[1:], dtype="uint8")
    ours = keras.Model(inputs, scaled(inputs, LAYERS, way))(images)
    theirs = THEIRS[way](images.astype("float32"))[..., :channels] if channels == 3 or way != "caffe" else None
    if theirs is None:
        # Keras has no rule for one channel: it loses the mean of the three, (103.939 + 116.779 + 123.68) / 3.
        theirs = images - 114.79933
    np.testing.assert_allclose(ours, theirs, atol=1e-4)

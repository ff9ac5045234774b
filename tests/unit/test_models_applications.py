"""Networks of keras.applications, rebuilt: still Keras's, but with this package's promises."""

import random

import keras
import numpy as np
import pytest

from cnn.config.architectures import InceptionRecipe, MobilenetRecipe, ResnetRecipe
from cnn.errors import ConfigError
from cnn.models import build_model
from cnn.models.applications import application
from cnn.models.blocks import Layers
from cnn.records import Head

HEAD = Head(class_names=("cat", "dog", "frog"))
V3_SMALL = MobilenetRecipe(network="mobilenet_v3_small", batch_norm_momentum=0.95)
SHAPE = (32, 32, 3)


def test_a_rebuilt_network_computes_what_keras_does() -> None:
    theirs = keras.applications.MobileNetV3Small(
        input_shape=SHAPE, include_top=False, weights=None, include_preprocessing=False
    )
    images = keras.Input(SHAPE)
    layers = Layers(seed=1, dtype="float32")
    features = application(
        keras.applications.MobileNetV3Small, images, layers, momentum=0.9, include_preprocessing=False
    )
    ours = keras.Model(images, features)
    ours.set_weights(theirs.get_weights())
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, *SHAPE)).astype("float32")
    # With the same weights the same answer: layers, their order and the operators between them are Keras's own.
    np.testing.assert_allclose(ours(pixels), theirs(pixels), atol=1e-5)
    # The layers bear the names under which Keras's weight files know them.
    known, used = ({layer.name for layer in model.layers if layer.weights} for model in (theirs, ours))
    assert known == used


def test_names_do_not_depend_on_what_the_process_built_before() -> None:
    recipe = InceptionRecipe(network="inception_v3")
    first, second = ([layer.name for layer in build_model(recipe, (75, 75, 3), HEAD, seed=0).layers] for _ in range(2))
    # Keras counts its nameless convolutions on and on; a seed derived from such a name would depend on the past.
    assert first == second
    assert {"conv2d", "conv2d_93", "batch_normalization_93"} < set(first)
    assert "conv2d_94" not in first


def test_building_leaves_the_global_generator_alone() -> None:
    before = random.getstate()
    build_model(V3_SMALL, SHAPE, HEAD, seed=0)
    # Keras draws seeds from Python's generator for a network it makes.
    assert random.getstate() == before


def test_every_batch_norm_has_the_recipes_momentum() -> None:
    model = build_model(V3_SMALL, SHAPE, HEAD, seed=0)
    momenta = {layer.momentum for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert momenta == {0.95}


def test_mixed_precision_reaches_every_convolution() -> None:
    model = build_model(V3_SMALL, SHAPE, HEAD, seed=0, mixed_precision=True)
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    # All compute in bfloat16 on weights of float32.
    assert {layer.compute_dtype for layer in convolutions} == {"bfloat16"}
    assert {weight.dtype for weight in model.weights if "seed" not in weight.path} == {"float32"}


@pytest.mark.parametrize(
    ("recipe", "side", "least"),
    [(ResnetRecipe(network="resnet50"), 31, 32), (InceptionRecipe(network="inception_v3"), 74, 75)],
)
def test_too_small_images_are_one_line(recipe, side, least) -> None:
    with pytest.raises(ConfigError, match=f"received images of {side} x {side}; expected at least {least} x {least}"):
        build_model(recipe, (side, side, 3), HEAD, seed=0)

import json
from io import StringIO

import keras
import pytest
from rich.console import Console

from cnn.config.architectures import AlexnetRecipe, MobilenetRecipe, PlainRecipe
from cnn.config.reading import preset_names, read_recipe
from cnn.config.recipe import Recipe
from cnn.models.description import describe, described, description_table, multiply_adds
from cnn.records import Head

TEN = Head(class_names=tuple("0123456789"))


def built(layer: keras.Layer, shape: tuple[int, ...]) -> keras.Layer:
    layer(keras.Input(shape))
    return layer


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (keras.layers.Conv2D(16, 3), (10, 8, 4), 8 * 6 * 3 * 3 * 4 * 16),
        (keras.layers.Conv2D(16, 3, strides=2, padding="same"), (9, 8, 4), 5 * 4 * 3 * 3 * 4 * 16),
        (keras.layers.Conv2D(16, 3, groups=4), (10, 8, 4), 8 * 6 * 3 * 3 * 1 * 16),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), (10, 8, 4), 8 * 6 * 3 * 3 * 4 * 2),
        (keras.layers.SeparableConv2D(16, 3), (10, 8, 4), 8 * 6 * (3 * 3 * 4 + 4 * 16)),
        (keras.layers.Conv2DTranspose(16, 3, strides=2), (5, 4, 4), 5 * 4 * 3 * 3 * 4 * 16),
        (keras.layers.Dense(7), (12,), 12 * 7),
        (keras.layers.Dense(7), (5, 12), 5 * 12 * 7),
        (keras.layers.BatchNormalization(), (10, 8, 4), 0),
        (keras.layers.MaxPooling2D(), (10, 8, 4), 0),
    ],
)
def test_multiply_adds_follow_the_formula(layer: keras.Layer, shape: tuple[int, ...], expected: int) -> None:
    # Places of the output (input, when transposed) times weights of the kernel.
    assert multiply_adds(built(layer, shape)) == expected


def test_freezing_a_layer_saves_no_inference() -> None:
    layer = built(keras.layers.Dense(7), (12,))
    layer.trainable = False
    # A frozen weight multiplies as any other.
    assert multiply_adds(layer) == 12 * 7


def test_the_totals_of_the_tutorials_first_network() -> None:
    description = describe(read_recipe("tutorial_basic"), (32, 32, 3), TEN)
    # Each convolution and dense layer by hand.
    macs = 30 * 30 * 27 * 32 + 13 * 13 * 288 * 64 + 4 * 4 * 576 * 64 + 1024 * 64 + 640
    assert description.multiply_adds == macs
    assert description.parameters == description.trainable_parameters == 122_570
    # Four bytes a weight.
    assert description.parameter_bytes == 4 * 122_570
    # Four bytes a number of each layer's output, flattening not counted.
    outputs = 32 * 32 * 3 + 30 * 30 * 32 + 15 * 15 * 32 + 13 * 13 * 64 + 6 * 6 * 64 + 4 * 4 * 64 + 64 + 10
    assert description.activation_bytes == 4 * outputs
    # Weights, gradients and RMSprop's one slot; outputs and their gradients of 256 images.
    assert description.training_bytes == 3 * 4 * 122_570 + 2 * 256 * 4 * outputs


def test_moving_averages_are_not_trained() -> None:
    description = describe(read_recipe("tutorial_improved"), (32, 32, 3), TEN)
    # BatchNorm's means and variances, of 32 + 64 + 128 channels.
    assert description.parameters - description.trainable_parameters == 2 * (32 + 64 + 128)


def test_mixed_precision_halves_the_activations_inside() -> None:
    full = describe(Recipe(), (32, 32, 3), TEN)
    mixed = describe(Recipe.model_validate({"training": {"mixed_precision": True}}), (32, 32, 3), TEN)
    # Pixels and probabilities stay in float32, all between them takes half.
    kept = 4 * (32 * 32 * 3 + 10)
    assert mixed.activation_bytes - kept == (full.activation_bytes - kept) / 2
    # Weights stay in float32.
    assert mixed.parameter_bytes == full.parameter_bytes


def test_models_inside_models_are_opened() -> None:
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="inside"), keras.layers.Flatten()])
    images = keras.Input((8, 8, 3))
    outer = keras.Model(images, keras.layers.Dense(2, name="outside")(inner(images)))
    description = described(outer, slots=2, batch_size=1)
    # The layers of the inner model are listed in its place.
    assert [layer.name for layer in description.layers if layer.multiply_adds] == ["inside", "outside"]
    assert description.multiply_adds == 6 * 6 * 27 * 4 + 144 * 2


@pytest.mark.parametrize("network", [MobilenetRecipe(network="mobilenet_v1"), AlexnetRecipe(network="alexnet")])
def test_multiply_adds_of_whole_networks_are_those_of_the_papers(network) -> None:
    side, published = (224, 569e6) if network.family == "mobilenet" else (227, 724e6)
    description = describe(Recipe(model=network), (side, side, 3), Head(class_names=tuple(map(str, range(1000)))))
    # MobileNet v1's table 4 says 569 million, of depthwise convolutions; AlexNet's grouped ones give 724 million
    # (Sze et al., "Efficient processing of deep neural networks", 2017, table II).
    assert description.multiply_adds == pytest.approx(published, abs=0.5e6)


@pytest.mark.parametrize("name", [name for name in preset_names() if name.endswith(("small", "digits", "improved"))])
def test_the_parts_add_up(name: str) -> None:
    document = json.loads(json.dumps(describe(read_recipe(name), (32, 32, 3), TEN).to_json()))
    # The totals are those of the layers, also after a trip through JSON.
    assert document["parameters"] == sum(layer["parameters"] for layer in document["layers"])
    assert document["multiply_adds"] == sum(layer["multiply_adds"] for layer in document["layers"])


def test_the_table_names_each_layer_and_the_totals() -> None:
    description = describe(Recipe(model=PlainRecipe(batch_norm="before_activation")), (32, 32, 3), TEN)
    screen = StringIO()
    Console(file=screen, width=80).print(description_table(description, title="mine"))
    text = screen.getvalue()
    # Nothing is cut off on a screen of 80 columns.
    assert all(layer.name in text and layer.kind in text for layer in description.layers)
    # The totals stand there with thousands set apart.
    assert f"{description.parameters:,}" in text
    assert f"{description.multiply_adds:,}" in text

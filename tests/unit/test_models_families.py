"""What the families' small networks are made of."""

import keras
import pytest

from cnn.config.architectures import (
    AlexnetRecipe,
    InceptionRecipe,
    LenetRecipe,
    MobilenetRecipe,
    ModelRecipe,
    ResnetRecipe,
    VggRecipe,
)
from cnn.models import build_model
from cnn.models.vgg import CONVOLUTIONS
from cnn.records import Head

TEN = Head(class_names=tuple("0123456789"))


def build(recipe: ModelRecipe, shape: tuple[int, int, int] = (32, 32, 3)) -> keras.Model:
    return build_model(recipe, shape, TEN, seed=0)


def convolutions(model: keras.Model) -> list[keras.layers.Conv2D]:
    """Those with a window; a 1 x 1 convolution only mixes channels."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size != (1, 1)]


def kinds_after(model: keras.Model, start: str, count: int) -> list[str]:
    names = [layer.name for layer in model.layers]
    return [type(layer).__name__ for layer in model.layers[names.index(start) :][:count]]


def test_resnet_20_of_the_paper() -> None:
    model = build(ResnetRecipe(blocks=3))
    # 6 n + 2 layers: 19 convolutions and the classifier.
    assert len(convolutions(model)) == 19
    # Section 4.2 says 0.27 million parameters.
    assert round(model.count_params() / 1e6, 2) == 0.27
    # Three stages of 32, 16 and 8 pixels with 16, 32 and 64 filters.
    assert [model.get_layer(f"stage{stage}_block3_add").output.shape[1:] for stage in (1, 2, 3)] == [
        (32, 32, 16),
        (16, 16, 32),
        (8, 8, 64),
    ]


@pytest.mark.parametrize(
    ("place", "start", "order"),
    [
        ("before_activation", "stage1_block1_conv1", ["Conv2D", "BatchNormalization", "Activation", "Conv2D"]),
        ("pre_activation", "stage1_block1_norm1", ["BatchNormalization", "Activation", "Conv2D", "BatchNormalization"]),
    ],
)
def test_batch_norm_of_residual_blocks_stands_where_it_is_told(place: str, start: str, order: list[str]) -> None:
    model = build(ResnetRecipe(filters=4, batch_norm=place))
    assert kinds_after(model, start, 4) == order
    # After the sum the first paper has a ReLU, the second nothing.
    after = model.layers[[layer.name for layer in model.layers].index("stage1_block1_add") + 1]
    assert isinstance(
        after, keras.layers.Activation if place == "before_activation" else keras.layers.BatchNormalization
    )


@pytest.mark.parametrize("depth", CONVOLUTIONS)
def test_vgg_has_the_convolutions_of_its_depth(depth: int) -> None:
    model = build(VggRecipe(depth=depth, filters=4))
    # The paper counts its three dense layers too.
    assert len(convolutions(model)) == depth - 3
    # Twice the width a block, up to eight times.
    widths = [model.get_layer(f"block{block}_conv1").filters for block in range(1, 6)]
    assert widths == [4, 8, 16, 32, 32]


def test_widths_and_depths_are_numbers() -> None:
    # Each pair: what is counted, and how often it must be there.
    assert [layer.filters for layer in convolutions(build(LenetRecipe(filters=6)))] == [6, 16]
    assert [layer.filters for layer in convolutions(build(AlexnetRecipe(filters=96, convolutions=3)))] == [
        96,
        256,
        384,
        384,
        256,
    ]
    concatenations = [type(layer).__name__ for layer in build(InceptionRecipe(stages=2, blocks=3)).layers]
    assert concatenations.count("Concatenate") == 6
    depthwise = [type(layer).__name__ for layer in build(MobilenetRecipe(stages=3, blocks=4)).layers]
    assert depthwise.count("DepthwiseConv2D") == 12


def test_an_inception_module_answers_with_the_channels_it_is_asked_for() -> None:
    model = build(InceptionRecipe(filters=16))
    # Twice, four times and eight times the first convolution's.
    assert [model.get_layer(f"stage{stage}_module1_concat").output.shape[-1] for stage in (1, 2, 3)] == [32, 64, 128]


def test_inverted_residuals_are_wide_within_and_narrow_at_their_ends() -> None:
    model = build(MobilenetRecipe(blocks=2, filters=8, expansion=6))
    assert model.get_layer("stage1_block2_expand_conv").filters == 48
    assert model.get_layer("stage1_block2_project_conv").filters == 8
    # No activation after the narrow end, and a shortcut where the shape stays.
    assert kinds_after(model, "stage1_block2_project_conv", 3) == ["Conv2D", "BatchNormalization", "Add"]


@pytest.mark.parametrize(
    "recipe",
    [
        LenetRecipe(dropout=0.3),
        AlexnetRecipe(dropout=0.3),
        VggRecipe(dropout=0.3),
        ResnetRecipe(dropout=0.3),
        InceptionRecipe(dropout=0.3),
        MobilenetRecipe(dropout=0.3),
    ],
    ids=lambda recipe: recipe.family,
)
def test_every_family_knows_dropout(recipe: ModelRecipe) -> None:
    with_head = recipe.model_copy(update={"head_dropout": 0.6})
    rates = [layer.rate for layer in build(with_head).layers if isinstance(layer, keras.layers.Dropout)]
    # In the body after each stage or in each block, and before the classifier.
    assert rates.count(0.3) >= 2
    assert rates[-1] == 0.6
    # None where none is asked for.
    without = build(recipe.model_copy(update={"dropout": 0.0, "head_dropout": 0.0}))
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in without.layers)

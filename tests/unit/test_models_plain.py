import keras
import pytest

from cnn.config.architectures import PlainRecipe
from cnn.config.reading import read_recipe
from cnn.errors import ConfigError
from cnn.models import build_model
from cnn.models.plain import filter_plan
from cnn.records import Head

TEN = Head(class_names=tuple("0123456789"))


def build(recipe: PlainRecipe, shape: tuple[int, int, int] = (32, 32, 3)) -> keras.Model:
    return build_model(recipe, shape, TEN, seed=0)


def kinds(model: keras.Model) -> list[str]:
    """`Conv2D 32 relu`, `Dropout 0.5`, ...: each layer with what the tutorial says about it."""
    told = []
    for layer in model.layers[2:]:  # without the input and the scaling
        config = layer.get_config()
        words = [config.get(word) for word in ("filters", "units", "rate", "activation")]
        told.append(" ".join(map(str, [type(layer).__name__, *(word for word in words if word is not None)])))
    return told


def test_basic_preset_is_the_tutorials_first_network() -> None:
    model = build(read_recipe("tutorial_basic").model)
    # The tutorial's listing, in its order.
    assert kinds(model) == [
        "Conv2D 32 relu",
        "MaxPooling2D",
        "Conv2D 64 relu",
        "MaxPooling2D",
        "Conv2D 64 relu",
        "Flatten",
        "Dense 64 relu",
        "Dense 10 softmax",
    ]
    # The tutorial's summary.
    assert model.count_params() == 122_570
    assert model.get_layer("block3_conv1").output.shape == (None, 4, 4, 64)


def test_improved_preset_is_the_tutorials_second_network() -> None:
    model = build(read_recipe("tutorial_improved").model)
    # The tutorial's listing, in its order.
    assert kinds(model) == [
        "Conv2D 32 relu",
        "BatchNormalization",
        "Conv2D 64 relu",
        "BatchNormalization",
        "MaxPooling2D",
        "Dropout 0.5",
        "Conv2D 128 relu",
        "BatchNormalization",
        "MaxPooling2D",
        "Dropout 0.5",
        "Flatten",
        "Dense 256 relu",
        "Dropout 0.5",
        "Dense 10 softmax",
    ]
    # The tutorial's summary.
    assert model.count_params() == 1_276_618


@pytest.mark.parametrize(
    ("placement", "order"),
    [
        ("none", ["Conv2D 4 relu", "MaxPooling2D"]),
        ("before_activation", ["Conv2D 4 linear", "BatchNormalization", "Activation relu", "MaxPooling2D"]),
        ("after_activation", ["Conv2D 4 relu", "BatchNormalization", "MaxPooling2D"]),
        ("after_pool", ["Conv2D 4 relu", "MaxPooling2D", "BatchNormalization"]),
    ],
)
def test_batch_norm_stands_where_it_is_told(placement: str, order: list[str]) -> None:
    model = build(PlainRecipe(blocks=1, filters=4, batch_norm=placement))
    # The block, before the head begins.
    assert kinds(model)[: len(order) + 1] == [*order, "Flatten"]
    # A bias is of use unless BatchNorm follows at once.
    assert model.get_layer("block1_conv1").use_bias == (placement != "before_activation")


def test_growth_multiplies_the_filters_of_each_block() -> None:
    recipe = PlainRecipe(blocks=3, convolutions=2, filters=10, growth=1.5)
    # 10, 15 and 22.5, rounded to the even neighbour.
    assert filter_plan(recipe) == ((10, 10), (15, 15), (22, 22))
    # However small the growth, a convolution has a filter.
    assert filter_plan(PlainRecipe(blocks=3, filters=1, growth=0.25)) == ((1,), (1,), (1,))


def test_a_network_too_deep_for_its_images_is_named() -> None:
    deep = PlainRecipe(blocks=3, padding="valid", filters=4)
    # 8 x 8 becomes 6, pooled 3, then 1: the second pool has nothing left to halve.
    with pytest.raises(ConfigError, match=r"layer block2_pool: received maps of 1 x 1; expected at least 2 x 2"):
        build(deep, (8, 8, 1))
    # The shorter side decides.
    with pytest.raises(ConfigError, match=r"layer block1_conv1: received maps of 2 x 20; expected at least 3 x 3"):
        build(deep, (2, 20, 1))


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 3, 1), (1, 1, 1)])
def test_padding_same_is_never_too_deep(shape: tuple[int, int, int]) -> None:
    model = build(PlainRecipe(blocks=8, filters=2, growth=1.0), shape)
    # The maps shrink to one pixel and stay there.
    assert model.get_layer("block8_pool").output.shape[1:3] == (1, 1)


def test_no_dropout_layer_at_rate_zero() -> None:
    # A layer that does nothing is not there.
    assert not any("Dropout" in kind for kind in kinds(build(PlainRecipe())))

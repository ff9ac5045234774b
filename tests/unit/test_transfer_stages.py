"""What a stage is, family by family: `transfer.freeze: N` freezes the first N."""

import pytest

from cnn.config.recipe import Recipe
from cnn.models.build import build_model
from cnn.models.stages import stages
from cnn.records import Head

HEAD = Head(class_names=("a", "b"))


def stages_of(model, shape=(32, 32, 3)):
    recipe = Recipe.model_validate({"model": model}).model
    return stages(build_model(recipe, shape, HEAD, seed=0))


@pytest.mark.parametrize(
    ("model", "word"),
    [
        ({"blocks": 3, "batch_norm": "before_activation", "convolutions": 2}, "block"),
        ({"blocks": 3, "batch_norm": "after_activation"}, "block"),
        ({"blocks": 3, "batch_norm": "after_pool", "head": "global_average"}, "block"),
        ({"family": "lenet", "blocks": 3}, "block"),
        ({"family": "vgg", "depth": 13, "filters": 2}, "block"),
        ({"family": "resnet", "blocks": 2}, "stage"),
        ({"family": "resnet", "blocks": 2, "batch_norm": "before_activation", "stages": 4}, "stage"),
        ({"family": "inception", "filters": 4}, "stage"),
        ({"family": "mobilenet", "filters": 4, "block": "separable"}, "stage"),
    ],
    ids=str,
)
def test_a_stage_bears_its_number_in_the_names_of_its_layers(model, word):
    found = stages_of(model)
    numbered = {name: stage for name, stage in found.items() if name.startswith(word)}
    # A block, or a stage, of the recipe is a stage, with its BatchNorm and its shortcuts.
    assert len(set(numbered.values())) >= 3
    assert {name: int(name.removeprefix(word)[0]) for name in numbered} == numbered
    # What stands before the first is frozen with it.
    assert {stage for name, stage in found.items() if name.startswith("stem")} <= {1}


def test_what_widens_the_maps_before_they_are_halved_works_at_the_old_resolution():
    block = {"block": "inverted_residual", "squeeze_excite": True}
    found = stages_of({"family": "mobilenet", "filters": 4} | block)
    second = {name: stage for name, stage in found.items() if name.startswith("stage2_block1_")}
    # As in the published network, whose table counts the output sizes of its strided depthwise convolutions.
    assert {name for name, stage in second.items() if stage == 1} == {
        "stage2_block1_expand_conv",
        "stage2_block1_expand_norm",
    }
    assert set(second.values()) == {1, 2}


def test_every_layer_below_the_vector_has_a_stage_and_none_is_left_to_move():
    models = (
        {"family": "alexnet", "filters": 4},
        {"family": "resnet", "batch_norm": "pre_activation"},
        {"family": "mobilenet", "block": "inverted_residual", "squeeze_excite": True, "filters": 4},
    )
    for model in models:
        network = build_model(Recipe.model_validate({"model": model}).model, (32, 32, 3), HEAD, seed=0)
        found = stages(network)
        layers = [layer for layer in network.layers if layer.weights]
        below = [layer.name for layer in layers if len(layer.output.shape) == 4]
        # Freezing all stages freezes all that makes maps, normalizes them or weighs their channels.
        assert set(below) == found.keys()
        # No layer is frozen whose input moves.
        assert [found[name] for name in below] == sorted(found[name] for name in below)


def test_layers_after_the_maps_have_no_stage():
    found = stages_of({"blocks": 2, "dense_units": 8})
    # Only `freeze: all` holds them.
    assert "dense" not in found and "probs" not in found


@pytest.mark.parametrize(
    ("model", "side", "firsts"),
    [
        ({"family": "lenet", "network": "lenet5"}, 32, ["c1", "c3", "c5"]),
        ({"family": "alexnet", "network": "alexnet"}, 96, ["conv1", "conv2", "conv3"]),
        ({"family": "vgg", "network": "vgg11"}, 32, [f"block{block}_conv1" for block in range(1, 6)]),
        (
            {"family": "resnet", "network": "resnet18"},
            32,
            ["stem_conv", *(f"stage{stage}_block1_conv1" for stage in range(1, 5))],
        ),
        ({"family": "mobilenet", "network": "mobilenet_v1"}, 32, ["conv1", *(f"conv_dw_{n}" for n in (2, 4, 6, 12))]),
    ],
    ids=str,
)
def test_a_published_network_has_the_stages_of_its_paper(model, side, firsts):
    found = stages_of(model, (side, side, 3))
    begun = {}
    for name, stage in found.items():
        begun.setdefault(stage, name)
    # Each begins where the paper's table shows a new output size.
    assert list(begun.values()) == firsts and list(begun) == list(range(1, len(firsts) + 1))

"""What every family of networks and every preset must do."""

import math
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn.config.architectures import (
    AlexnetRecipe,
    InceptionRecipe,
    LenetRecipe,
    MobilenetRecipe,
    ModelRecipe,
    PlainRecipe,
    ResnetRecipe,
    VggRecipe,
)
from cnn.config.reading import preset_names, read_published, read_recipe, recipe_with
from cnn.config.recipe import Recipe
from cnn.models import MODELS, build_model
from cnn.records import Head

HEAD = Head(class_names=("cat", "dog", "frog"))
SMALL = {"blocks": 2, "filters": 4, "dense_units": 8}

PRESETS = {name: read_recipe(name).model for name in preset_names()}
PUBLISHED = {name: published for name in PRESETS if (published := read_published(name))}
"""The published networks, each with its count and where that is from."""

RECIPES: dict[str, ModelRecipe] = {
    "plain-default": PlainRecipe(**SMALL),
    "plain-before": PlainRecipe(**SMALL, batch_norm="before_activation", convolutions=2, dropout=0.2),
    "plain-after": PlainRecipe(**SMALL, batch_norm="after_activation", activation="gelu", padding="valid"),
    "plain-after-pool": PlainRecipe(**SMALL, batch_norm="after_pool", pooling="average", head="global_average"),
    "plain-no-dense": PlainRecipe(plan=((4,), (8, 8)), dense_units=0, head_dropout=0.3, pool_last=False, kernel=5),
    "lenet-tanh": LenetRecipe(**SMALL, batch_norm="none", activation="tanh", pooling="average", dropout=0.2),
    "alexnet-after": AlexnetRecipe(filters=4, convolutions=1, dense_units=8, batch_norm="after_activation"),
    "vgg-no-norm": VggRecipe(depth=13, filters=6, dense_units=0, batch_norm="none", activation="elu", dropout=0.1),
    "resnet-before": ResnetRecipe(stages=2, filters=4, dropout=0.2, head_dropout=0.2),
    "resnet-pre": ResnetRecipe(stages=2, blocks=2, filters=4, batch_norm="pre_activation", dropout=0.2),
    "inception-no-norm": InceptionRecipe(stages=2, filters=8, batch_norm="none", dropout=0.2),
    "mobilenet-separable": MobilenetRecipe(block="separable", stages=2, blocks=1, filters=4, dropout=0.1),
    "mobilenet-v3": MobilenetRecipe(stages=2, blocks=2, filters=4, squeeze_excite=True, activation="hard_swish"),
    **{f"preset-{name}": model for name, model in PRESETS.items() if getattr(model, "network", "small") == "small"},
}
APPLICATIONS: dict[str, ModelRecipe] = {"mobilenet_v3_small": MobilenetRecipe(network="mobilenet_v3_small")}
"""Of the networks that Keras makes the one with the most kinds of layers, operators among them, and few weights."""

SHAPES = dict.fromkeys(RECIPES, (16, 20, 1)) | dict.fromkeys(APPLICATIONS, (32, 32, 3))
SHAPES |= {name: (32, 32, 3) for name in RECIPES if name.startswith("preset")}
PARAMETERS = {
    "plain-default": 40 + 296 + (4 * 5 * 8 * 8 + 8) + 27,
    "preset-tutorial_basic": 122_570 - 7 * 65,  # three classes instead of ten
    "preset-tutorial_improved": 1_276_618 - 7 * 257,
}
SERVED = (
    "plain-before",
    "plain-after-pool",
    "lenet-tanh",
    "alexnet-after",
    "vgg-no-norm",
    "resnet-pre",
    "inception-no-norm",
    "mobilenet-v3",
)
"""A saved network of each family, with all kinds of layers."""

SLOW_TO_BUILD = {name for name, published in PUBLISHED.items() if published.parameters > 10**7}

every_recipe = pytest.mark.parametrize("name", RECIPES)
every_network = pytest.mark.parametrize("name", [*RECIPES, *APPLICATIONS])
every_small_family = pytest.mark.parametrize("name", [f"{family}_small".removeprefix("plain_") for family in MODELS])


def build(name: str, seed: int = 0, *, mixed_precision: bool = False) -> keras.Model:
    return build_model((RECIPES | APPLICATIONS)[name], SHAPES[name], HEAD, seed=seed, mixed_precision=mixed_precision)


def batch(name: str, n_images: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n_images, *SHAPES[name]), dtype=np.uint8)
    return images, np.arange(n_images) % HEAD.n_classes


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.weights]


def test_every_family_is_tried() -> None:
    # A family that joins MODELS has recipes here.
    assert {recipe.family for recipe in RECIPES.values()} == set(MODELS)
    assert {RECIPES[name].family for name in SERVED} == set(MODELS)


@every_small_family
def test_a_familys_small_preset_spells_out_its_defaults(name: str) -> None:
    family = PRESETS[name].family
    # A search that chooses the family starts from what the preset says; `small` varies the plain network's defaults.
    assert name == "small" or PRESETS[name] == type(PRESETS[name])()
    # Its width is a number, in every family by the same name.
    narrow = recipe_with(Recipe(), {"model.family": family, "model.filters": 8})
    assert narrow.model.filters == 8


@every_small_family
@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 28, 1), (64, 64, 3)])
def test_small_presets_make_sense_of_small_images(name: str, shape: tuple[int, int, int]) -> None:
    model = build_model(PRESETS[name], shape, HEAD, seed=0)
    first, *_ = (layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
    # The first convolution looks at each pixel: what is lost there no later layer finds again.
    assert first.output.shape[1:3] == shape[:2]
    # However small the images, something is left of them at the end.
    assert all(all(side > 0 for side in layer.output.shape[1:]) for layer in model.layers)


@every_network
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_answers_uint8_images_with_probabilities(name: str, mixed_precision: bool) -> None:
    model = build(name, mixed_precision=mixed_precision)
    images, _ = batch(name)
    probs = keras.ops.convert_to_numpy(model(images))
    # Pixels go in as they are stored.
    assert model.input.dtype == "uint8"
    # One float32 probability a class, whatever the network computes in.
    assert probs.dtype == np.float32
    assert probs.shape == (len(images), HEAD.n_classes)
    assert (probs >= 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-5)


@every_recipe
def test_scales_the_pixels_itself(name: str) -> None:
    model = build(name)
    images, _ = batch(name)
    scaled = keras.Model(model.input, model.get_layer("rescaling").output)(images)
    # What the first convolution sees is the pixel divided by 255.
    np.testing.assert_allclose(scaled, images / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "mixed_precision"), [(name, not name.startswith("preset")) for name in RECIPES]
)  # each family in both precisions
def test_loss_falls_on_one_batch(name: str, mixed_precision: bool) -> None:
    model = build(name, mixed_precision=mixed_precision)
    images, labels = batch(name)
    model.compile(keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy", run_eagerly=True)
    losses = [float(model.train_on_batch(images, labels)) for _ in range(12)]
    # Gradients are finite: none of the steps spoilt a weight.
    assert np.isfinite(losses).all()
    assert all(np.isfinite(weight).all() for weight in weights(model))
    # A network that can learn at all can learn six images better than it knew them.
    assert min(losses[-4:]) < losses[0]


@every_network
def test_every_weight_learns(name: str) -> None:
    model = build(name)
    images, labels = batch(name)
    before = [np.asarray(weight).copy() for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(images, labels)
    still = [w.path for w, old in zip(model.trainable_weights, before, strict=True) if np.array_equal(w, old)]
    # Every trainable weight gets a gradient.
    assert still == []


@every_network
def test_seed_decides_the_weights_alone(name: str) -> None:
    first = weights(build(name, seed=1))
    keras.utils.set_random_seed(99)
    again, other = weights(build(name, seed=1)), weights(build(name, seed=2))
    # Same seed, same weights, whatever the global generators have done meanwhile.
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    # Another seed changes each kernel.
    kernels = [number for number, weight in enumerate(first) if weight.ndim > 1]
    assert kernels
    assert not any(np.array_equal(first[number], other[number]) for number in kernels)


@every_network
def test_seed_decides_the_dropout_alone(name: str) -> None:
    images, _ = batch(name)
    first = np.asarray(build(name, seed=1)(images, training=True))
    keras.utils.set_random_seed(99)
    # The first training pass drops the same units in every model of a seed.
    assert np.array_equal(first, build(name, seed=1)(images, training=True))


@every_network
def test_no_two_layers_share_a_seed(name: str) -> None:
    configs = [layer.get_config() for layer in build(name).layers]
    initializers = [config.get(f"{kind}_initializer") for config in configs for kind in ("kernel", "depthwise")]
    seeds = [initializer["config"]["seed"] for initializer in initializers if initializer]
    seeds += [config["seed"] for config in configs if "seed" in config]
    # Each random part has a seed, and one of its own.
    assert seeds
    assert None not in seeds
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW_TO_BUILD else ()) for name in PUBLISHED]
)
def test_published_parameter_counts(name: str) -> None:
    published = PUBLISHED[name]
    head = Head(class_names=tuple(map(str, range(published.classes))))
    model = build_model(PRESETS[name], published.image_shape, head, seed=0)
    counted = model.trainable_weights if published.trainable_only else model.weights
    # The network is the published one to the last weight; the preset names the source of the number.
    assert sum(math.prod(weight.shape) for weight in counted) == published.parameters, published.source


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_count_is_known(name: str) -> None:
    # Counted by hand, or given by the tutorial.
    assert build(name).count_params() == PARAMETERS[name]


def test_building_changes_no_global_state() -> None:
    before = keras.config.dtype_policy().name
    build("plain-default", mixed_precision=True)
    # Mixed precision is a property of a model, not of the process.
    assert keras.config.dtype_policy().name == before


SERVE = """
import sys
import numpy as np, keras
for name in sys.argv[1:]:
    model = keras.saving.load_model(name + ".keras", safe_mode=True)
    np.save(name + ".again.npy", np.asarray(model(np.load(name + ".images.npy"))))
assert not any(module == "cnn" or module.startswith("cnn.") for module in sys.modules)
"""


@pytest.mark.slow
def test_saved_models_serve_elsewhere_without_our_code(tmp_path: Path) -> None:
    names = [*SERVED, *APPLICATIONS]
    for name in names:
        model, (images, _) = build(name, mixed_precision="before" in name), batch(name)
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.images.npy", images)
        np.save(tmp_path / f"{name}.npy", np.asarray(model(images)))
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-P", "-c", SERVE, *names], cwd=tmp_path, env=environment, check=True)
    differ = [
        name
        for name in names
        if not np.array_equal(np.load(tmp_path / f"{name}.npy"), np.load(tmp_path / f"{name}.again.npy"))
    ]
    # What a fresh process without this package answers is bit for bit what the built model answered.
    assert differ == []

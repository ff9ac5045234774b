"""What every family of networks and every preset must do."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cnn.config.reading import preset_names, read_recipe
from cnn.config.recipe import ModelRecipe, PlainRecipe
from cnn.models import MODELS, build_model
from cnn.records import Head

HEAD = Head(class_names=("cat", "dog", "frog"))
SMALL = {"blocks": 2, "filters": 4, "dense_units": 8}

RECIPES: dict[str, ModelRecipe] = {
    "plain-default": PlainRecipe(**SMALL),
    "plain-before": PlainRecipe(**SMALL, batch_norm="before_activation", convolutions=2, dropout=0.2),
    "plain-after": PlainRecipe(**SMALL, batch_norm="after_activation", activation="gelu", padding="valid"),
    "plain-after-pool": PlainRecipe(**SMALL, batch_norm="after_pool", pooling="average", head="global_average"),
    "plain-no-dense": PlainRecipe(plan=((4,), (8, 8)), dense_units=0, head_dropout=0.3, pool_last=False, kernel=5),
    **{f"preset-{name}": read_recipe(name).model for name in preset_names()},
}
SHAPES = {name: (32, 32, 3) if name.startswith("preset") else (16, 20, 1) for name in RECIPES}
PARAMETERS = {
    "plain-default": 40 + 296 + (4 * 5 * 8 * 8 + 8) + 27,
    "preset-tutorial_basic": 122_570 - 7 * 65,  # three classes instead of ten
    "preset-tutorial_improved": 1_276_618 - 7 * 257,
}

every_recipe = pytest.mark.parametrize("name", RECIPES)


def build(name: str, seed: int = 0, *, mixed_precision: bool = False) -> keras.Model:
    return build_model(RECIPES[name], SHAPES[name], HEAD, seed=seed, mixed_precision=mixed_precision)


def batch(name: str, n_images: int = 6) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n_images, *SHAPES[name]), dtype=np.uint8)
    return images, np.arange(n_images) % HEAD.n_classes


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.weights]


def test_every_family_is_tried() -> None:
    # A family that joins MODELS has recipes here.
    assert {recipe.family for recipe in RECIPES.values()} == set(MODELS)


@every_recipe
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


@every_recipe
@pytest.mark.parametrize("mixed_precision", [False, True])
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


@every_recipe
def test_every_weight_learns(name: str) -> None:
    model = build(name)
    images, labels = batch(name)
    before = [np.asarray(weight).copy() for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(images, labels)
    still = [w.path for w, old in zip(model.trainable_weights, before, strict=True) if np.array_equal(w, old)]
    # Every trainable weight gets a gradient.
    assert still == []


@every_recipe
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


@every_recipe
def test_seed_decides_the_dropout_alone(name: str) -> None:
    images, _ = batch(name)
    first = np.asarray(build(name, seed=1)(images, training=True))
    keras.utils.set_random_seed(99)
    # The first training pass drops the same units in every model of a seed.
    assert np.array_equal(first, build(name, seed=1)(images, training=True))


@every_recipe
def test_no_two_layers_share_a_seed(name: str) -> None:
    configs = [layer.get_config() for layer in build(name).layers]
    seeds = [config["kernel_initializer"]["config"]["seed"] for config in configs if "kernel_initializer" in config]
    seeds += [config["seed"] for config in configs if "seed" in config]
    # Each random part has a seed, and one of its own.
    assert seeds
    assert None not in seeds
    assert len(set(seeds)) == len(seeds)


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
    for name in RECIPES:
        model, (images, _) = build(name, mixed_precision="before" in name), batch(name)
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.images.npy", images)
        np.save(tmp_path / f"{name}.npy", np.asarray(model(images)))
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-P", "-c", SERVE, *RECIPES], cwd=tmp_path, env=environment, check=True)
    differ = [
        name
        for name in RECIPES
        if not np.array_equal(np.load(tmp_path / f"{name}.npy"), np.load(tmp_path / f"{name}.again.npy"))
    ]
    # What a fresh process without this package answers is bit for bit what the built model answered.
    assert differ == []

"""A model's file that is damaged, or is no model, ends in one line, wherever in it the fault is."""

import json
import zipfile

import numpy as np
import pytest

from cnn.config.recipe import Recipe
from cnn.durable import sha256_of
from cnn.errors import IntegrityError
from cnn.records import Head
from cnn.training.model_file import check_runs_no_code, load_harmless

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    from cnn.models.build import build_model
    from cnn.training.saving import write_model

    recipe = Recipe.model_validate({"model": {"blocks": 1, "filters": 2}})
    path = tmp_path_factory.mktemp("sound") / "model.keras"
    write_model(path, build_model(recipe.model, (8, 8, 1), Head(class_names=("a", "b")), seed=0))
    return path


def loaded(path):
    return load_harmless(path, sha256_of(path))


def with_config(sound, path, config):
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, config if name == "config.json" else source.read(name))
    return path


@pytest.mark.parametrize("seed", range(24))
def test_a_flipped_bit_is_one_line(sound, tmp_path, seed):
    content, rng = bytearray(sound.read_bytes()), np.random.default_rng(seed)
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    try:
        model = loaded(path)
    except IntegrityError as error:
        # Which fault the archive, HDF5 or Keras has met does not matter to whoever named the file.
        assert str(error).startswith(f"{path}: received ") and "\n" not in str(error)
    else:
        # Whatever still loads, such as an archive with another date, is a whole model.
        assert model.count_params() > 0


@pytest.mark.parametrize("part", range(1, 8))
def test_half_a_file_is_one_line(sound, tmp_path, part):
    path = tmp_path / "model.keras"
    path.write_bytes(sound.read_bytes()[: sound.stat().st_size * part // 8])
    with pytest.raises(IntegrityError, match=r"received another kind of file"):
        loaded(path)


def test_a_layer_alone_is_no_model(tmp_path):
    import keras

    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    keras.saving.save_model(layer, tmp_path / "layer.keras")
    with pytest.raises(IntegrityError, match="received a Dense by itself"):
        loaded(tmp_path / "layer.keras")


@pytest.mark.parametrize(
    ("module", "name"), [("keras.utils", "get_file"), ("keras.saving", "load_model"), ("keras.layers", "deserialize")]
)
def test_functions_of_keras_are_no_parts_of_a_network(sound, tmp_path, module, name):
    with zipfile.ZipFile(sound) as archive:
        config = json.loads(archive.read("config.json"))
    config["config"]["layers"][2]["config"]["kernel_initializer"] |= {"module": module, "class_name": name}
    path = with_config(sound, tmp_path / "model.keras", json.dumps(config))
    # They download and unpack, and Keras's safe mode has let them through before.
    with pytest.raises(IntegrityError, match=f"received {module}.{name} in it"):
        check_runs_no_code(path)


def test_a_configuration_without_end_is_a_damaged_file(sound, tmp_path):
    path = with_config(sound, tmp_path / "model.keras", '{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(IntegrityError, match="a damaged file"):
        check_runs_no_code(path)

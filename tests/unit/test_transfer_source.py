"""What a recipe starts from: found once, named for good, and never something else."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.recipe import Recipe
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared
from cnn.durable import sha256_of
from cnn.errors import ConfigError, IntegrityError, SpaceError
from cnn.records import Head
from cnn.steps.train import train
from cnn.steps.weights import check_start_is_fixed, drop_start, kept_start, start_tags, started
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.registry import CHAMPION, Candidate, MemoryRegistry, Version
from cnn.training.backbone import kept_weights

pytestmark = pytest.mark.slow

MODEL = {"blocks": 1, "filters": 2, "dense_units": 4}
SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    """Two models of one architecture and other weights."""
    from cnn.models.build import build_model
    from cnn.training.saving import write_model

    folder, head = tmp_path_factory.mktemp("models"), Head(class_names=("x", "y", "z"))
    for seed in (1, 2):
        model = build_model(Recipe.model_validate({"model": MODEL}).model, SHAPE, head, seed=seed)
        write_model(folder / f"{seed}.keras", model)
    return folder


@pytest.fixture
def registry(tmp_path, model_files):
    """A registry whose champion is the first model, the second its only other version."""
    made = MemoryRegistry(tmp_path / "registry")
    for seed in (1, 2):
        candidate = Candidate(
            model=model_files / f"{seed}.keras", run_key="night/candidate", labels=("x", "y", "z"), image_shape=SHAPE,
            example=None, lineage={"data_hash": str(seed)},
        )  # fmt: skip
        made.register("cats", candidate)
    made.set_alias(made.version("cats", 1), CHAMPION)
    return made


def recipe(source, **section):
    return Recipe.model_validate({"model": MODEL, "transfer": {"from": str(source)} | section})


def found(source, registry=None, **section):
    return started(recipe(source, **section), SHAPE, lambda: registry)


def equal(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_an_alias_becomes_a_number_and_a_digest(registry, model_files):
    named, weights = found("models:/cats@champion", registry)
    # Whoever trains this recipe later starts from the same version, wherever the champion is by then.
    assert named.transfer.from_ == "models:/cats/1"
    assert named.transfer.sha256 == sha256_of(model_files / "1.keras")
    again, same = started(named, SHAPE, lambda: registry)
    assert again == named and equal(weights, same)
    # The runs say so too.
    assert start_tags(named) == {"transfer_from": "models:/cats/1", "transfer_sha256": named.transfer.sha256}


def test_a_file_is_named_by_its_digest(model_files, registry):
    path = model_files / "2.keras"
    named, weights = found(path)
    assert (named.transfer.from_, named.transfer.sha256) == (str(path), sha256_of(path))
    # It is the same model as the registered one, and gives the same weights.
    assert equal(weights, found("models:/cats/2", registry)[1])
    assert not equal(weights, found("models:/cats/1", registry)[1])


def test_a_recipe_that_starts_from_nothing_stays_as_it_is():
    plain = Recipe()
    # No registry is opened, no framework loaded, no tag written.
    assert started(plain, SHAPE, None) == (plain, None)
    assert kept_start(plain, None, SHAPE, None) is plain
    assert start_tags(plain) == {}


@pytest.mark.parametrize("source", ["models:/cats@nobody", "models:/cats/9", "models:/dogs/1", "nothing.keras"])
def test_a_source_that_is_not_there_is_one_line(registry, source):
    with pytest.raises(ConfigError, match="no such"):
        found(source, registry)


def test_a_version_of_others_is_not_started_from(registry):
    registry._versions["cats"].append(Version(name="cats", number=3, source="elsewhere", tags={}))
    # It has no digest that somebody vouches for.
    with pytest.raises(ConfigError, match="version 3, registered by others"):
        found("models:/cats/3", registry)


def test_tampered_bytes_are_refused(registry, model_files, tmp_path):
    stored = tmp_path / "registry/cats/1/model.keras"
    stored.write_bytes(stored.read_bytes() + b"x")
    # A version is what was registered, or nothing.
    with pytest.raises(IntegrityError, match=r"model\.keras: received sha256"):
        found("models:/cats@champion", registry)
    copy = tmp_path / "own.keras"
    shutil.copy(model_files / "1.keras", copy)
    named, _ = found(copy)
    shutil.copy(model_files / "2.keras", copy)
    # A file that has changed since the recipe was written down is refused as well.
    with pytest.raises(IntegrityError, match=f"expected sha256 {named.transfer.sha256}"):
        started(named, SHAPE, None)


def test_what_could_run_code_is_refused(model_files, tmp_path):
    with pytest.raises(ValueError, match=r"FILE\.keras"):
        recipe("model.h5")
    bad = tmp_path / "lambda.keras"
    with zipfile.ZipFile(model_files / "1.keras") as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["class_name"] = "Lambda"
                content = json.dumps(config).encode()
            target.writestr(name, content)
    # It is never loaded, not even in safe mode.
    with pytest.raises(IntegrityError, match="a Lambda in it, which runs code of its own"):
        found(bad)
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(IntegrityError, match=r"expected a \.keras model"):
        found(tmp_path / "text.keras")


def test_a_champion_that_moves_during_a_search_changes_nothing(registry, tmp_path, model_files):
    study, asked = tmp_path / "study", recipe("models:/cats@champion")
    first = kept_start(asked, study, SHAPE, lambda: registry)
    registry.set_alias(registry.version("cats", 2), CHAMPION)
    # The search that goes on asks no registry; what its workers read is what they have read before.
    assert kept_start(asked, study, SHAPE, None) == first
    assert equal(kept_weights(study), found(model_files / "1.keras")[1])
    # A new search starts from the new champion.
    assert kept_start(asked, tmp_path / "other", SHAPE, lambda: registry).transfer.from_ == "models:/cats/2"


def test_kept_weights_that_are_damaged_are_found_again_or_named(registry, tmp_path):
    study, asked = tmp_path / "study", recipe("models:/cats@champion")
    first = kept_start(asked, study, SHAPE, lambda: registry)
    whole = (study / "trials/backbone.npz").read_bytes()
    (study / "trials/backbone.npz").write_bytes(whole[:-9])
    # No worker uses them.
    with pytest.raises(IntegrityError, match=r"backbone\.npz"):
        kept_weights(study)
    registry.set_alias(registry.version("cats", 2), CHAMPION)
    # They are fetched once more from the version they came from, byte for byte.
    assert kept_start(asked, study, SHAPE, lambda: registry) == first
    assert (study / "trials/backbone.npz").read_bytes() == whole


@pytest.mark.parametrize("path", ["transfer.from", "transfer.sha256", "transfer.then.epochs"])
def test_the_source_is_no_dimension(path):
    base = recipe("imagenet", then={})
    check_start_is_fixed(base, ["transfer.freeze", "transfer.then.learning_rate", "optimizer.learning_rate"])
    with pytest.raises(SpaceError, match=f"search.space.{path}: received a dimension"):
        check_start_is_fixed(base, ["transfer.freeze", path])


@pytest.mark.parametrize("path", ["model.filters", "model.family", "model.activation", "model.batch_norm"])
def test_the_network_is_the_source_s(path):
    base = recipe("imagenet")
    check_start_is_fixed(base, ["model.dropout", "model.head_dropout", "model.batch_norm_momentum"])
    # Each trial but those with the source's own value would fail.
    with pytest.raises(SpaceError, match=rf"search.space.{path}: .* only dropout and batch_norm_momentum"):
        check_start_is_fixed(base, ["model.dropout", path])
    # Who starts from nothing may search anything.
    check_start_is_fixed(Recipe(), ["model.dropout", path])


MISFITS = {
    "width": ({"filters": 3}, {}, r"layer block1_conv1: kernel \(3, 3, 1, 2\) in the source; expected kernel"),
    "activation": ({"activation": "elu"}, {}, r"layer block1_conv1: Conv2D, activation relu, .*expected .* elu"),
    "pooling": ({"pooling": "average"}, {}, r"layer block1_pool: MaxPooling2D.*expected AveragePooling2D"),
    "stages": ({}, {"freeze": 2}, r"transfer\.freeze: received 2; expected all, none or 1 to 1"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_source_that_does_not_fit_is_found_before_any_trial(model_files, tmp_path, name):
    model, section, words = MISFITS[name]
    document = {"model": MODEL | model, "transfer": {"from": str(model_files / "1.keras")} | section}
    # The weights of a network with other functions would be taken without a word, and be worth nothing.
    with pytest.raises(ConfigError, match=words):
        kept_start(Recipe.model_validate(document), tmp_path / "study", SHAPE, None)
    # Nothing is kept of it.
    assert not list(tmp_path.rglob("*.npz"))


def test_dropout_is_the_recipe_s_own(model_files):
    document = {"model": MODEL | {"dropout": 0.3, "head_dropout": 0.2}, "transfer": {"from": f"{model_files}/1.keras"}}
    # It has no weights, and a source without it serves as well.
    assert started(Recipe.model_validate(document), SHAPE, None)[1]


def test_a_source_of_nan_is_named(model_files, tmp_path):
    import keras

    model = keras.saving.load_model(model_files / "1.keras")
    model.get_layer("dense").bias.assign([0.0, np.nan, 0.0, 0.0])
    model.save(tmp_path / "nan.keras")
    # A training that ends in its first epoch would have the learning rate blamed.
    with pytest.raises(ConfigError, match="received NaN or infinity in dense/bias"):
        found(tmp_path / "nan.keras")


def test_what_training_writes_is_no_source(model_files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs/train").mkdir(parents=True)
    shutil.copy(model_files / "1.keras", "outputs/train/model.keras")
    # DVC removes it before the stage that would read it, and the next training would find another file.
    for place in ("outputs/train/model.keras", tmp_path / "outputs/search/../train/model.keras"):
        with pytest.raises(ConfigError, match="which cnn train writes anew; expected a file that stays as it is"):
            found(place)


def test_the_weights_of_a_study_go_with_its_end(registry, tmp_path):
    study, asked = tmp_path / "study", recipe("models:/cats@champion")
    named = kept_start(asked, study, SHAPE, lambda: registry)
    drop_start(study)
    # Nothing of a network's size stays, but what it was.
    assert not list(study.rglob("*.npz"))
    assert max(path.stat().st_size for path in study.rglob("*") if path.is_file()) < 1000
    drop_start(study)
    registry.set_alias(registry.version("cats", 2), CHAMPION)
    # A night whose stage runs once more finds the same again.
    assert kept_start(asked, study, SHAPE, lambda: registry) == named
    assert kept_weights(study).keys() == started(named, SHAPE, lambda: registry)[1].keys()


def test_imagenet_weights_are_those_of_published_networks():
    # Before anything is downloaded it is said which networks there are.
    with pytest.raises(ConfigError, match="received imagenet for network plain; expected one of vgg16, "):
        started(recipe("imagenet"), (8, 8, 3), None)
    small = Recipe.model_validate({"model": {"family": "vgg"}, "transfer": {"from": "imagenet"}})
    with pytest.raises(ConfigError, match="imagenet for network small"):
        started(small, (32, 32, 3), None)
    published = Recipe.model_validate(
        {"model": {"family": "vgg", "network": "vgg16"}, "transfer": {"from": "imagenet"}}
    )
    with pytest.raises(ConfigError, match=r"images of 1 channel; expected images of 3 channels"):
        started(published, (32, 32, 1), None)


IMAGENET = """
import json, os, sys
from pathlib import Path

import keras

from cnn.config.recipe import Recipe
from cnn.errors import SourceError
from cnn.models.build import build_model
from cnn.records import Head
from cnn.steps.weights import started
from cnn.training.transfer import backbone_weights, start_from

def recipe(network):
    model = {"family": "mobilenet", "network": network}
    return Recipe.model_validate({"model": model, "transfer": {"from": "imagenet", "freeze": 2}})

try:
    started(recipe("mobilenet_v1"), (64, 64, 3), None)
except SourceError as error:
    said = str(error)
theirs = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(224, 224, 3))
cache = Path(os.environ["KERAS_HOME"]) / "models"
cache.mkdir(parents=True, exist_ok=True)
theirs.save(cache / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5")
named, weights = started(recipe("mobilenet_v2"), (64, 64, 3), None)
ours = build_model(named.model, (64, 64, 3), Head(class_names=("a", "b")), seed=0)
start_from(ours, weights, named.transfer)
wanted = {f"{layer.name}/{v.name}": v.numpy() for layer in theirs.layers for v in layer.weights}
taken = backbone_weights(ours)
frozen = [layer.name for layer in ours.layers if layer.weights and not layer.trainable]
print(json.dumps({
    "said": said,
    "same": sorted(wanted) == sorted(taken) and all((wanted[name] == taken[name]).all() for name in wanted),
    "again": started(named, (64, 64, 3), None)[0] == named,
    "frozen": [frozen[0], frozen[-1]],
}))
"""


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A process of its own, since Keras looks at KERAS_HOME once: nothing to be reached, one file in the cache."""
    home = str(tmp_path_factory.mktemp("keras"))
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    run = subprocess.run(
        [sys.executable, "-c", IMAGENET], env=os.environ | nowhere | {"KERAS_HOME": home}, capture_output=True,
        text=True, check=True, timeout=300,
    )  # fmt: skip
    return json.loads(run.stdout.splitlines()[-1])


def test_imagenet_weights_out_of_reach_are_one_line(imagenet):
    line = imagenet["said"]
    # What was tried, and what can be done.
    assert "no weights of mobilenet_v1 from https://" in line and "KERAS_HOME/models" in line and "\n" not in line


def test_imagenet_weights_are_taken_whole(imagenet):
    # Every layer of Keras's published network is found in ours by its name, whatever the size of the images.
    assert imagenet["same"]
    # The recipe names them for good.
    assert imagenet["again"]
    # Two stages of it are what works at 112 and at 56 pixels of 224.
    assert imagenet["frozen"] == ["Conv1", "block_3_expand_BN"]


def test_a_candidate_says_what_it_started_from(tmp_path, model_files, capsys):
    labels = np.arange(40) % 2
    images = np.repeat(labels.astype(np.uint8) * 100, 64).reshape(40, *SHAPE)
    part = {name: Split(images=images, labels=labels) for name in ("train", "validation", "test")}
    data = DataSet(source="digits", place="here", class_names=("a", "b"), train=part["train"], test=part["test"])
    write_prepared(tmp_path / "data", data, part)
    chosen = recipe(model_files / "1.keras", then={"epochs": 1})
    (tmp_path / "recipe.yaml").write_text(chosen.model_dump_json())
    space = {"model.filters": {"type": "int", "low": 1, "high": 2}}
    sections = {"prepare": {"source": "digits"}, "search": {"space": space, "budget": {"trials": 1}}}
    params = Params.model_validate(sections | {"train": {"recipe": str(tmp_path / "recipe.yaml"), "epochs": 1}})
    tracker, environment = MemoryTracker(), Environment(home=tmp_path / "home")
    document = train(params, environment, tracker, data=tmp_path / "data", out=tmp_path / "train")
    said = capsys.readouterr().out
    # On the screen: from what, what of it stays, whose epochs count, and when fine-tuning begins.
    assert f"{model_files}/1.keras, all its layers frozen, for at most 1 epochs (of train.epochs, whatever" in said
    first, last = said.index("epoch 1/2"), said.index("epoch 2/2")
    assert first < said.index("fine-tuning begins: all layers move, at most 1 epochs") < last
    digest = sha256_of(model_files / "1.keras")
    # The section's epochs are the first phase's; fine-tuning comes on top.
    assert document["n_epochs"] == 2
    # What it started from stands in the candidate's own file, its params and its tags.
    assert document["recipe"]["transfer"]["sha256"] == digest
    logged = tracker.read_run(document["key"])
    assert logged.tags["transfer_sha256"] == digest and logged.tags["transfer_from"].endswith("1.keras")

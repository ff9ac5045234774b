"""A version leaves in other formats, and answers there as it does here."""

import importlib.util
import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from cnn import wiring
from cnn.commands.export import export, parity_of
from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared
from cnn.durable import sha256_of
from cnn.errors import ConfigError, IntegrityError
from cnn.evaluation.predictions import Predictions, write_predictions
from cnn.exporting.formats import FORMATS, Format
from cnn.records import Head, Task
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.registry import CHAMPION, Candidate, MemoryRegistry

pytestmark = pytest.mark.slow

NAME, SHAPE, CLASSES = "cnn-overnight", (6, 6, 3), ("cat", "dog", "owl")
PARAMS = read_params(Path(__file__).resolve().parents[2] / "params.yaml", [f"register.name={NAME}"])
HAS_ONNX = all(importlib.util.find_spec(package) for package in FORMATS["onnx"].packages)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (40, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def registered(tmp_path_factory, images):
    """A registry whose champion is a small network that was really trained."""
    import keras

    folder = tmp_path_factory.mktemp("registered")
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(),
        keras.layers.ReLU(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(0.5),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input(SHAPE, dtype="uint8"), *layers, keras.layers.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, np.arange(40) % 3, epochs=2, verbose=0)
    model = keras.Sequential([keras.Input(SHAPE, dtype="uint8"), *model.layers])  # without its optimizer
    model.save(folder / "model.keras")
    (folder / "model_card.md").write_text("# a card\n")
    head = Head(class_names=CLASSES)
    probs = model.predict_on_batch(images)
    write_predictions(folder / "predictions.npz", Predictions(labels=np.arange(40) % 3, probs=probs, head=head))
    registry = MemoryRegistry(folder / "registry")
    version = registry.register(
        NAME,
        Candidate(
            model=folder / "model.keras", run_key="night-1/candidate", labels=CLASSES, image_shape=SHAPE,
            example=images[:1], lineage={"git_revision": "abc", "night": "night-1"}, tags={"images.resize": "pad"},
            files=(folder / "predictions.npz", folder / "model_card.md"),
        ),
    )  # fmt: skip
    registry.set_alias(version, CHAMPION)
    return SimpleNamespace(registry=registry, version=version, model=model)


@pytest.fixture
def house(tmp_path, monkeypatch, images, registered):
    """A project's folder with prepared images, in which commands run; its registry is the shipped one for tests."""
    split = Split(images=images, labels=np.arange(40) % 3)
    data = DataSet(source="digits", place="here", class_names=CLASSES, train=split, test=split)
    write_prepared(tmp_path / "data/prepared", data, {"train": split, "validation": split, "test": split})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "registry", lambda environment: registered.registry)
    monkeypatch.setattr(wiring, "reader", lambda environment: MemoryTracker())
    return tmp_path


def exported(form, what="champion", **options):
    screen = Console(file=io.StringIO(), width=200)
    parity = export(what, PARAMS, Environment(), screen, form=form, **options)
    return parity, screen.file.getvalue()


@pytest.mark.parametrize(
    "form",
    ["keras", "savedmodel", "tflite", pytest.param("onnx", marks=pytest.mark.skipif(not HAS_ONNX, reason="no ONNX"))],
)
def test_an_export_answers_as_the_model_does(house, registered, images, form):
    parity, said = exported(form)
    folder = house / "outputs/exports" / f"{NAME}-1-{form}"
    # On all validation images, to the rounding of float32.
    assert parity.n == 40 and parity.n_labels == 0
    assert parity.largest < 1e-5
    # What the screen names lies there, with labels and card, and without its maker it says what it said.
    assert str(folder.relative_to(house)) in said and "labels that differ 0" in said
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [FORMATS[form].file, "labels.json", "model_card.md"]
    )
    answers = FORMATS[form].runner(folder / FORMATS[form].file)(images[:7])
    np.testing.assert_allclose(answers, registered.model.predict_on_batch(images)[:7], atol=1e-5)


def test_the_labels_say_what_goes_in_and_what_comes_out(house, registered):
    exported("keras", what="night-1")
    folder = house / "outputs/exports" / f"{NAME}-1-keras"
    labels = json.loads((folder / "labels.json").read_text())
    assert labels["class_names"] == list(CLASSES)
    assert labels["input"] == {"shape": [None, 6, 6, 3], "type": "uint8", "range": [0, 255]}
    # How pictures of other sizes are brought to it, as they were for training.
    assert (labels["resize"], labels["version"]) == ("pad", 1)
    # The Keras file is the registered one, byte for byte.
    assert sha256_of(folder / "model.keras") == labels["sha256"] == registered.version.tags["sha256"]


def test_a_second_export_replaces_the_first_and_nothing_else(house):
    exported("tflite", into=house / "out")
    exported("keras", into=house / "out")
    # Nothing of the first, which answers for another model perhaps, stays beside the second.
    assert {path.name for path in (house / "out").iterdir()} == {"model.keras", "labels.json", "model_card.md"}
    (house / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"received thesis\.tex in it; expected a new folder or an earlier export"):
        exported("keras", into=house / "out")
    # Labels beside it do not make a folder ours.
    assert (house / "out" / "thesis.tex").exists() and (house / "out" / "model.keras").exists()


def test_an_export_that_answers_otherwise_is_not_handed_out(house, monkeypatch):
    def forgetful(path):
        right = FORMATS["keras"].runner(path)
        return lambda images: np.roll(right(images), 1, axis=1)

    wrong = Format(file="model.keras", write=FORMATS["keras"].write, runner=forgetful)
    monkeypatch.setattr("cnn.exporting.formats.FORMATS", {**FORMATS, "wrong": wrong})
    with pytest.raises(IntegrityError, match=r"expected probabilities within 0\.001"):
        exported("wrong")
    assert not (house / "outputs/exports").exists()


@pytest.mark.skipif(HAS_ONNX, reason="ONNX is installed")
def test_a_missing_package_is_named(house):
    with pytest.raises(ConfigError, match=r"no package .*onnx.*run pip install 'cnn-overnight\[onnx\]'"):
        exported("onnx")


@pytest.mark.parametrize(
    ("what", "form", "line"),
    [
        ("champion", "gguf", r"--format: received gguf; expected one of keras, savedmodel, tflite, onnx"),
        ("7", "keras", r"7: received no such version"),
        ("night-9", "keras", r"night-9: received no such version"),
    ],
)
def test_a_mistake_is_one_line(house, what, form, line):
    with pytest.raises(ConfigError, match=line):
        exported(form, what=what)


def test_images_of_another_shape_cannot_check_it(house, images):
    split = Split(images=images[:, :4], labels=np.arange(40) % 3)
    data = DataSet(source="digits", place="here", class_names=CLASSES, train=split, test=split)
    write_prepared(house / "data/prepared", data, {"train": split, "validation": split, "test": split})
    with pytest.raises(ConfigError, match=r"images of 4x6x3; expected images of 6x6x3"):
        exported("keras")


def test_parity_counts_answers_as_the_task_makes_them():
    then = np.float32([[0.6, 0.4], [0.45, 0.55]])
    now = np.float32([[0.6, 0.4], [0.52, 0.48]])
    labels = np.array([0, 1])
    one_of_two = Predictions(labels=labels, probs=then, head=Head(class_names=("a", "b"), task=Task.BINARY))
    parity = parity_of(then, now, one_of_two)
    assert (parity.n, parity.n_labels, round(parity.largest, 4)) == (2, 1, 0.07)
    # With a threshold of 0.45 both say yes.
    low = Predictions(labels=labels, probs=then, head=one_of_two.head, thresholds=(0.45,))
    assert parity_of(then, now, low).n_labels == 0

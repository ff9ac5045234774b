"""The evaluate step on real images, with a real model file."""

import numpy as np
import pytest
from making import epoch_row

from cnn.config.environment import read_environment
from cnn.config.reading import read_params
from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.data.prepared.splits import make_splits
from cnn.data.prepared.store import write_prepared
from cnn.data.sources.catalogue import load_source
from cnn.durable import read_sealed, sha256_of, write_sealed
from cnn.errors import IntegrityError
from cnn.evaluation.predictions import read_predictions
from cnn.steps.evaluate import evaluate
from cnn.steps.train import curve_table
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.tracker import Run

pytestmark = pytest.mark.slow
KEY = "study/candidate"


@pytest.fixture(scope="module")
def params():
    return read_params(overrides=["prepare.source=digits", "evaluate.batch_size=100"])


@pytest.fixture
def prepared(tmp_path, params):
    digits = load_source(params.prepare, tmp_path, tmp_path)
    return write_prepared(tmp_path / "data", digits, make_splits(digits, params.prepare))


@pytest.fixture
def trained(tmp_path, prepared):
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input(prepared.image_shape, dtype="uint8"), keras.layers.Rescaling(1 / 16), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(10, activation="softmax")])
    folder = tmp_path / "train"
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "curves.csv").write_text(curve_table((epoch_row(0), epoch_row(1))))
    describe(folder, prepared)
    return folder


def describe(folder, prepared, **changes):
    document = {
        "key": KEY,
        "model_sha256": sha256_of(folder / "model.keras"),
        "data_hash": prepared.data_hash,
        "gap_at_best": 0.03,
        "recipe": Recipe().model_dump(mode="json"),
    }
    write_sealed(folder / "train.json", document | changes)


def run(params, tmp_path, out="evaluate"):
    tracker = MemoryTracker()
    tracker.start(Run(key=KEY, name="candidate"))
    folders = {"data": tmp_path / "data", "trained": tmp_path / "train", "out": tmp_path / out}
    return evaluate(params, read_environment(), tracker, **folders), tracker


def test_a_candidate_is_measured_on_all_test_images(tmp_path, params, prepared, trained, capsys):
    metrics, tracker = run(params, tmp_path)
    # The person at the terminal reads the same figure.
    assert f"accuracy {metrics.accuracy:.4f}" in capsys.readouterr().out
    document = read_sealed(tmp_path / "evaluate/evaluate.json")
    predictions = read_predictions(tmp_path / "evaluate/predictions.npz", document["predictions_sha256"])
    # Every test image has its prediction, and the prediction is a distribution over the classes.
    assert predictions.probs.shape == (prepared.n_images["test"], 10)
    assert np.abs(predictions.probs.sum(axis=1) - 1).max() < 1e-5
    # The accuracy in the file is that of the predictions in the file.
    assert document["accuracy"] == predictions.correct.mean() == metrics.accuracy
    logged = tracker.read_run(KEY)
    # The candidate's own run shows the figures, and the pictures.
    assert logged.figures["test_accuracy"] == metrics.accuracy and logged.figures["test_loss"] == metrics.loss
    assert {"test/confusion.png", "test/per_class.png", "test/report.html"} <= set(logged.files)
    run(params, tmp_path, out="again")
    # Once more gives the same bytes: DVC has nothing to do.
    for path in (path for path in (tmp_path / "evaluate").rglob("*") if path.is_file()):
        assert sha256_of(path) == sha256_of(tmp_path / "again" / path.relative_to(tmp_path / "evaluate")), path.name


def test_a_changed_model_file_is_never_loaded(tmp_path, params, trained):
    content = bytearray((trained / "model.keras").read_bytes())
    content[-10] ^= 1
    (trained / "model.keras").write_bytes(content)
    # The digest is checked before Keras reads a byte.
    with pytest.raises(IntegrityError, match=r"model\.keras"):
        run(params, tmp_path)
    # Nothing is left that looks like a result.
    assert not (tmp_path / "evaluate").exists()


def test_a_flipped_test_image_is_never_used(tmp_path, params, trained):
    path = tmp_path / "data/test/images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    # A figure measured on damaged images would be wrong without a sign of it.
    with pytest.raises(IntegrityError, match=r"images\.npy"):
        run(params, tmp_path)


def test_a_model_of_other_data_is_refused(tmp_path, params, prepared, trained):
    describe(trained, prepared, data_hash="0" * 64)
    # Its training images may be among these test images.
    with pytest.raises(IntegrityError, match="trained on data 000000000000"):
        run(params, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"task": "binary", "class_names": ["odd", "even"]},
        {"task": "hierarchical", "class_names": list("0123456789"), "ancestors": [["all"]] * 10},
        {"task": "multiclass", "class_names": list("9876543210")},
    ],
    ids=["task", "tree", "order of classes"],
)
def test_a_model_of_another_task_is_refused(tmp_path, params, prepared, trained, changes):
    describe(trained, prepared, **changes)
    # Its answers are to another question, whatever the images.
    with pytest.raises(IntegrityError, match=f"a {changes['task']} model of .* expected one of the multiclass task"):
        run(params, tmp_path)


def test_other_test_images_have_another_hash(tmp_path, params, prepared, trained):
    run(params, tmp_path)
    digits = load_source(params.prepare, tmp_path, tmp_path)
    splits = make_splits(digits, params.prepare)
    test = splits["test"]
    swapped = Split(images=test.images[::-1].copy(), labels=test.labels[::-1].copy())
    describe(trained, write_prepared(tmp_path / "data", digits, splits | {"test": swapped}))
    run(params, tmp_path, out="swapped")
    first, second = (read_sealed(tmp_path / out / "evaluate.json")["test_hash"] for out in ("evaluate", "swapped"))
    # Also the order counts: predictions are paired by their place.
    assert first != second

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from cnn.durable import read_sealed, sha256_of
from cnn.errors import IntegrityError
from cnn.evaluation.metrics import multiclass_metrics
from cnn.evaluation.predictions import Predictions, predict, read_predictions, write_predictions
from cnn.evaluation.report import write_report
from cnn.records import Head, Task

NAMES = ("cat, tame", "dog", "owl")


@pytest.fixture
def predictions():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), 50).astype(np.float32)
    return Predictions(labels=rng.integers(0, 3, 50), probs=probs, head=Head(class_names=NAMES))


def report(folder, predictions):
    metrics = multiclass_metrics(predictions.labels, predictions.probs, NAMES, confidence=0.95)
    return metrics, write_report(
        folder, metrics, predictions, figures={"gap_at_best": 0.02}, facts={"test_hash": "abc"}
    )


def table(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_do_not_change_the_answer(batch_size):
    images = np.arange(7, dtype=np.uint8).reshape(7, 1, 1, 1)
    sizes = []

    def model(batch):
        sizes.append(len(batch))
        return np.stack([batch[:, 0, 0, 0] / 10, 1 - batch[:, 0, 0, 0] / 10], axis=1)

    answer = predict(model, images, np.zeros(7), batch_size=batch_size)
    # Each image keeps its own row, in the order of the set.
    assert answer.probs[:, 0].tolist() == pytest.approx([index / 10 for index in range(7)])
    # No batch is larger than was asked for, and none is empty.
    assert sum(sizes) == 7 and max(sizes) <= batch_size and min(sizes) >= 1


def test_predictions_read_back_as_they_were(tmp_path, predictions):
    write_predictions(tmp_path / "predictions.npz", predictions)
    back = read_predictions(tmp_path / "predictions.npz", sha256_of(tmp_path / "predictions.npz"))
    # Bit by bit, or a paired test would compare something else.
    assert (back.probs.dtype, back.probs.tobytes()) == (np.float32, predictions.probs.tobytes())
    # Which images are right follows from what is kept.
    assert back.correct.tolist() == (predictions.probs.argmax(axis=1) == predictions.labels).tolist()


def test_predictions_say_what_their_columns_mean(tmp_path, predictions):
    path = tmp_path / "predictions.npz"
    tree = Head(class_names=NAMES, task=Task.HIERARCHICAL, ancestors=(("tame",), ("tame",), ("wild",)))
    files = tuple(f"owls/größer {n}.png" for n in range(50))
    write_predictions(path, replace(predictions, head=tree, thresholds=(0.25,), names=files))
    # Two models can be compared only where a column is the same class in both.
    back = read_predictions(path, sha256_of(path))
    assert (back.head, back.thresholds) == (tree, (0.25,))
    # A row is an image of the user's own, which has a name.
    assert back.names == files
    np.savez(path, index=np.arange(50), labels=predictions.labels, probs=predictions.probs, class_names=NAMES)
    # Those kept before there were tasks are of one of k classes.
    assert read_predictions(path, sha256_of(path)).head == Head(class_names=NAMES)
    np.savez(path, index=np.arange(50), labels=predictions.labels, probs=predictions.probs)
    # Those kept before names were are read as well.
    assert read_predictions(path, sha256_of(path)).class_names == ()


def test_a_flipped_byte_is_named_and_not_used(tmp_path, predictions):
    path = tmp_path / "predictions.npz"
    write_predictions(path, predictions)
    sha256, content = sha256_of(path), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    # Damaged predictions decide about no champion.
    with pytest.raises(IntegrityError, match=r"predictions\.npz"):
        read_predictions(path, sha256)


def test_a_report_says_the_same_in_every_file(tmp_path, predictions):
    metrics, files = report(tmp_path, predictions)
    document = read_sealed(tmp_path / "evaluate.json")
    # The figures are those that were computed.
    assert document["accuracy"] == metrics.accuracy and document["macro_f1"] == metrics.macro_f1
    figures = json.loads((tmp_path / "metrics.json").read_text())
    # DVC shows numbers: the file of figures has nothing else, and they are the same.
    assert all(math.isfinite(figure) for figure in figures.values())
    assert figures == {name: document[name] for name in figures}
    # The document vouches for the predictions.
    assert read_predictions(tmp_path / "predictions.npz", document["predictions_sha256"]).probs.shape == (50, 3)
    rows = table(tmp_path / "confusion.csv")
    right = sum(row["actual"] == row["predicted"] for row in rows)
    # The table has a line an image, and the same accuracy.
    assert len(rows) == 50 and right / 50 == metrics.accuracy
    classes = table(tmp_path / "per_class.csv")
    # A class's name survives its comma; the supports are all the images.
    assert [row["class"] for row in classes] == list(NAMES) and sum(int(row["support"]) for row in classes) == 50
    # What is worth a look is there.
    assert all(path.stat().st_size > 0 for path in files) and len(files) == 4


def test_the_same_results_give_the_same_bytes(tmp_path, predictions):
    report(tmp_path / "a", predictions)
    report(tmp_path / "b", predictions)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    # A second `dvc repro` on another day or machine must find nothing changed.
    assert [sha256_of(tmp_path / "a" / name) for name in names] == [sha256_of(tmp_path / "b" / name) for name in names]
    # All seven files took part.
    assert len(names) == 7

import csv
import math
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from making import epoch_row
from PIL import Image

from cnn.durable import sha256_of
from cnn.errors import StorageError
from cnn.evaluation.metrics import metrics_of, multiclass_metrics
from cnn.evaluation.metrics.figures import NONE
from cnn.evaluation.plots import confusion_picture, curve_picture, per_class_picture, ranking_picture
from cnn.evaluation.predictions import Predictions
from cnn.evaluation.report import write_report
from cnn.records import Head, Task


def row(epoch, value=0.5, loss=1.0):
    clean = {"clean_train_loss": loss * 0.8, "clean_train_accuracy": value}
    return epoch_row(epoch, accuracy=value - 0.1, val_loss=loss, **clean)


def rising(n):
    return tuple(row(epoch, 0.3 + 0.6 * epoch / n, 2.0 - epoch / n) for epoch in range(n))


def scored(n_classes, names=None):
    rng = np.random.default_rng(n_classes)
    labels = rng.integers(0, n_classes, 5 * n_classes)
    probs = rng.dirichlet(np.ones(n_classes), len(labels))
    names = names or [f"a class with a very long name indeed {index}" for index in range(n_classes)]
    return multiclass_metrics(labels, probs, names, confidence=0.95), names


def size(path):
    with Image.open(path) as image:
        image.load()
        return image.size


def colours(path):
    with Image.open(path) as image:
        return {colour[:3] for _, colour in image.convert("RGB").getcolors(maxcolors=2**24)}


@pytest.mark.parametrize(
    "curve",
    [
        rising(1),
        rising(2),
        rising(500),
        (row(0), row(1, math.nan, math.nan), row(2)),
        (row(0, math.nan, math.nan),),
        (row(0), row(1, 0.1, math.inf), row(2, 0.1, 1e9)),
    ],
    ids=["one epoch", "two", "500 epochs", "NaN between", "NaN alone", "diverged"],
)
def test_any_curve_gives_a_readable_picture(tmp_path, curve):
    curve_picture(curve, tmp_path / "curves.png", title="trial 7, $5 \\frac a fine title\nof two lines")
    # A decodable picture of one fixed shape, so that pictures of trials can be laid side by side.
    assert size(tmp_path / "curves.png") == (1100, 460)


def test_the_gap_is_shaded_between_two_lines(tmp_path):
    curve_picture(rising(30), tmp_path / "curves.png", title="shaded")
    drawn = colours(tmp_path / "curves.png")
    # Clean train and validation are there in their full colours.
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= drawn
    # The gap is there: orange (230, 159, 0), a quarter of it laid over white, to the rounding.
    assert any(np.abs(np.array(colour) - (248.75, 231, 191.25)).max() <= 1 for colour in drawn)


def test_the_best_epoch_is_the_best_of_those_with_figures(tmp_path):
    curve = (row(0, math.nan, math.nan), row(1, 0.9), row(2, 0.5))
    curve_picture(curve, tmp_path / "nan_first.png", title="x")
    curve_picture((row(0, math.nan, math.nan), row(1, 0.5), row(2, 0.9)), tmp_path / "other.png", title="x")
    # A NaN epoch neither wins nor hides the winner: another winner, another picture.
    assert sha256_of(tmp_path / "nan_first.png") != sha256_of(tmp_path / "other.png")


@pytest.mark.parametrize("n_classes", [2, 10, 100])
def test_any_number_of_classes_can_be_drawn(tmp_path, n_classes):
    metrics, names = scored(n_classes)
    confusion_picture(metrics.confusion, names, tmp_path / "confusion.png")
    per_class_picture(metrics, tmp_path / "per_class.png")
    # Every class has its line of pixels: more classes, a larger picture, and none too large for a browser.
    assert all(10 * n_classes < max(size(tmp_path / name)) < 5000 for name in ("confusion.png", "per_class.png"))


def test_class_names_are_text_and_never_formulas(tmp_path):
    metrics, names = scored(2, names=["$x_{", "50 % \\alpha $"])
    confusion_picture(metrics.confusion, names, tmp_path / "confusion.png")
    per_class_picture(metrics, tmp_path / "per_class.png")
    # A dollar or a brace in a name is drawn as it is; as a formula it would have failed to parse.
    assert size(tmp_path / "confusion.png") and size(tmp_path / "per_class.png")


def test_same_figures_same_bytes(tmp_path):
    metrics, names = scored(10)
    for folder in ("a", "b"):
        curve_picture(rising(5), tmp_path / folder / "curves.png", title="t")
        confusion_picture(metrics.confusion, names, tmp_path / folder / "confusion.png")
        per_class_picture(metrics, tmp_path / folder / "per_class.png")
    # DVC compares outputs by their bytes: nothing of the date or the machine may be in them.
    for name in ("curves.png", "confusion.png", "per_class.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_any_thread_may_draw(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    threads = [threading.Thread(target=curve_picture, args=(rising(5), path), kwargs={"title": "t"}) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Pictures drawn at once do not disturb each other.
    assert len({sha256_of(path) for path in paths}) == 1


def test_pictures_do_without_pyplot():
    script = "import sys, cnn.evaluation.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    # Its global list of figures would grow with every trial of a night.
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    # The user's mishap is one clear line, not a traceback.
    with pytest.raises(StorageError, match="file where a folder belongs"):
        curve_picture(rising(2), tmp_path / "file" / "curves.png", title="t")


def predictions_of(task, n_classes=3, n=60):
    rng = np.random.default_rng(1)
    names = tuple(f"class {number}" for number in range(n_classes))
    ancestors = tuple((("first",) if number == 0 else ("rest", "deeper")) for number in range(n_classes))
    head = Head(class_names=names, task=task, ancestors=ancestors if task is Task.HIERARCHICAL else ())
    labels, thresholds = np.arange(n) % n_classes, ()
    if task is Task.MULTILABEL:
        labels, thresholds = rng.integers(0, 2, (n, n_classes)), (0.3,) * n_classes
        labels[:, -1] = 0
    elif task is Task.BINARY:
        thresholds = (0.3,)
    probs = rng.dirichlet(np.ones(n_classes), n).astype(np.float32)
    return Predictions(labels=labels, probs=probs, head=head, thresholds=thresholds)


@pytest.mark.parametrize("task", Task)
def test_each_kind_of_classification_has_pictures_under_the_same_names(tmp_path, task):
    predictions = predictions_of(task, 2 if task is Task.BINARY else 3)
    metrics = metrics_of(predictions, confidence=0.95)
    for folder in ("a", "b"):
        write_report(tmp_path / folder, metrics, predictions, figures={}, facts={})
    for name in ("confusion.png", "per_class.png"):
        # DVC knows two names: whatever the task, both are there, can be read, and depend on the figures alone.
        assert min(size(tmp_path / "a" / name)) > 100
        assert sha256_of(tmp_path / "a" / name) == sha256_of(tmp_path / "b" / name)


def test_another_threshold_is_another_point_on_the_curves(tmp_path):
    one = predictions_of(Task.BINARY, 2)
    for name, predictions in (("one", one), ("other", replace(one, thresholds=(0.6,)))):
        metrics = metrics_of(predictions, confidence=0.95)
        ranking_picture(predictions.labels, predictions.probs[:, 1], metrics, tmp_path / f"{name}.png")
    # The curves are the same; what was chosen on them is marked.
    assert sha256_of(tmp_path / "one.png") != sha256_of(tmp_path / "other.png")


def test_missed_and_invented_labels_have_their_rows(tmp_path):
    predictions = predictions_of(Task.MULTILABEL)
    metrics = metrics_of(predictions, confidence=0.95)
    write_report(tmp_path, metrics, predictions, figures={}, facts={})
    rows = [tuple(row.values()) for row in csv.DictReader((tmp_path / "confusion.csv").read_text().splitlines())]
    names, counts = (*predictions.class_names, NONE), Counter(rows)
    # The table that DVC draws from is the matrix that is drawn here.
    expected = {
        (names[row], names[column]): count
        for (row, column), count in np.ndenumerate(np.array(metrics.confusion))
        if count
    }
    assert counts == expected

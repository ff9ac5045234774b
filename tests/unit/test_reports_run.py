"""The report of a run: a real small network on digits, whose classes bear hostile names; and every kind of task."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from making import epoch_row

from cnn.config.architectures import PlainRecipe
from cnn.config.recipe import Recipe
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import read_prepared, write_prepared
from cnn.durable import sha256_of
from cnn.evaluation.metrics import metrics_of
from cnn.evaluation.predictions import Predictions, predict
from cnn.evaluation.report import write_report
from cnn.records import Head, Task
from cnn.reports.run import write_run_report
from cnn.reports.run_images import certainty, confident_mistakes, right_answers
from cnn.reports.run_parts import RunFacts

pytestmark = pytest.mark.slow

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "$x_{$", "&lt;b&gt;", *"56789")
RECIPE = Recipe(model=PlainRecipe(blocks=2, filters=8, dense_units=16))


def head_of(task, names=HOSTILE):
    if task is Task.BINARY:
        return Head(class_names=names[:2], task=task)
    ancestors = (
        tuple((("low",) if index < 5 else ("high",)) for index in range(10)) if task is Task.HIERARCHICAL else ()
    )
    return Head(class_names=names, task=task, ancestors=ancestors)


def labels_of(task, targets):
    if task is Task.MULTILABEL:
        return np.eye(10, dtype=np.int64)[targets] | np.eye(10, dtype=np.int64)[(targets + 3) % 10]
    return targets % 2 if task is Task.BINARY else targets


@pytest.fixture(scope="module", params=list(Task))
def facts(request, tmp_path_factory):
    """A network trained for a second on real digits, measured on others."""
    import keras
    from sklearn.datasets import load_digits

    from cnn.models.build import build_model

    task, folder = request.param, tmp_path_factory.mktemp(request.param.value)
    digits, head = load_digits(), head_of(request.param)
    images, labels = (digits.images * 15).astype(np.uint8)[..., None], labels_of(task, digits.target)
    splits = {
        name: Split(images=images[part], labels=labels[part])
        for name, part in {"train": slice(900), "validation": slice(900, 1200), "test": slice(1200, 1797)}.items()
    }
    data = DataSet(source="digits", place="", class_names=head.class_names, train=splits["train"], test=None)
    write_prepared(folder / "data", data, splits, head)
    model = build_model(RECIPE.model, (8, 8, 1), head, seed=0)
    targets = labels[:900] if task is Task.MULTILABEL else np.eye(head.n_classes)[labels[:900]]
    loss = "binary_crossentropy" if task is Task.MULTILABEL else "categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(images[:900], targets, epochs=2, batch_size=64, verbose=0)
    test = splits["test"]
    made = predict(model.predict_on_batch, test.images, test.labels, batch_size=256, head=head)
    metrics = metrics_of(made, confidence=0.95)
    files = write_report(folder / "out", metrics, made, figures={}, facts={})
    rows = [epoch_row(n, 0.3 + 0.05 * n, clean_train_accuracy=0.3 + 0.1 * n, val_loss=1.5 + 0.1 * n) for n in range(6)]
    return RunFacts(
        prepared=read_prepared(folder / "data"),
        recipe=RECIPE.model_dump(mode="json"),
        curve=tuple(rows),
        metrics=metrics,
        predictions=made,
        files=files,
        images=test.images,
        model=model,
        confidence=0.95,
    )


class Reader(HTMLParser):
    """What a browser would see: elements, where they point, and text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.places, self.attributes, self.texts = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.places += [value for name, value in attrs if name in ("src", "href", "action", "data", "poster")]

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def page(facts, tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    files = write_run_report(out, facts)
    html = files[0].read_text(encoding="utf-8")
    return files, html, Reader(html)


def test_figures_and_verdict_stand_in_the_report(facts, page):
    _, _, read = page
    text = " ".join(read.texts)
    # What a person asks for first, to the same digits as metrics.json.
    metrics = facts.metrics
    for figure in (metrics.accuracy, metrics.accuracy_low, metrics.accuracy_high, metrics.macro_f1):
        assert f"{figure:.4f}" in text
    # The verdict on the curve with its evidence, and what to do, in order.
    assert facts.reading.words in text
    assert all(sentence in text for sentence in (*facts.reading.findings, *facts.reading.remedies))
    # The task's own score comes with it.
    own = metrics.figures()[facts.head.task.score_name]
    assert f"{own:.4f}" in text


def test_the_pictures_are_in_the_report_and_beside_it(facts, page):
    files, _, read = page
    names = {path.name for path in files}
    # Each picture is a file of its own, too.
    assert names == {"report.html", "curve.png", "calibration.png", "mistakes.png", "grad_cam.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files[1:])
    n_shown = len(confident_mistakes(facts, 12)) + len(confident_mistakes(facts, 6)) + len(right_answers(facts, 6))
    # Curve, calibration, those of the evaluation, and each image of a mistake or of where the network looks.
    assert read.tags.count("img") >= 3 + n_shown


def test_nothing_is_loaded_from_anywhere(page):
    _, html, read = page
    # All that is shown is in the file itself.
    assert read.places and all(place.startswith("data:image/png;base64,") for place in read.places)
    assert not re.search(r"https?://|url\(|@import", html)
    # A browser is told so, whatever stands in the file.
    assert "default-src 'none'" in html and "script-src" not in html


def test_names_are_text_whatever_they_are(facts, page):
    _, html, read = page
    # No name became an element, an attribute or an expression of the template.
    assert "script" not in read.tags and "onerror" not in read.attributes
    assert "<script>alert" not in html and ">49<" not in html
    # And each is shown as it is.
    text = "".join(read.texts)
    shown = [name for name in facts.head.class_names if name in text]
    assert HOSTILE[0] in shown and HOSTILE[1] in shown


def test_an_image_is_called_by_its_file_where_it_has_one(facts, page, tmp_path):
    _, _, read = page
    # Arrays have places only.
    assert "test image " in "".join(read.texts)
    files = tuple(f"{'deep/' * 8}<b>{n}</b>.png" for n in range(len(facts.images)))
    write_run_report(tmp_path, replace(facts, predictions=replace(facts.predictions, names=files)))
    named = Reader((tmp_path / "report.html").read_text())
    text = "".join(named.texts)
    # Of a long path the end is shown, which tells files apart, and it is text whatever it is.
    assert "test image " not in text and "</b>.png" in text and "b" not in named.tags
    assert all(f"<b>{n}</b>.png" in text for n in confident_mistakes(facts, 6))


def test_equal_facts_give_equal_bytes(facts, page, tmp_path):
    files, _, _ = page
    again = write_run_report(tmp_path, facts)
    # DVC compares outputs by their bytes: no date, no machine, nothing drawn at random.
    assert [sha256_of(path) for path in again] == [sha256_of(path) for path in files]


def test_mistakes_are_wrong_and_the_surest_first(facts):
    chosen = confident_mistakes(facts, 5)
    sure = certainty(facts.predictions)
    wrong = ~facts.predictions.correct
    # Every one is a mistake, and no other mistake was surer.
    assert wrong[chosen].all() and len(chosen) == min(5, wrong.sum())
    assert (np.diff(sure[chosen]) <= 0).all()
    assert not wrong.sum() > 5 or sure[chosen].min() >= np.sort(sure[wrong])[-5]


def test_right_answers_are_of_many_classes():
    labels = np.array([0] * 50 + [1, 2])
    probs = np.eye(3, dtype=np.float32)[labels]
    made = Predictions(labels=labels, probs=probs, head=Head(class_names=("a", "b", "c")))

    class Facts:
        predictions = made

    # Fifty images of one class do not hide the other two.
    assert set(labels[right_answers(Facts, 3)]) == {0, 1, 2}


def test_a_flawless_model_has_a_report(facts, tmp_path):
    from dataclasses import replace

    labels = facts.predictions.labels
    probs = (labels if labels.ndim == 2 else np.eye(facts.head.n_classes)[labels]).astype(np.float32)
    made = replace(facts.predictions, probs=probs)
    flawless = replace(facts, predictions=made, metrics=metrics_of(made, confidence=0.95))
    html = write_run_report(tmp_path, flawless)[0].read_text(encoding="utf-8")
    # No mistake to show is said, and is no mishap.
    assert "It made none." in html

"""A model card says what a version is, how good it is, and how far to trust it."""

from pathlib import Path

import pytest

from cnn.data.prepared.store import Prepared
from cnn.records import Head, Task
from cnn.reports.model_card import model_card

FACTS = {
    "gap_at_best": 0.0325,
    "recipe": {"model": {"family": "resnet"}, "transfer": None},
    "diagnosis": {"sentence": "well fitted: the gap has stopped growing"},
}
METRICS = {"n": 10_000, "accuracy": 0.8512, "accuracy_low": 0.8441, "accuracy_high": 0.8581, "loss": 0.4321}
LINEAGE = {"night": "night-2026-11-24-0100", "git_revision": "abc123", "data_hash": "d" * 64}


def prepared(source="cifar10", names=("cat", "dog"), task=Task.MULTICLASS):
    counts = {"train": 45_000, "validation": 5_000, "test": 10_000}
    return Prepared(
        folder=Path(), source=source, content_hash="c" * 64, image_shape=(32, 32, 3),
        head=Head(class_names=names, task=task), data_hash="d" * 64, n_images=counts, files={}, settings={},
    )  # fmt: skip


def card(facts=FACTS, metrics=METRICS, lineage=LINEAGE, **data):
    return model_card("cats", prepared(**data), facts, metrics, lineage, confidence=0.95)


@pytest.mark.parametrize(
    "line",
    [
        "# cats: a resnet network that tells 2 classes apart in images of 32x32x3",
        "- source cifar10: 45,000 train, 5,000 validation, 10,000 test",
        "- task multiclass: cat, dog",
        "## Measured on 10,000 test images",
        "- accuracy 0.8512 (0.8441 to 0.8581 at 95%)",
        "- loss 0.4321",
        "- gap +0.0325: clean training minus validation accuracy at the best epoch",
        "- well fitted: the gap has stopped growing",
        "- its accuracy is known to about 0.7 points: smaller differences to other models may be luck",
        "- git_revision: `abc123`",
        "- make it again: `cnn reproduce night-2026-11-24-0100`",
    ],
)
def test_each_fact_has_its_line(line):
    # What a person asks of a model stands in its card, in a line of its own.
    assert line in card().splitlines()


def test_the_tasks_own_score_comes_first():
    metrics = METRICS | {"task": "binary", "roc_auc": 0.93, "roc_auc_low": 0.92, "roc_auc_high": 0.94}
    lines = card(metrics=metrics).splitlines()
    at = lines.index("## Measured on 10,000 test images")
    assert lines[at + 1] == "- roc auc 0.9300 (0.9200 to 0.9400 at 95%)"


def test_many_classes_are_counted_not_listed():
    text = card(names=tuple(f"class {number}" for number in range(100)))
    assert "class 29 and 70 more" in text and "class 30," not in text


def test_whose_images_they_were_decides_about_the_licence():
    assert "learnt from your own images" in card(source="folder")
    assert "learnt from the data set cifar10" in card()


def test_what_it_started_from_is_a_limit():
    facts = FACTS | {"recipe": {"model": {"family": "resnet"}, "transfer": {"from": "imagenet"}}}
    assert "started from imagenet and inherits what that was trained on" in card(facts=facts)
    assert "inherits" not in card()


def test_a_version_without_a_night_is_made_again_by_its_number():
    assert "`cnn reproduce VERSION`" in card(lineage=LINEAGE | {"night": "none"})


def test_it_fits_into_the_registrys_description():
    # MLflow keeps 5,000 characters.
    assert len(card(names=tuple(f"a class of a long name, number {number}" for number in range(100)))) < 5000

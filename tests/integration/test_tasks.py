"""Each kind of classification from its images to its champion, on handwritten digits."""

import csv
import json

import numpy as np
import pytest

from cnn.commands.status import _version_facts
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.recipe import Recipe
from cnn.data.prepared.store import open_training, read_prepared
from cnn.durable import read_sealed, write_sealed
from cnn.errors import ConfigError, DataError
from cnn.evaluation.predictions import read_predictions
from cnn.records import Task
from cnn.search.job import EpochDone, Job, JobId, WorkerSetup
from cnn.search.trial import Trainer
from cnn.steps.evaluate import evaluate, load_model
from cnn.steps.prepare import prepare
from cnn.steps.promote import promote
from cnn.steps.register import register
from cnn.steps.train import train
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.registry import MemoryRegistry

pytestmark = pytest.mark.slow

NAMES = tuple("0123456789")
TREE = {"round": ["0", "6", "8", "9"], "straight": {"one stroke": ["1", "7"], "more": ["4"]}, "mixed": ["2", "3", "5"]}
RECIPE = Recipe.model_validate(
    {
        "model": {"blocks": 2, "filters": 16, "dense_units": 32},
        "optimizer": {"learning_rate": 0.01},
        "training": {"epochs": 6, "batch_size": 32},
    }
)
GOOD = {Task.MULTICLASS: 0.9, Task.BINARY: 0.97, Task.MULTILABEL: 0.85, Task.HIERARCHICAL: 0.9}
"""What six epochs reach at least, by the task's own score."""


def digits():
    from sklearn.datasets import load_digits

    found = load_digits()
    return (found.images * 15).astype(np.uint8), found.target


def save(path, task):
    """Real digits as an npz: as they are, by whether they are even, or two side by side with both labels."""
    images, labels = digits()
    names = NAMES
    if task is Task.BINARY:
        labels, names = 1 - labels % 2, ("odd", "even")
    if task is Task.MULTILABEL:
        partner = np.random.default_rng(0).permutation(len(images))
        images = np.concatenate([images, images[partner]], axis=2)
        labels = np.eye(10, dtype=np.uint8)[labels] | np.eye(10, dtype=np.uint8)[labels[partner]]
    np.savez(path, images=images, labels=labels, class_names=np.array(names))


class House:
    """A folder in which the steps are taken one after the other, with the shipped stand-ins for MLflow."""

    def __init__(self, folder, images, **changes):
        task = Task(changes.get("task", images))
        self.folder, self.environment = folder, Environment(home=folder / "home")
        self.tracker, self.registry = MemoryTracker(), MemoryRegistry(folder / "registry")
        save(folder / "digits.npz", images)
        section = {"source": "npz", "path": str(folder / "digits.npz"), "task": task.value} | changes
        if task is Task.HIERARCHICAL:
            section = {"tree": TREE} | section
        space = {"model.filters": {"type": "int", "low": 1, "high": 2}}
        document = {"prepare": section, "search": {"space": space, "budget": {"trials": 1}}}
        self.params = Params.model_validate(document)
        write_sealed(folder / "winner.yaml", {"recipe": RECIPE.model_dump(mode="json")})

    def prepare(self):
        return prepare(self.params, self.environment, self.folder / "data")

    def train(self):
        folders = {"data": self.folder / "data", "winner": self.folder / "winner.yaml", "out": self.folder / "train"}
        return train(self.params, self.environment, self.tracker, **folders)

    def evaluate(self):
        folders = {"data": self.folder / "data", "trained": self.folder / "train", "out": self.folder / "evaluate"}
        return evaluate(self.params, self.environment, self.tracker, **folders)

    def register(self):
        return register(
            self.params, self.environment, self.tracker, self.registry, data=self.folder / "data",
            trained=self.folder / "train", evaluated=self.folder / "evaluate",
        )  # fmt: skip

    def promote(self):
        return promote(self.params, self.environment, self.tracker, self.registry, data=self.folder / "data")


@pytest.fixture(scope="module", params=list(Task), ids=str)
def chain(request, tmp_path_factory):
    """A house in which all steps were taken, and what each gave."""
    house = House(tmp_path_factory.mktemp(request.param), request.param)
    return (
        request.param,
        house,
        [getattr(house, step)() for step in ("prepare", "train", "evaluate", "register", "promote")],
    )


def test_the_chain_ends_in_a_champion_that_is_good_at_its_task(chain):
    task, house, (prepared, trained, metrics, version, verdict) = chain
    # The images know their task, and every step after them has asked them.
    assert read_prepared(house.folder / "data").head.task is task is prepared.head.task
    assert (trained["task"], version.tags["task"]) == (task.value, task.value)
    # By the figure that its own search would have gone by, on images it never saw.
    assert metrics.figures()[task.score_name] > GOOD[task] and trained["best_val_score"] > GOOD[task]
    assert verdict.promoted and house.registry.version_by_alias(house.params.register_.name, "champion").number == 1


def test_the_curve_has_the_score_beside_the_accuracy(chain):
    task, house, (_, trained, *_) = chain
    epochs = house.tracker.read_run(trained["key"]).epochs
    # With one of k classes they are one figure; else they are two.
    assert all((row["val_score"] == row["val_accuracy"]) == (task is Task.MULTICLASS) for row in epochs[:2])
    # The weights that were kept are those of the best score.
    best = max(epochs, key=lambda row: (row["val_score"], -row["val_loss"]))
    assert (best["val_score"], best["val_accuracy"]) == (trained["best_val_score"], trained["best_val_accuracy"])


def test_thresholds_come_from_validation_and_go_with_the_model(chain, tmp_path):
    task, house, (prepared, trained, metrics, version, _) = chain
    needed = {Task.BINARY: 1, Task.MULTILABEL: 10}.get(task, 0)
    assert len(trained["thresholds"]) == needed
    kept = house.registry.download_file(version, "predictions.npz", tmp_path)
    predictions = read_predictions(kept, version.tags["sha256.predictions.npz"])
    # What promote compares was predicted with these thresholds, and says so.
    assert (predictions.head, predictions.thresholds) == (prepared.head, tuple(trained["thresholds"]))
    assert predictions.correct.mean() == metrics.accuracy
    # Whoever downloads the version finds them in a file and, being few, in its tags.
    held = read_sealed(house.registry.download_file(version, "train.json", tmp_path))
    assert held["thresholds"] == trained["thresholds"]
    assert len(version.tags.get("thresholds", "").split(", ")) == max(needed, 1)
    # Chosen on validation images they are at least as good there as 0.5 is.
    if task is Task.BINARY:
        from sklearn.metrics import f1_score

        _, validation = open_training(prepared)
        model = load_model(house.folder / "train/model.keras", trained["model_sha256"])
        positive = model.predict_on_batch(np.asarray(validation.images))[:, 1]
        chosen, even = (f1_score(validation.labels, positive >= cut) for cut in (trained["thresholds"][0], 0.5))
        assert chosen >= even


def test_every_task_writes_the_files_that_dvc_expects(chain):
    task, house, _ = chain
    names = {"evaluate.json", "predictions.npz", "per_class.csv", "metrics.json", "confusion.csv", "confusion.png"}
    # The pipeline is one, whatever the task.
    assert names | {"per_class.png"} <= {path.name for path in (house.folder / "evaluate").iterdir()}
    document = read_sealed(house.folder / "evaluate/evaluate.json")
    # The screens of the morning and of the champion find their figures there.
    assert document["task"] == task.value and {f"{task.score_name}{end}" for end in ("", "_low", "_high")} <= set(
        document
    )
    classes = list(csv.DictReader((house.folder / "evaluate/per_class.csv").read_text().splitlines()))
    assert len(classes) == (2 if task is Task.BINARY else 10)
    assert all(np.isfinite(list(json.loads((house.folder / "evaluate/metrics.json").read_text()).values())))


def test_the_champions_page_shows_the_tasks_own_score(chain):
    task, _, (_, _, metrics, version, _) = chain
    facts = _version_facts(version, [])
    # With one of k classes the accuracy says it all.
    words = {"test accuracy"} | ({"task", f"test {task.score_words}"} if task is not Task.MULTICLASS else set())
    assert words <= set(facts) and facts[f"test {task.score_words}"].startswith(
        f"{metrics.figures()[task.score_name]:.4f}"
    )


def test_a_search_goes_by_the_score(chain, tmp_path):
    _, house, _ = chain
    trainer = Trainer(WorkerSetup(data=house.folder / "data", train_limit=400, seed=0, threads=1))
    recipe = RECIPE.model_copy(update={"training": RECIPE.training.model_copy(update={"epochs": 2})})
    events = []
    trainer.run(Job(id=JobId(0), recipe=recipe.model_dump(mode="json"), seed=1, folder=tmp_path), events.append, bool)
    outcome = events[-1].outcome
    # What engines, finalists and the leaderboard read is the score of the best epoch.
    assert [type(event) for event in events[:-1]] == [EpochDone] * 2
    assert outcome.score == max(row.val_score for row in outcome.curve)


@pytest.mark.parametrize(
    ("task", "changes", "error", "words"),
    [
        (Task.MULTICLASS, {"task": "binary"}, DataError, "10 classes with prepare.task binary; expected 2 classes"),
        (Task.MULTICLASS, {"task": "multilabel"}, DataError, r"labels of shape \(1797,\)"),
        (Task.MULTILABEL, {"task": "multiclass"}, DataError, r"labels of shape \(\d+, 10\)"),
        (Task.HIERARCHICAL, {"tree": {"few": ["1", "2"]}}, ConfigError, "classes without a place: 0, 3"),
    ],
    ids=["ten classes", "one label", "many labels", "half a tree"],
)
def test_labels_that_do_not_fit_the_task_are_one_line(tmp_path, task, changes, error, words):
    house = House(tmp_path, task, **changes)
    # What was received, what would fit, and where to change it.
    with pytest.raises(error, match=words):
        house.prepare()
    # Nothing was written that could be trained on.
    assert not (tmp_path / "data/manifest.json").exists()

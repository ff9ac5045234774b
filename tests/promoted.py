"""Versions whose test is known, to be promoted: their models are files of the right kind and no networks."""

import zipfile
from contextlib import closing
from io import StringIO

import numpy as np
from rich.console import Console

from cnn.commands.history import history
from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.evaluation.predictions import Predictions, write_predictions
from cnn.promotion.log import DecisionLog
from cnn.promotion.rollback import rollback
from cnn.records import Head
from cnn.steps.promote import promote
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.promotions import append_promotion
from cnn.tracking.registry import CHALLENGER, CHAMPION, Candidate, MemoryRegistry
from cnn.tracking.tracker import Run, RunState

N = 400
NAME = "cnn-overnight"
CLASSES = ("cat", "dog")
RUN = "night/candidate"


def deliver_run(environment):
    """The run that registered candidates name is at the environment's MLflow."""
    with closing(MlflowTracker(environment, "nights")) as tracker:
        tracker.start(Run(key=RUN, name="candidate"))
        tracker.end(RUN, RunState.FINISHED)
        assert tracker.flush(120.0)


class Gatehouse:
    """A registry and a home that promotes in it.

    Args:
        registry: That of another house, to share it; None for one of its own.
        name: Under which its candidates are registered.
    """

    def __init__(self, folder, registry=None, home="home", name=NAME):
        self.folder, self.name, self.environment = folder, name, Environment(home=folder / home)
        self.registry = registry or MemoryRegistry(folder / "registry")
        self.tracker = MemoryTracker()
        self.tracker.start(Run(key=RUN, name="candidate"))
        self.params = read_params(overrides=["prepare.source=digits", "promote.smoke=false", f"register.name={name}"])

    def candidate(self, n_right, *, test_hash="t" * 64, gap=0.01):
        """Right on the first `n_right` of N images, which alternate between the two classes."""
        folder = self.folder / f"candidate-{n_right}-{test_hash[:4]}-{gap}"
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / "model.keras", "w") as archive:
            archive.writestr("config.json", folder.name)
        labels = np.arange(N) % 2
        said = np.where(np.arange(N) < n_right, labels, 1 - labels)
        probs = np.where(np.arange(2) == said[:, None], 0.8, 0.2).astype(np.float32)
        predictions = Predictions(labels=labels, probs=probs, head=Head(class_names=CLASSES))
        write_predictions(folder / "predictions.npz", predictions)
        return Candidate(
            model=folder / "model.keras", run_key=RUN, labels=CLASSES, image_shape=(4, 4, 1),
            example=np.zeros((1, 4, 4, 1), np.uint8), lineage={"test_hash": test_hash, "night": f"night-{n_right}"},
            tags={"gap_at_best": str(gap)}, files=(folder / "predictions.npz",),
        )  # fmt: skip

    def register(self, n_right, alias=CHALLENGER, **kwargs):
        version = self.registry.register(self.name, self.candidate(n_right, **kwargs))
        self.registry.set_alias(version, alias)
        return version

    def promote(self, **kwargs):
        return promote(self.params, self.environment, self.tracker, self.registry, **kwargs)

    def rollback(self, **kwargs):
        return rollback(self.name, self.environment, self.registry, **kwargs)

    def champion(self):
        found = self.registry.version_by_alias(self.name, CHAMPION)
        return found.number if found else None

    def reign(self, *n_right):
        """Champions one after another, each better than the last beyond luck."""
        for number in n_right:
            self.register(number)
            assert self.promote().promoted

    def history(self, n=10, width=80):
        console = Console(width=width, file=StringIO())
        history(self.name, self.environment, self.registry, console, n=n)
        return console.file.getvalue()

    def log(self):
        return DecisionLog(self.registry, self.name, self.environment)

    def kinds(self):
        """Of all decisions that count, oldest first."""
        return [line["kind"] for line in self.log().lines()]


class Killed(BaseException):
    """What no `except Exception` stops, as kill -9."""


_WRITES = ("append_entry", "set_tags", "set_alias", "settle_entry")


def dies_before(house, monkeypatch, n):
    """The n-th write of a process, counted from 0, does not take place any more, and nothing after it."""
    left = [n]

    def guarded(write):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return write(*args, **kwargs)

        return call

    for name in _WRITES:
        monkeypatch.setattr(house.registry, name, guarded(getattr(house.registry, name)))
    monkeypatch.setattr("cnn.promotion.log.append_promotion", guarded(append_promotion))

"""Frozen values that pass between the parts. No framework type stands in any field."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

Scalar = str | int | float | bool
"""What a hyperparameter can be."""

Values = Mapping[str, Scalar]
"""Hyperparameters by the dotted path of the recipe field they set, e.g. `optimizer.learning_rate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRow:
    """One point of a learning curve.

    `train_*` is Keras's running mean over the epoch, with dropout and augmentation on. `clean_train_*` and `val_*`
    are scored after the epoch in inference mode, without augmentation and without label smoothing, on samples of
    comparable size: only these two make the overfitting gap.

    Losses are in nats, as the task has them. Accuracies in [0, 1] are the fraction of images answered entirely right,
    whatever the task. `val_score` is the task's own score (`Task.score_words`), larger is better. `epoch` counts
    from 0.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    clean_train_loss: float
    clean_train_accuracy: float
    val_loss: float
    val_accuracy: float
    val_score: float
    learning_rate: float
    seconds: float

    @property
    def gap_loss(self) -> float:
        """Validation loss minus clean training loss: positive when overfitting."""
        return self.val_loss - self.clean_train_loss

    @property
    def gap_accuracy(self) -> float:
        """Clean training accuracy minus validation accuracy: positive when overfitting."""
        return self.clean_train_accuracy - self.val_accuracy

    def figures(self) -> dict[str, float]:
        """The eleven metrics of an epoch, by the names they bear in every tracker."""
        figures = {name: value for name, value in asdict(self).items() if name != "epoch"}
        return figures | {"gap_loss": self.gap_loss, "gap_accuracy": self.gap_accuracy}


Curve = tuple[EpochRow, ...]
"""A learning curve: one row an epoch, from epoch 0, without holes."""


def best_row(curve: Curve) -> EpochRow:
    """The epoch with the highest validation score; among equals the one with the lowest validation loss."""
    return max(curve, key=lambda row: (row.val_score, -row.val_loss))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a trial has used up: seconds on the clock, seconds of processor time over all threads, epochs."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    epochs: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            wall_s=self.wall_s + other.wall_s, cpu_s=self.cpu_s + other.cpu_s, epochs=self.epochs + other.epochs
        )


class TrialState(StrEnum):
    """Where a trial stands. All but `RUNNING` are final. `INFEASIBLE`: over a limit of the search, so not trained."""

    RUNNING = "running"
    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What an engine wants tried.

    Args:
        number: 0-based, unique within the study, never used again.
        values: Hyperparameters; only those whose conditions hold.
        epochs: Most epochs the trial may train, 1 or more.
    """

    number: int
    values: Values
    epochs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a network takes, whatever it has learnt.

    Args:
        parameters: Its weights, trainable or not.
        multiply_adds: Multiplications with a weight, for one image at inference.
        latency_ms: Milliseconds for one image on the machine that measured it; None where nobody did.
    """

    parameters: int
    multiply_adds: int
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a trial ended.

    Args:
        reason: Why it ended as it did, in words: `all epochs`, `early stopping`, `pruned at epoch 4`, `NaN loss at
            epoch 2`, `out of memory`, ...
        curve: All epochs it trained; empty when it failed before the first.
        size: Of its network, in a search with limits; None where it was not measured.
    """

    number: int
    state: TrialState
    reason: str
    curve: Curve = ()
    cost: Cost = field(default_factory=Cost)
    size: Size | None = None

    @property
    def score(self) -> float | None:
        """Best validation score, larger is better; None when no epoch was finished or it failed."""
        if not self.curve or self.state is TrialState.FAILED:
            return None
        return best_row(self.curve).val_score


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Where a result comes from: enough to make it again."""

    git_revision: str
    git_dirty: bool
    data_hash: str
    params_digest: str
    night: str = ""


class Task(StrEnum):
    """The kinds of classification.

    `MULTICLASS`: one of k classes. `BINARY`: one of two, of which the second is the positive one. `MULTILABEL`: any of
    k labels, none and all included. `HIERARCHICAL`: one of k classes, which are the leaves of a tree.

    Labels are (n,) integers, the class's position; with `MULTILABEL` (n, k) of 0 and 1.
    """

    MULTICLASS = "multiclass"
    BINARY = "binary"
    MULTILABEL = "multilabel"
    HIERARCHICAL = "hierarchical"

    @property
    def score_name(self) -> str:
        """The figure that is the task's score, as an evaluation names it."""
        return _SCORES[self][0]

    @property
    def score_words(self) -> str:
        """The task's score as a person reads it."""
        return _SCORES[self][1]


_SCORES = {
    Task.MULTICLASS: ("accuracy", "accuracy"),
    Task.BINARY: ("roc_auc", "ROC AUC"),
    Task.MULTILABEL: ("mean_average_precision", "mAP"),
    Task.HIERARCHICAL: ("hierarchical_f1", "hierarchical F1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the network answers: one probability a class, in the order of `class_names`.

    Args:
        ancestors: With `HIERARCHICAL`, of each class the nodes above it, from the top; the root is none of them.
    """

    class_names: tuple[str, ...]
    task: Task = Task.MULTICLASS
    ancestors: tuple[tuple[str, ...], ...] = ()

    @property
    def n_classes(self) -> int:
        return len(self.class_names)

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """Of each class the way to it from the top of the tree, itself included; without a tree itself alone."""
        ancestors = self.ancestors or ((),) * self.n_classes
        return tuple((*above, name) for above, name in zip(ancestors, self.class_names, strict=True))

    def document(self) -> dict[str, Any]:
        """As plain values, for files and digests."""
        ancestors = [list(nodes) for nodes in self.ancestors]
        return {"class_names": list(self.class_names), "task": self.task.value, "ancestors": ancestors}


def head_from(document: Mapping[str, Any]) -> Head:
    """A `Head` from its `document`. One of before there were tasks has classes alone, or not even those."""
    return Head(
        class_names=tuple(document.get("class_names", ())),
        task=Task(document.get("task", Task.MULTICLASS)),
        ancestors=tuple(map(tuple, document.get("ancestors", ()))),
    )


def epoch_row(document: Mapping[str, Any]) -> EpochRow:
    """An `EpochRow` from its `dataclasses.asdict` form. Before there were tasks, the score was the accuracy."""
    scored = {"val_score": document["val_accuracy"], **document}
    return EpochRow(**{name: scored[name] for name in EpochRow.__dataclass_fields__})

"""One training run, from a recipe and images to a model and its learning curve."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import keras

from cnn.config.reading import digest
from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.data.pipeline import TrainingPipeline
from cnn.data.prepared.splits import stratified_subset
from cnn.records import Curve, EpochRow, Head, TrialState, best_row
from cnn.training.backbone import Weights, digest_of
from cnn.training.checkpoint import Arrays, Checkpoint, CheckpointFolder
from cnn.training.network import compiled_model, make_ready
from cnn.training.phases import Phase, first_phase
from cnn.training.schedules import Schedule
from cnn.training.scoring import score
from cnn.training.transfer import fine_tune, thaw

_CLEAN_SEED = 0  # the same images for all runs on the same data, so that their gaps compare


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """What a run gives.

    Args:
        model: Not compiled; with the weights of the best epoch, or the last ones when there is no best.
        curve: Its epochs with finite figures: the one that ended in NaN is not among them.
        best_epoch: That of `best_row`; None when the curve is empty.
        reason: `all epochs`, `early stopping`, `pruned at epoch 4`, `NaN loss at epoch 2`; epochs counted from 1.
    """

    model: keras.Model
    curve: Curve
    best_epoch: int | None
    state: TrialState
    reason: str


def fit(
    recipe: Recipe,
    train: Split,
    validation: Split,
    *,
    head: Head,
    seed: int,
    checkpoint: Path | None,
    on_epoch: Callable[[EpochRow], bool],
    backbone: Weights | None = None,
) -> Fitted:
    """Train a recipe, or go on from where its checkpoint stands; the result is the same, bit for bit.

    A recipe with `transfer.then` has two phases and one curve. When the first phase is over, by its epochs or by
    patience, fine-tuning goes on from the weights of its best epoch with a new optimizer; the model that is handed back
    has those of the best epoch of both.

    Args:
        seed: Of weights, dropout, order and augmentation.
        checkpoint: Folder that belongs to this run; written after each epoch, kept at the end. None for no checkpoints.
        on_epoch: Takes each epoch when its checkpoint is on disk, and first those that an earlier process finished;
            True ends the run as pruned, unless it is over anyway.
        backbone: The weights that a recipe with `transfer` starts from.

    Raises:
        ConfigError: The recipe cannot be built for these images, or does not fit the backbone.
        StorageError: A checkpoint can't be written.
    """
    run = _Run(recipe, train, validation, head=head, seed=seed, backbone=backbone)
    folder = CheckpointFolder(checkpoint, run.identity) if checkpoint else None
    if folder and (saved := folder.read()):
        run.restore(saved)
    for row in _rows(run, folder):
        # a stop holds for where the run stands: not in the middle of its checkpoint, nor when it is over anyway
        if on_epoch(row) and row is run.curve[-1] and not run.over:
            return run.fitted(TrialState.PRUNED, f"pruned at epoch {row.epoch + 1}")
    if run.diverged:
        return run.fitted(TrialState.FAILED, f"NaN loss at epoch {len(run.curve) + 1}")
    return run.fitted(TrialState.COMPLETED, run.phase.ending(run.curve) or "")


def clean_sample(train: Split, size: int) -> Split:
    """The fixed, stratified training images that are scored for the gap; all of them when `size` is no smaller."""
    return train.part(stratified_subset(train.labels, size, _CLEAN_SEED))


def _rows(run: "_Run", folder: CheckpointFolder | None) -> Iterator[EpochRow]:
    """The epochs of the checkpoint, then new ones to the run's end."""
    yield from run.curve
    while not run.over:
        run.train_epoch()
        if run.diverged:
            return
        if folder:
            folder.write(run.checkpoint())
        yield run.curve[-1]


class _Run:
    """A run under way: the network as it stands, its curve, and its best weights."""

    def __init__(
        self,
        recipe: Recipe,
        train: Split,
        validation: Split,
        *,
        head: Head,
        seed: int,
        backbone: Weights | None,
    ) -> None:
        data = [_fingerprint(train), _fingerprint(validation)]
        start = digest_of(backbone) if backbone else None
        self.identity = digest(recipe, seed, head.document(), *data, keras.__version__, start)
        self.curve: Curve = ()
        self.diverged = False
        self.phase = first_phase(recipe)
        self._head, self._validation = head, validation
        self._clean = clean_sample(train, len(validation))
        self._pipeline = TrainingPipeline(
            train.images,
            train.labels,
            batch_size=recipe.training.batch_size,
            augment=recipe.augment,
            seed=seed,
            n_classes=head.n_classes,
            class_balance=recipe.training.class_balance,
        )
        self._schedule = self._schedule_of(self.phase)
        _, height, width, channels = train.images.shape
        self._model = compiled_model(
            recipe, (height, width, channels), head, seed=seed, schedule=self._schedule, backbone=backbone
        )
        self._best: Arrays = []

    @property
    def over(self) -> bool:
        return self.phase.after(self.curve) is None

    def train_epoch(self) -> None:
        """Train the next epoch, score it, and keep its weights if it is the best so far."""
        started = time.perf_counter()
        epoch = len(self.curve)
        self._move_on(self.curve)
        # The order is the pipeline's own; Keras must not be asked for another.
        logs = self._model.fit(self._pipeline.epoch(epoch), epochs=1, shuffle=False, verbose=0).history
        clean, held_out = (score(self._model, split, self._head) for split in (self._clean, self._validation))
        row = EpochRow(
            epoch=epoch,
            train_loss=logs["cross_entropy"][0],
            train_accuracy=logs["accuracy"][0],
            clean_train_loss=clean.loss,
            clean_train_accuracy=clean.accuracy,
            val_loss=held_out.loss,
            val_accuracy=held_out.accuracy,
            val_score=held_out.score,
            learning_rate=self._schedule.rate((epoch - self.phase.first + 1) * self._pipeline.steps - 1),
            seconds=time.perf_counter() - started,
        )
        self.diverged = not all(map(math.isfinite, row.figures().values()))
        if not self.diverged:
            self._add(row)

    def checkpoint(self) -> Checkpoint:
        state = [variable.numpy() for variable in self._variables()]
        return Checkpoint(curve=self.curve, state=state, best=self._best)

    def restore(self, checkpoint: Checkpoint) -> None:
        for n_epochs in range(1, len(checkpoint.curve)):  # the state is that of the last epoch's own phase
            self._move_on(checkpoint.curve[:n_epochs])
        for variable, value in zip(self._variables(), checkpoint.state, strict=True):
            variable.assign(value)
        self.curve, self._best = checkpoint.curve, checkpoint.best

    def fitted(self, state: TrialState, reason: str) -> Fitted:
        if self._best:
            self._model.set_weights(self._best)
        thaw(self._model)
        model = keras.Model(self._model.inputs, self._model.outputs, name=self._model.name)  # the same, not compiled
        best = best_row(self.curve).epoch if self.curve else None
        return Fitted(model=model, curve=self.curve, best_epoch=best, state=state, reason=reason)

    def _add(self, row: EpochRow) -> None:
        self.curve = (*self.curve, row)
        if best_row(self.curve) is row:
            self._best = self._model.get_weights()

    def _move_on(self, curve: Curve) -> None:
        """Into the phase of the epoch after this curve."""
        phase = self.phase.after(curve)
        if phase is None or phase is self.phase:
            return
        self.phase, self._schedule = phase, self._schedule_of(phase)
        if self._best:
            self._model.set_weights(self._best)
        fine_tune(self._model)
        make_ready(self._model, phase.recipe, self._head, self._schedule)

    def _schedule_of(self, phase: Phase) -> Schedule:
        return Schedule(phase.recipe.optimizer, phase.epochs * self._pipeline.steps)

    def _variables(self) -> list[keras.Variable]:
        return [*self._model.variables, *self._model.optimizer.variables]


def _fingerprint(split: Split) -> str:
    """Of all labels and of 64 images: enough to tell data sets apart, and done in a millisecond."""
    sample = split.images[:: max(1, len(split) // 64)]
    return hashlib.sha256(split.labels.tobytes() + sample.tobytes()).hexdigest()

"""Training one job: from a recipe to an outcome. Whatever goes wrong inside is an outcome, not a crash."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnn.config.reading import validated
from cnn.config.recipe import Recipe
from cnn.data.prepared.store import Split, open_training, read_prepared
from cnn.errors import StorageError, UserError
from cnn.records import Cost, EpochRow, Outcome, TrialState
from cnn.search.job import EpochDone, Job, JobEnded, WorkerSetup

if TYPE_CHECKING:
    from cnn.training.backbone import Weights

log = logging.getLogger(__name__)


class Trainer:
    """Holds the images of a search, and trains one job after the other on them.

    Args:
        setup: What all jobs share; the images are opened and checked here, once.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        import cnn.training.fit  # noqa: F401 - now, that no trial be charged for it
        from cnn.data.prepared.splits import stratified_subset

        self._start = setup.start
        self._weights: Weights | None = None
        prepared = read_prepared(setup.data)
        self._head = prepared.head
        self._train, self._validation = open_training(prepared)
        if setup.train_limit is not None and setup.train_limit < len(self._train.labels):
            kept = stratified_subset(self._train.labels, setup.train_limit, setup.seed)
            self._train = Split(images=self._train.images[kept], labels=self._train.labels[kept])

    def run(self, job: Job, emit: Callable[[EpochDone | JobEnded], None], stopped: Callable[[], bool]) -> None:
        """Train a job to its end.

        Args:
            emit: Takes an `EpochDone` an epoch (those of the checkpoint first) and one `JobEnded`.
            stopped: Asked after each epoch; True ends the job as pruned.

        Raises:
            StorageError: A checkpoint cannot be written.
        """
        meter = _Meter()
        curve: list[EpochRow] = []

        def on_epoch(row: EpochRow) -> bool:
            curve.append(row)
            emit(EpochDone(id=job.id, row=row, cost=meter.cost(len(curve))))
            return stopped()

        state, reason = self._train_job(job, on_epoch)
        outcome = Outcome(
            number=job.id.number, state=state, reason=reason, curve=tuple(curve), cost=meter.cost(len(curve))
        )
        emit(JobEnded(id=job.id, outcome=outcome))

    def _train_job(self, job: Job, on_epoch: Callable[[EpochRow], bool]) -> tuple[TrialState, str]:
        from cnn.training.fit import fit

        try:
            recipe = validated(Recipe, job.recipe, f"trial {job.id}")
            fitted = fit(
                recipe,
                self._train,
                self._validation,
                head=self._head,
                seed=job.seed,
                checkpoint=job.folder,
                on_epoch=on_epoch,
                backbone=self._backbone(recipe),
            )
        except StorageError:
            raise  # no recipe is to blame for a full disk: the search must stop
        except UserError as error:
            return TrialState.FAILED, str(error)
        except MemoryError:
            return TrialState.FAILED, "out of memory"
        except Exception as error:  # the framework's own errors have no common root
            log.exception("trial %s failed", job.id)
            return TrialState.FAILED, _reason(error)
        return fitted.state, fitted.reason

    def _backbone(self, recipe: Recipe) -> "Weights | None":
        """What the recipe starts from, read once in the life of a worker."""
        from cnn.training.backbone import kept_weights

        if recipe.transfer is None or not self._start:
            return None
        if self._weights is None:
            self._weights = kept_weights(Path(self._start))
        return self._weights


class _Meter:
    """What the job has cost since it was started."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def cost(self, epochs: int) -> Cost:
        return Cost(wall_s=time.monotonic() - self._wall, cpu_s=time.process_time() - self._cpu, epochs=epochs)


def _reason(error: Exception) -> str:
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, whose room this is not
        return "out of memory"
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line[:300]}"

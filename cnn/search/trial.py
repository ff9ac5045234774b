"""Training one job: from a recipe to an outcome. Whatever goes wrong inside is an outcome, not a crash."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cnn.config.mistakes import validated
from cnn.config.recipe import Recipe
from cnn.data.prepared.store import Split, open_training, read_prepared
from cnn.errors import IntegrityError, StorageError, UserError
from cnn.records import Cost, EpochRow, Outcome, Size, TrialState
from cnn.search import limits
from cnn.search.job import EpochDone, Job, JobEnded, JobSized, WorkerSetup

if TYPE_CHECKING:
    from cnn.training.backbone import Weights

log = logging.getLogger(__name__)

Said = JobSized | EpochDone | JobEnded


class Trainer:
    """Holds the images of a search, and trains one job after the other on them.

    Args:
        setup: What all jobs share; the images are opened and checked here, once.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        import cnn.training.fit  # noqa: F401 - now, that no trial be charged for it
        from cnn.data.prepared.splits import stratified_subset

        self._start, self._limits = setup.start, setup.limits
        self._weights: Weights | None = None
        prepared = read_prepared(setup.data)
        self._head = prepared.head
        self._train, self._validation = open_training(prepared)
        if setup.train_limit is not None and setup.train_limit < len(self._train.labels):
            kept = stratified_subset(self._train.labels, setup.train_limit, setup.seed)
            self._train = Split(images=self._train.images[kept], labels=self._train.labels[kept])

    def run(self, job: Job, emit: Callable[[Said], None], stopped: Callable[[], bool]) -> None:
        """Train a job to its end, unless its network is over a limit of the search.

        Args:
            emit: Takes one `JobSized` where there are limits and the job does not know its size, an `EpochDone` an
                epoch (those of the checkpoint first) and one `JobEnded`.
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

        state, reason = self._train_job(job, on_epoch, lambda size: emit(JobSized(id=job.id, size=size)))
        outcome = Outcome(
            number=job.id.number, state=state, reason=reason, curve=tuple(curve), cost=meter.cost(len(curve))
        )
        emit(JobEnded(id=job.id, outcome=outcome))

    def _train_job(
        self, job: Job, on_epoch: Callable[[EpochRow], bool], on_size: Callable[[Size], None]
    ) -> tuple[TrialState, str]:
        from cnn.training.fit import fit

        try:
            recipe = validated(Recipe, job.recipe, f"trial {job.id}")
            if self._limits and (reason := limits.reason(self._size(job, recipe, on_size), self._limits)):
                return TrialState.INFEASIBLE, reason
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
        except (StorageError, IntegrityError):
            raise  # no recipe is to blame for a full disk or damaged weights to start from: the search must stop
        except UserError as error:
            return TrialState.FAILED, str(error)
        except MemoryError:
            return TrialState.FAILED, "out of memory"
        except Exception as error:  # the framework's own errors have no common root
            log.exception("trial %s failed", job.id)
            return TrialState.FAILED, _reason(error)
        return fitted.state, fitted.reason

    def _size(self, job: Job, recipe: Recipe, on_size: Callable[[Size], None]) -> Size:
        """Of the job's network; one that is measured now is said, and never measured again."""
        if job.size is not None:
            return job.size
        from cnn.models.description import describe
        from cnn.models.latency import latency_ms

        _, height, width, channels = self._train.images.shape
        shape = height, width, channels
        counts = describe(recipe, shape, self._head)
        size = Size(parameters=counts.parameters, multiply_adds=counts.multiply_adds)
        if "latency_ms" in self._limits and not limits.over(size, self._limits):
            size = replace(size, latency_ms=latency_ms(recipe, shape, self._head))
        on_size(size)
        return size

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

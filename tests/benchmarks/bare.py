"""The bare training loop: processes that train one recipe after another with `fit`, and do nothing else.

Their frameworks are imported and their images opened before the clock starts. A free process takes the next recipe, as
a search's worker does, so that both arms lose the same at the end of a block.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnn.runtime import configure_process

_images = {}


@contextmanager
def bare_pool(n_processes, threads, data, train_limit) -> Iterator:
    """A pool whose processes are all ready for `train`."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(n_processes + 1)
    with context.Pool(n_processes, _begin, (ready, threads, data, train_limit)) as pool:
        ready.wait()
        yield pool


def train(task):
    """Train (recipe, seed); its seconds, its seconds of processor time, and the seconds of each epoch."""
    return _train(*task, checkpoint=None)


def checkpoint_seconds(task):
    """Train (recipe, seed) with checkpoints; the mean seconds of writing one."""
    from clock import Clock

    from cnn.training.checkpoint import CheckpointFolder

    clock, write = Clock(), CheckpointFolder.write
    clock.watch(CheckpointFolder, "checkpoint", "write")
    with tempfile.TemporaryDirectory() as folder:
        _train(*task, checkpoint=Path(folder))
    CheckpointFolder.write = write
    return clock.seconds["checkpoint write"] / clock.calls["checkpoint write"]


def _begin(ready, threads, data, train_limit):
    configure_process(threads=threads)
    import cnn.training.fit  # noqa: F401
    from cnn.data.prepared.splits import stratified_subset
    from cnn.data.prepared.store import open_training, read_prepared

    prepared = read_prepared(data)
    images, validation = open_training(prepared)
    if train_limit < len(images):
        images = images.part(stratified_subset(images.labels, train_limit, 0))
    _images.update(train=images, validation=validation, head=prepared.head)
    ready.wait()


def _train(recipe, seed, *, checkpoint):
    from cnn.config.recipe import Recipe
    from cnn.training.fit import fit

    started, cpu = time.perf_counter(), time.process_time()
    fitted = fit(
        Recipe.model_validate(recipe),
        _images["train"],
        _images["validation"],
        head=_images["head"],
        seed=seed,
        checkpoint=checkpoint,
        on_epoch=lambda row: False,
    )
    return time.perf_counter() - started, time.process_time() - cpu, [row.seconds for row in fitted.curve]

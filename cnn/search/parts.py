"""What a search is put together from; `cnn.wiring` chooses, the step and the tests use."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cnn.config.recipe import Recipe
from cnn.records import Curve, Head
from cnn.search.engines.searcher import Searcher
from cnn.search.executors.executor import Executor
from cnn.search.logbook import Diagnose
from cnn.search.space import Space
from cnn.search.steering import Adviser
from cnn.search.study import Study
from cnn.tracking.registry import Registry
from cnn.tracking.tracker import Tracker


class MakeAdviser(Protocol):
    """Makes the adviser of one search."""

    def __call__(self, space: Space, base: Recipe, *, head: Head, n_clean: int, n_val: int, data_hash: str) -> Adviser:
        """From the space and the recipe it varies, and what curves are scored on.

        Args:
            n_clean: Training images scored for the gap.
            n_val: Validation images.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchParts:
    """Implementations, each made when the study is open.

    Args:
        tracker: Where runs are logged.
        searcher: Makes the engine for a space and a study's name.
        executor: Makes the executor for a study and the folder of the prepared arrays.
        n_workers: Jobs the executor runs at once.
        draw: Draws a curve's picture: curve, file, title.
        diagnose: Makes what diagnoses runs: from the classes, the number of clean training and of validation images.
        adviser: Makes what steers a search between its rounds; None: a plain search.
        sampler: Logs what the machine does to a run while the search lasts.
        sheets: Draws and logs what augmentation makes of the training images while the search lasts.
        registry: Opens the registry, where what a recipe starts from may stand.
    """

    tracker: Tracker
    searcher: Callable[[Space, str], Searcher]
    executor: Callable[[Study, Path], Executor]
    n_workers: int
    draw: Callable[[Curve, Path, str], None]
    sampler: Callable[[str], AbstractContextManager[object]]
    diagnose: Callable[[Head, int, int], Diagnose] | None = None
    adviser: MakeAdviser | None = None
    sheets: Callable[[Study, Path], AbstractContextManager[object]] = lambda study, data: nullcontext()
    registry: Callable[[], Registry] | None = None

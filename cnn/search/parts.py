"""What a search is put together from; `cnn.wiring` chooses, the step and the tests use."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cnn.records import Curve, Head
from cnn.search.engines.searcher import Searcher
from cnn.search.executors.executor import Executor
from cnn.search.logbook import Diagnose
from cnn.search.space import Space
from cnn.search.study import Study
from cnn.tracking.tracker import Tracker


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
        sampler: Logs what the machine does to a run while the search lasts.
        sheets: Draws and logs what augmentation makes of the training images while the search lasts.
    """

    tracker: Tracker
    searcher: Callable[[Space, str], Searcher]
    executor: Callable[[Study, Path], Executor]
    n_workers: int
    draw: Callable[[Curve, Path, str], None]
    sampler: Callable[[str], AbstractContextManager[object]]
    diagnose: Callable[[Head, int, int], Diagnose] | None = None
    sheets: Callable[[Study, Path], AbstractContextManager[object]] = lambda study, data: nullcontext()

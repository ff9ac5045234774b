"""The only place that chooses implementations."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.params import Params, SearchParams
from cnn.config.reading import read_recipe
from cnn.config.recipe import Recipe
from cnn.errors import SpaceError
from cnn.records import Curve, Head, Outcome
from cnn.runtime import cpu_count_available

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from cnn.search.engines.searcher import Searcher
    from cnn.search.executors.executor import Executor
    from cnn.search.job import WorkerSetup
    from cnn.search.logbook import Diagnose
    from cnn.search.parts import MakeAdviser, SearchParts
    from cnn.search.space import Space
    from cnn.search.steering import Adviser
    from cnn.search.study import Study
    from cnn.tracking.mlflow import MlflowTracker
    from cnn.tracking.reader import MlflowReader
    from cnn.tracking.registry import Registry
    from cnn.tracking.tracker import Tracker

_FLUSH_S = 60.0
_FLUSH_CUT_OFF_S = 15.0  # whoever pressed Ctrl-C wants to go


@contextmanager
def tracker(environment: Environment, experiment: str, *, source: str) -> Iterator["MlflowTracker"]:
    """The tracker of this machine; at the end it has delivered all, or says what waits.

    Raises:
        ServiceError: Nothing answers at the tracking address.
        IntegrityError: The id of this home is damaged.
    """
    from cnn.tracking.mlflow import MlflowTracker
    from cnn.tracking.server import check_server, without_password

    check_server(environment.mlflow_uri)
    environment.home_id()  # a damaged one is said here: the thread that delivers would only try again for ever
    with closing(MlflowTracker(environment, experiment, source=source)) as made:
        patience_s = _FLUSH_CUT_OFF_S
        try:
            yield made
            patience_s = _FLUSH_S
        finally:  # what Ctrl-C or an error has ended is to be seen as ended
            if not made.flush(patience_s):
                address = without_password(environment.mlflow_uri)
                log.warning("%s does not take all that was logged: the rest waits in the spool", address)


def registry(environment: Environment) -> "Registry":
    """The model registry of this machine."""
    from cnn.tracking.mlflow_registry import MlflowRegistry

    return MlflowRegistry(environment)


def reader(environment: Environment) -> "MlflowReader":
    """Runs of this machine's tracking address."""
    from cnn.tracking.reader import MlflowReader

    return MlflowReader(environment)


def search_parts(params: Params, environment: Environment, made: "Tracker") -> "SearchParts":
    """What a search is put together from.

    Raises:
        SpaceError: The engine knows no such sampler, or cannot work on this space or for this objective.
    """
    from cnn.search.parts import SearchParts
    from cnn.tracking.system import SystemSampler

    _check_engine(params.search)  # now, for a study once opened is offered to be gone on with
    n_workers, threads = worker_counts(params.search)
    return SearchParts(
        tracker=made,
        searcher=lambda space, study: _SEARCHERS[params.search.engine](params.search, space, study, environment),
        executor=lambda study, data: _EXECUTORS[params.search.executor](params.search, study, data, n_workers, threads),
        n_workers=n_workers,
        draw=draw_curve,
        sampler=lambda key: SystemSampler(made, key),
        diagnose=diagnoser,
        adviser=_adviser(environment) if params.search.remedies == "on" else None,
        sheets=lambda study, data: _sheets(params.search, study, data, made),
        registry=lambda: registry(environment),
    )


def worker_counts(params: SearchParams) -> tuple[int, int]:
    """Worker processes and threads of each: `auto` is one worker a core with one thread each; a GPU is one worker's.

    Small images leave a convolution little to share between threads: one thread each trains more images a second.
    """
    cores = cpu_count_available()
    if params.executor == "inline":
        return 1, cores
    if params.workers == "auto":
        return (1, cores) if Path("/dev/nvidia0").exists() else (cores, 1)
    return params.workers, max(1, cores // params.workers)


def _sheets(params: SearchParams, study: "Study", data: Path, made: "Tracker") -> AbstractContextManager[object]:
    from cnn.evaluation.contact_sheet import drawn_beside, sheets_of

    sheets = sheets_of(read_recipe(params.recipe), params) if params.contact_sheet else {}
    return drawn_beside(
        sheets,
        data,
        study.folder,
        title=study.name,
        seed=params.seed,
        deliver=lambda picture: made.log_file(study.name, picture),
    )


def diagnoser(head: Head, n_clean: int, n_val: int) -> "Diagnose":
    """What diagnoses the runs of a search: each outcome with its recipe.

    Args:
        n_clean: Training images scored for the gap.
        n_val: Validation images.
    """
    from cnn.diagnosis.diagnose import diagnose
    from cnn.diagnosis.reading import Sizes

    sizes = Sizes(n_clean=n_clean, n_val=n_val, n_classes=head.n_classes, task=head.task)

    def document(outcome: Outcome, recipe: Mapping[str, Any]) -> Mapping[str, Any]:
        return diagnose(outcome.curve, sizes, reason=outcome.reason, recipe=recipe or None).document()

    return document


def _adviser(environment: Environment) -> "MakeAdviser":
    """What steers a search, with the memory of this home."""

    def made(space: "Space", base: Recipe, *, head: Head, n_clean: int, n_val: int, data_hash: str) -> "Adviser":
        from cnn.diagnosis.effects import RemedyMemory
        from cnn.diagnosis.reading import Sizes
        from cnn.diagnosis.steering import RemedyAdviser

        sizes = Sizes(n_clean=n_clean, n_val=n_val, n_classes=head.n_classes, task=head.task)
        memory = RemedyMemory(environment.home / "remedies" / f"{data_hash}.jsonl")
        return RemedyAdviser(space.dimensions, base, sizes, memory)

    return made


def draw_curve(curve: Curve, path: Path, title: str) -> None:
    """A curve's picture."""
    from cnn.evaluation.plots import curve_picture

    curve_picture(curve, path, title=title)


def _optuna(params: SearchParams, space: "Space", study: str, environment: Environment) -> "Searcher":
    from cnn.search.engines.optuna import OptunaSearcher

    return OptunaSearcher(
        space,
        seed=params.seed,
        epochs=params.budget.epochs,
        sampler=params.sampler,
        pruner=params.pruner,
        storage_url=environment.optuna_url,
        study_name=mirrored_name(study, environment),
        objective=params.objective,
    )


def mirrored_name(study: str, environment: Environment) -> str:
    """A study's name in Optuna's storage; where other homes may show theirs, studies of one name stay apart."""
    return f"{study}@{environment.home_id()}" if environment.shares_studies else study


def _keras_tuner(params: SearchParams, space: "Space", study: str, environment: Environment) -> "Searcher":
    from cnn.search.engines.keras_tuner import KerasTunerSearcher

    return KerasTunerSearcher(space, seed=params.seed, epochs=params.budget.epochs, sampler=params.sampler)


def _random(params: SearchParams, space: "Space", study: str, environment: Environment) -> "Searcher":
    from cnn.search.engines.random import RandomSearcher

    return RandomSearcher(space, seed=params.seed, epochs=params.budget.epochs)


def _local(params: SearchParams, study: "Study", data: Path, n_workers: int, threads: int) -> "Executor":
    from cnn.search.executors.local import LocalExecutor

    return LocalExecutor(
        n_workers,
        _setup(params, study, data, threads),
        logs=study.logs,
        trials_per_worker=params.trials_per_worker,
        worker_memory_mb=params.worker_memory_mb,
    )


def _inline(params: SearchParams, study: "Study", data: Path, n_workers: int, threads: int) -> "Executor":
    from cnn.search.executors.inline import InlineExecutor

    return InlineExecutor(_setup(params, study, data, threads))


def _setup(params: SearchParams, study: "Study", data: Path, threads: int) -> "WorkerSetup":
    from cnn.search.job import WorkerSetup

    return WorkerSetup(
        data=data,
        train_limit=params.train_limit,
        seed=params.seed,
        threads=threads,
        start=str(study.folder),
        limits=params.objective.limits,
    )


_MakeSearcher = Callable[[SearchParams, "Space", str, Environment], "Searcher"]
_MakeExecutor = Callable[[SearchParams, "Study", Path, int, int], "Executor"]

_SEARCHERS: Mapping[str, _MakeSearcher] = {"optuna": _optuna, "keras_tuner": _keras_tuner, "random": _random}
_EXECUTORS: Mapping[str, _MakeExecutor] = {"local": _local, "inline": _inline}


def _check_engine(params: SearchParams) -> None:
    if params.engine == "optuna":
        from cnn.search.engines.optuna_samplers import check_sampler
        from cnn.search.space import Space

        known = ("tpe", "nsgaii", "random", "qmc")
        _check_sampler(params, known if params.objective.of != "accuracy" else (*known, "cmaes", "gp"))
        check_sampler(params.sampler, Space(params.space))
        return
    _check_one_value(params)
    if params.engine == "keras_tuner":
        _check_sampler(params, ("random", "bayesian", "hyperband", "grid"))


def _check_sampler(params: SearchParams, known: tuple[str, ...]) -> None:
    if params.sampler not in known:
        expected = f"one of {', '.join(known)} with engine {params.engine} and objective {params.objective.of}"
        raise SpaceError("search.sampler", received=params.sampler, expected=expected, change="edit params.yaml")


def _check_one_value(params: SearchParams) -> None:
    if params.objective.weighs_gap:
        received = f"{params.objective.of} with engine {params.engine}, which goes by one value"
        raise SpaceError("search.objective", received=received, expected="engine optuna", change="edit params.yaml")

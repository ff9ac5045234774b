"""Step 2: find the recipe."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.outputs import SEARCHED
from cnn.config.params import Params, SearchParams
from cnn.config.reading import digest, read_recipe
from cnn.errors import SpaceError
from cnn.records import Head, Scalar

if TYPE_CHECKING:
    from rich.console import Console

    from cnn.search.coordinator import Coordinator
    from cnn.search.finalists import Standing
    from cnn.search.parts import SearchParts

_DELIVERY_S = 60.0


def search(
    params: Params,
    environment: Environment,
    parts: "SearchParts",
    console: "Console",
    *,
    data: Path,
    out: Path = SEARCHED,
) -> "Standing":
    """Search for a recipe, or go on with a search that was interrupted, and write the winner down.

    Args:
        data: Folder of the prepared arrays; the test images in it are not opened.
        out: Takes `winner.yaml`, `leaderboard.csv`, `search.json` and `study.html`, which tells what was found.

    Raises:
        SpaceError: The space or the engine cannot work, or no trial brought a model.
        Interrupted: Ctrl-C; the next call goes on.
    """
    from cnn.data.store import open_training, read_prepared
    from cnn.lineage import read_lineage
    from cnn.reports.study import write_study_report
    from cnn.reports.study_facts import StudyFacts
    from cnn.search.budget import Budget
    from cnn.search.coordinator import Coordinator
    from cnn.search.logbook import Logbook, verdict_counts
    from cnn.search.results import totals, write_results
    from cnn.search.screen import Screen
    from cnn.search.space import Space
    from cnn.search.study import open_study
    from cnn.tracking.conventions import flat, lineage_tags

    prepared = read_prepared(data)
    training, validation = open_training(prepared)  # a flipped byte is refused here, not by one worker after the other
    base = read_recipe(params.search.recipe)
    space = Space(params.search.space)
    space.check(base)
    identity = study_digest(params.search, base.model_dump(mode="json"), prepared.data_hash, prepared.head)
    lineage = read_lineage(prepared.data_hash, identity, night=environment.night)
    engine = engine_name(params.search)

    with open_study(environment.studies, identity, night=environment.night) as study:
        console.print(f"study {study.name} {'goes on' if study.resumed else 'begins'}: {engine}", highlight=False)
        searcher = parts.searcher(space, study.name)
        tags = lineage_tags(lineage) | {"study": study.name, "engine": engine, "source": params.prepare.source}
        n_clean = min(len(training), params.search.train_limit or len(training), len(validation))
        diagnose = parts.diagnose(prepared.head, n_clean, len(validation)) if parts.diagnose else None
        logbook = Logbook(parts.tracker, study.name, tags, draw=parts.draw, scratch=study.folder, diagnose=diagnose)
        logbook.open(flat(params.search.model_dump(mode="json", exclude={"space"})) | _space_params(params.search))
        budget = Budget(
            params.search.budget,
            n_workers=parts.n_workers,
            n_final_runs=params.search.finalists * params.search.finalist_seeds,
            elapsed_s=float(study.ledger.read("elapsed_s", "0")),
        )
        with (
            parts.sheets(study, data),
            closing(parts.executor(study, data)) as executor,
            parts.sampler(study.name),
            Screen(console, study.name, params.search.budget.epochs) as screen,
        ):
            coordinator = Coordinator(
                params.search,
                base,
                study,
                searcher=searcher,
                executor=executor,
                logbook=logbook,
                budget=budget,
                screen=screen,
            )
            with _ctrl_c(coordinator):
                try:
                    winner = coordinator.run()
                except SpaceError:  # no trial brought a model: going on would only say so again
                    study.finish(winner=False)
                    raise
        rows = study.ledger.rows()
        files = write_results(out, winner, coordinator.recipe(winner.row), rows, engine=engine)
        facts = StudyFacts(
            name=study.name,
            source=prepared.source,
            head=prepared.head,
            engine=engine,
            params=params.search,
            rows=rows,
            n_train=min(len(training), params.search.train_limit or len(training)),
            n_val=len(validation),
        )
        files.append(write_study_report(out / "study.html", facts))
        counts = verdict_counts(diagnose, (row.outcome for row in rows if row.outcome and row.id.repeat == 0))
        logbook.close(winner, totals(rows) | counts, files)
        parts.tracker.flush(_DELIVERY_S)
        study.finish()  # the very last: until then, a start after a kill goes on with this study
    return winner


def study_digest(params: SearchParams, base: Mapping[str, Any], data_hash: str, head: Head) -> str:
    """Of what decides which trials a search tries and how they come out; its budget, apart from epochs, does not."""
    free = {"budget", "workers", "executor", "trials_per_worker", "worker_memory_mb", "contact_sheet"}
    free |= {"experiment", "recipe"}
    settings = params.model_dump(mode="json", exclude=free)
    return digest(settings, params.budget.epochs, base, data_hash, head.document())


def engine_name(params: SearchParams) -> str:
    """Engine and sampler, as runs are tagged."""
    return params.engine if params.engine == "random" else f"{params.engine}/{params.sampler}"


def _space_params(params: SearchParams) -> dict[str, Scalar]:
    dumped = {
        name: dimension.model_dump(mode="json", exclude_defaults=True) for name, dimension in params.space.items()
    }
    return {
        f"space.{name}": ", ".join(f"{key} {value}" for key, value in body.items()) for name, body in dumped.items()
    }


@contextmanager
def _ctrl_c(coordinator: "Coordinator") -> Iterator[None]:
    """Ctrl-C and SIGTERM end the search cleanly; a second one ends it at once."""

    def interrupt(number: int, _frame: object) -> None:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        coordinator.interrupt()

    try:
        before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not the main thread: whoever called handles signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

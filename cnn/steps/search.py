"""Step 2: find the recipe."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.objective import ObjectiveParams
from cnn.config.outputs import SEARCHED
from cnn.config.params import Params, SearchParams
from cnn.config.reading import digest, read_recipe
from cnn.errors import ConfigError, SpaceError
from cnn.records import Head, Scalar

if TYPE_CHECKING:
    from rich.console import Console

    from cnn.config.recipe import Recipe
    from cnn.data.arrays import Split
    from cnn.data.prepared.store import Prepared
    from cnn.search.finalists import Standing
    from cnn.search.parts import SearchParts
    from cnn.search.space import Space
    from cnn.search.study import Study
    from cnn.steps.learning import Ground

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
    from cnn.data.prepared.store import read_prepared
    from cnn.search.budget import Budget
    from cnn.search.coordinator import Coordinator
    from cnn.search.interrupting import interruptible
    from cnn.search.logbook import Logbook, verdict_counts
    from cnn.search.results import front_numbers, totals, write_results
    from cnn.search.screen import Screen
    from cnn.search.study import open_study
    from cnn.search.winner import winner_words
    from cnn.steps.learning import Ground, ending_early, memory_of, not_used, steering_of
    from cnn.steps.weights import drop_start, kept_start
    from cnn.tracking.conventions import flat

    prepared = read_prepared(data, params.prepare)
    training, validation = _images(prepared, params.search.train_limit)
    base = read_recipe(params.search.recipe)
    space = _space(params.search, base)
    identity = study_digest(params.search, base.model_dump(mode="json"), prepared.data_hash, prepared.head)
    engine = engine_name(params.search)

    with open_study(environment.studies, identity, night=environment.night) as study:
        searcher = ending_early(params.search, parts.searcher(space, study.name), space, study, console.print)
        console.print(f"study {study.name} {'goes on' if study.resumed else 'begins'}: {engine}", highlight=False)
        base = kept_start(base, study.folder, prepared.image_shape, parts.registry)
        tags = _tags(params, base, prepared, environment) | {"study": study.name}
        ground = Ground(
            params=params.search,
            space=space,
            base=base,
            prepared=prepared,
            n_train=min(len(training), params.search.train_limit or len(training)),
            n_val=len(validation),
        )
        diagnose = parts.diagnose(prepared.head, ground.n_clean, ground.n_val) if parts.diagnose else None
        memory = memory_of(ground, environment, study, searcher)
        steering = steering_of(ground, parts, searcher, study)
        for line in [*memory.sentences(), *not_used(params.search, searcher, engine=engine)]:
            console.print(line, highlight=False)
        logbook = Logbook(parts.tracker, study.name, tags, draw=parts.draw, scratch=study.folder, diagnose=diagnose)
        logbook.open(flat(params.search.model_dump(mode="json", exclude={"space"})) | _space_params(params.search))
        epochs = params.search.budget.epochs + base.most_epochs - base.training.epochs
        budget = Budget(
            params.search.budget,
            n_workers=parts.n_workers,
            n_final_runs=params.search.finalists * params.search.finalist_seeds,
            epochs=epochs,
            elapsed_s=float(study.ledger.read("elapsed_s", "0")),
        )
        with (
            parts.sheets(study, data),
            closing(parts.executor(study, data)) as executor,
            parts.sampler(study.name),
            Screen(console, study.name, epochs) as screen,
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
                steering=steering,
                first=memory.proposals(params.search.budget.epochs),
            )
            with interruptible(coordinator.interrupt):
                try:
                    winner = coordinator.run()
                except SpaceError:  # no trial brought a model: going on would only say so again
                    study.finish(winner=False)
                    drop_start(study.folder)
                    raise
        rows = study.ledger.rows()
        files = write_results(
            out,
            winner,
            coordinator.recipe(winner.row),
            rows,
            engine=engine,
            objective=params.search.objective,
            because=winner_words(rows, params.search),
        )
        files.append(_report(out, study, ground))
        counts = verdict_counts(diagnose, (row.outcome for row in rows if row.outcome and row.id.repeat == 0))
        logbook.close(winner, totals(rows) | counts, files, pareto=front_numbers(rows, params.search.objective))
        parts.tracker.flush(_DELIVERY_S)
        study.finish()  # the very last: until then, a start after a kill goes on with this study
        drop_start(study.folder)
    return winner


def _report(out: Path, study: "Study", ground: "Ground") -> Path:
    from cnn.reports.study import write_study_report
    from cnn.reports.study_facts import Round, StudyFacts
    from cnn.search.rounds import read_rounds

    facts = StudyFacts(
        name=study.name,
        source=ground.prepared.source,
        head=ground.prepared.head,
        engine=engine_name(ground.params),
        params=ground.params,
        rows=study.ledger.rows(),
        n_train=ground.n_train,
        n_val=ground.n_val,
        base=ground.base,
        rounds=tuple(Round(first_trial=one.first_trial, changes=one.changes) for one in read_rounds(study.ledger)),
    )
    return write_study_report(out / "study.html", facts)


def _space(params: SearchParams, base: "Recipe") -> "Space":
    from cnn.search.space import Space
    from cnn.steps.weights import check_start_is_fixed

    space = Space(params.space)
    space.check(base)
    check_start_is_fixed(base, space.dimensions)
    return space


def _tags(params: Params, base: "Recipe", prepared: "Prepared", environment: Environment) -> dict[str, str]:
    """Of the search and all its runs: what they come from, and the digest of what decides how they come out."""
    from cnn.lineage import read_lineage
    from cnn.steps.weights import start_tags
    from cnn.tracking.conventions import lineage_tags

    identity = study_digest(params.search, base.model_dump(mode="json"), prepared.data_hash, prepared.head)
    lineage = lineage_tags(read_lineage(prepared.data_hash, identity, night=environment.night))
    return lineage | start_tags(base) | {"engine": engine_name(params.search), "source": params.prepare.source}


def study_digest(params: SearchParams, base: Mapping[str, Any], data_hash: str, head: Head) -> str:
    """Of what decides which trials a search tries and how they come out; its budget, apart from epochs, does not."""
    free = {"budget", "workers", "executor", "trials_per_worker", "worker_memory_mb", "contact_sheet"}
    free |= {"experiment", "recipe", "min_gain"}  # the last ends a search, as its budget does
    if params.objective == ObjectiveParams():  # searches begun before there was a choice go on
        free.add("objective")
    if params.memory == "none":
        free.add("memory")
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


def _images(prepared: "Prepared", train_limit: int | None) -> "tuple[Split, Split]":
    """For training and for validation; a flipped byte is refused here, not by one worker after the other.

    Raises:
        ConfigError: The limit leaves a class without an image.
    """
    from cnn.data.prepared.store import open_training

    n_classes = len(prepared.class_names)
    if train_limit is not None and train_limit < n_classes:
        expected, change = f"{n_classes} or more, an image of each class", "raise it, or set it to null"
        raise ConfigError("search.train_limit", received=train_limit, expected=expected, change=change)
    return open_training(prepared)

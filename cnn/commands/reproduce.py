"""A version made again from what the registry and the remotes know of it, and compared with what it was."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn import wiring
from cnn.config.environment import Environment
from cnn.config.outputs import EVALUATED, TRAINED, WINNER
from cnn.config.params import Params
from cnn.durable import write_sealed

if TYPE_CHECKING:
    from cnn.reproduction.conditions import Change
    from cnn.reproduction.origin import Origin
    from cnn.reproduction.outcome import Outcome, Result
    from cnn.reproduction.pipeline import Pipeline
    from cnn.reproduction.worktree import Place

_MOST_PACKAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduction:
    """What became of making something again.

    Args:
        changes: Conditions that are not what they were; None where they were not kept.
        folder: Where it all lies; None when it was removed.
    """

    subject: str
    revision: str
    data_from: str
    outcome: "Outcome"
    changes: "Sequence[Change] | None"
    folder: Path | None

    @property
    def exit_code(self) -> int:
        """0 when it is the same bit for bit or within the spread of seeds, 1 when it is another model."""
        from cnn.reproduction.outcome import Sameness

        return int(self.outcome.sameness is Sameness.DIFFERENT)


def reproduce(
    what: str,
    params: Params,
    environment: Environment,
    console: Console,
    *,
    into: Path | None = None,
    keep: bool = False,
    search: bool = False,
) -> Reproduction:
    """Check out the commit, data and settings of a version, train and evaluate anew, and compare.

    Args:
        what: A version, a night, or the run of a candidate.
        into: A new folder for it; None: `HOME/reproductions/WHAT`.
        keep: Leave that folder there.
        search: Search again too; else the winner that was kept is trained.

    Raises:
        ConfigError: Nothing of this name is known, its commit is nowhere to be had, or this is no git checkout.
        IntegrityError: What was kept is damaged.
        ServiceError: The registry does not answer, or a stage failed.
    """
    from cnn.reproduction.origin import file_name, find_origin
    from cnn.reproduction.pipeline import Pipeline
    from cnn.reproduction.revisions import top_of
    from cnn.reproduction.worktree import REPRODUCTIONS, worktree

    checkout = Path.cwd()
    top, prefix = top_of(checkout)
    registry, reader = wiring.registry(environment), wiring.reader(environment)
    origin = find_origin(what, params.register_.name, registry, reader, checkout)
    _say_origin(origin, console)
    reproductions = environment.home / REPRODUCTIONS
    folder = (into or reproductions / file_name(what)).absolute()
    with worktree(top, prefix, origin.revision, folder, keep=keep) as place:
        pipeline = Pipeline(place, checkout, environment, origin.night)
        then = _lay_out(origin, pipeline, place, registry)
        data_from = pipeline.bring_data(then.trained["data_hash"])
        console.print(f"data from {data_from}", highlight=False)
        outcome = _made_again(then, pipeline, place, search=search)
        made = Reproduction(
            subject=origin.subject,
            revision=origin.revision,
            data_from=data_from,
            outcome=outcome,
            changes=_changes(place),
            folder=folder if keep else None,
        )
        write_sealed(reproductions / f"{file_name(what)}.json", document(made))
    show(made, console)
    return made


def document(made: Reproduction) -> dict[str, Any]:
    """A reproduction as plain values."""
    return {
        "subject": made.subject,
        "revision": made.revision,
        "data_from": made.data_from,
        "verdict": made.outcome.sameness.value,
        "reason": made.outcome.reason,
        "figures": {figure.name: [figure.then, figure.now] for figure in made.outcome.figures},
        "conditions": None if made.changes is None else [asdict(change) for change in made.changes],
    }


def show(made: Reproduction, console: Console) -> None:
    """The verdict, each figure with its difference, and the conditions that changed."""
    console.print(f"[bold]{made.subject}: {made.outcome.sameness.value}[/bold]", highlight=False)
    console.print(escape(made.outcome.reason), highlight=False, soft_wrap=True)
    if made.outcome.figures:
        console.print(_figures(made.outcome))
    console.print(_conditions(made.changes), highlight=False)
    if made.folder:
        console.print(f"kept in {made.folder}", highlight=False, soft_wrap=True)


def _lay_out(origin: "Origin", pipeline: "Pipeline", place: "Place", registry: Any) -> "Result":
    """Bring what was kept of the original into the worktree; the result that is to come again."""
    from cnn.errors import ServiceError
    from cnn.reproduction.origin import kept_files
    from cnn.reproduction.outcome import read_result
    from cnn.reproduction.start import bring_start
    from cnn.reproduction.worktree import lay_over

    pipeline.begin()
    if origin.version is not None:
        kept_files(origin.version, registry, place.kept)
        _mend_old(origin, place)
    elif pipeline.bring("search", "train", "evaluate"):
        for name in (TRAINED / "train.json", EVALUATED / "evaluate.json", EVALUATED / "predictions.npz", WINNER):
            shutil.copyfile(place.project / name, place.kept / name.name)
    else:
        change = "run dvc push where the night ran, or name a registry that has its version (CNN_TRACKING_URI)"
        raise ServiceError(origin.subject, received="no result of it", expected="one to compare with", change=change)
    lay_over(place)
    bring_start(place, pipeline.checkout, registry)
    return read_result(place.kept, place.kept)


def _mend_old(origin: "Origin", place: "Place") -> None:
    """A version of before `evaluate.json` was kept has its figures as tags."""
    assert origin.version is not None
    tags, path = origin.version.tags, place.kept / "evaluate.json"
    if path.exists():
        return
    digests = {"model_sha256": tags["sha256"], "predictions_sha256": tags["sha256.predictions.npz"]}
    figures = {name.removeprefix("test_"): value for name, value in tags.items() if name.startswith("test_")}
    numbers = {name: float(value) for name, value in figures.items() if name != "hash"}
    write_sealed(path, {**numbers, **digests, "test_hash": tags.get("test_hash", "")})


def _made_again(then: "Result", pipeline: "Pipeline", place: "Place", *, search: bool) -> "Outcome":
    from cnn.records import head_from
    from cnn.reproduction.outcome import other_data, outcome_of, read_result, seed_spread

    if pipeline.data_hash() != then.trained["data_hash"]:
        return other_data(then.trained["data_hash"], pipeline.data_hash())
    for stage in (*(("search",) if search else ()), "train", "evaluate"):
        pipeline.run(stage)
    now = read_result(place.project / TRAINED, place.project / EVALUATED)
    spread = seed_spread(place.kept / WINNER.name, head_from(then.trained).task)
    return outcome_of(then, now, spread=spread)


def _changes(place: "Place") -> "Sequence[Change] | None":
    import cnn
    from cnn.reproduction.conditions import changes, read_conditions
    from cnn.reproduction.origin import kept_conditions

    then = kept_conditions(place.kept)
    if not then:
        return None
    own = place.project / "cnn"
    code = own if (own / "__init__.py").exists() else Path(cnn.__file__).parent
    return changes(then, read_conditions(code))


def _say_origin(origin: "Origin", console: Console) -> None:
    night = f" of {origin.night}" if origin.night and origin.night != origin.subject else ""
    console.print(f"{origin.subject}{night}: commit {origin.revision[:12]}", highlight=False)
    if origin.changed:
        line = "its checkout held changes that no commit has and that were not kept: they are missing here"
        console.print(f"[yellow]{line}[/yellow]", highlight=False)


def _figures(outcome: "Outcome") -> Table:
    table = Table(title="Figures, then and now", title_justify="left")
    for heading in ("figure", "then", "now", "difference"):
        table.add_column(heading, justify="left" if heading == "figure" else "right")
    for figure in outcome.figures:
        same = figure.then == figure.now
        table.add_row(
            figure.name, f"{figure.then:.6g}", f"{figure.now:.6g}", "0" if same else f"{figure.difference:+.3g}"
        )
    return table


def _conditions(changes: "Sequence[Change] | None") -> Table | str:
    if changes is None:
        return "conditions: not kept with the original"
    if not changes:
        return "conditions: the same packages, code, processor, threads and devices"
    table = Table(title="Conditions that changed", title_justify="left")
    for heading in ("condition", "then", "now"):
        table.add_column(heading, overflow="fold")
    for change in changes[:_MOST_PACKAGES]:
        table.add_row(*map(escape, (change.what, change.then, change.now)))
    if len(changes) > _MOST_PACKAGES:
        table.add_row(f"{len(changes) - _MOST_PACKAGES} more packages", "", "")
    return table

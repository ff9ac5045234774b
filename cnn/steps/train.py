"""Step 3: train the recipe that was found once more, on all training images."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.outputs import PREPARED, TRAINED, WINNER
from cnn.config.params import Params

if TYPE_CHECKING:
    from cnn.config.params import TrainParams
    from cnn.config.recipe import Recipe
    from cnn.data.prepared.store import Prepared
    from cnn.records import Curve
    from cnn.steps.weights import OpenRegistry
    from cnn.tracking.tracker import Run, Tracker
    from cnn.training.backbone import Weights
    from cnn.training.fit import Fitted


def train(
    params: Params,
    environment: Environment,
    tracker: "Tracker",
    *,
    registry: "OpenRegistry | None" = None,
    data: Path = PREPARED,
    winner: Path = WINNER,
    out: Path = TRAINED,
) -> dict[str, Any]:
    """Train the candidate, or go on where a killed process stopped, and write it with its curve.

    Args:
        registry: Opens the registry, where what a recipe with `transfer` starts from may stand.
        data: Folder of the prepared arrays; the test images in it are not opened.
        winner: What the search found; read when `train.recipe` is `winner`.
        out: Takes `model.keras`, `curves.csv` and `curve.png`, which are the same bytes wherever the same candidate is
            trained, and `train.json`, which also names the candidate's run and so its night.

    Returns:
        The content of `train.json`.

    Raises:
        ConfigError: The recipe is wrong, does not fit the images, or does not train at all.
        IntegrityError: `winner.yaml` or the images are missing or damaged.
        StorageError: `out` or the checkpoints cannot be written.
        ServiceError: Another process searches for this night, or trains another candidate of it.
    """
    from cnn.config.reading import digest
    from cnn.data.prepared.store import read_prepared
    from cnn.durable import exclusive
    from cnn.runtime import configure_process

    prepared = read_prepared(data, params.prepare)
    recipe = read_chosen_recipe(params.train, winner)
    configure_process(threads=None)
    from cnn.steps.train_screen import say_start
    from cnn.steps.weights import started
    from cnn.training.checkpoint import discard, discard_abandoned
    from cnn.training.saving import write_model

    recipe, backbone = started(recipe, prepared.image_shape, registry)
    say_start(recipe, params.train)
    identity = digest(recipe, params.train.seed, prepared.data_hash, prepared.head.document())
    checkpoints = environment.home / "training" / identity
    run = _run(recipe, params, environment, prepared, identity)

    # both to the very end: a run whose lock is free and which is not closed yet would be taken for a dead one
    with _alone(checkpoints), exclusive(environment.studies / run.key.partition("/")[0] / "lock", what="a training"):
        discard_abandoned(checkpoints.parent)
        fitted = _fit_logged(
            recipe, params.train.seed, prepared, checkpoints, tracker=tracker, run=run, backbone=backbone
        )
        write_model(out / "model.keras", fitted.model)
        document = _document(fitted, recipe, prepared, run.key, out / "model.keras")
        _write_outputs(out, fitted.curve, document, run.name)
        _finish(tracker, run.key, fitted, out, document["diagnosis"])
        discard(checkpoints)
    return document


def read_chosen_recipe(params: "TrainParams", winner: Path) -> "Recipe":
    """The recipe that `train.recipe` names, with the section's own epochs and patience.

    Raises:
        ConfigError: There is no such recipe, or a value is out of range.
        IntegrityError: `winner.yaml` is missing or damaged.
    """
    from cnn.config.mistakes import validated
    from cnn.config.reading import read_recipe, recipe_with
    from cnn.config.recipe import Recipe
    from cnn.durable import read_sealed

    if params.recipe == "winner":
        recipe = validated(Recipe, read_sealed(winner, made_by="cnn search")["recipe"], winner)
    else:
        recipe = read_recipe(params.recipe)
    own = {"training.epochs": params.epochs, "training.patience": params.patience}
    return recipe_with(recipe, {path: value for path, value in own.items() if value is not None}, where="train")


@contextmanager
def _alone(checkpoints: Path) -> Iterator[None]:
    """Held by the one process that trains this candidate; another, as of a second checkout's night, waits for its turn.

    A night that ended here instead would have searched for nothing.
    """
    import rich

    from cnn.durable import exclusive, is_held

    lock = checkpoints / "lock"
    if is_held(lock):
        line = f"another process trains this very candidate: waiting for it to let go of {lock}"
        rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)
    with exclusive(lock, what="a training", patience_s=math.inf):
        yield


def _run(recipe: "Recipe", params: Params, environment: Environment, prepared: "Prepared", identity: str) -> "Run":
    from cnn.config.reading import digest
    from cnn.lineage import read_lineage
    from cnn.steps.weights import start_tags
    from cnn.tracking.conventions import flat, lineage_tags
    from cnn.tracking.tracker import Run

    lineage = read_lineage(prepared.data_hash, digest(params), night=environment.night)
    return Run(
        key=f"{environment.night or f'train-{identity[:8]}'}/candidate",
        name="candidate",
        parent=environment.night,  # the night's search: its candidate stands below it
        params=flat(recipe.model_dump(mode="json")) | {"seed": params.train.seed},
        tags=lineage_tags(lineage)
        | start_tags(recipe)
        | {"role": "candidate", "source": prepared.source, "state": "running"},
    )


def _fit_logged(
    recipe: "Recipe",
    seed: int,
    prepared: "Prepared",
    checkpoints: Path,
    *,
    tracker: "Tracker",
    run: "Run",
    backbone: "Weights | None",
) -> "Fitted":
    """Train while the tracker and the screen hear of each epoch; whatever ends it, the run does not stay open."""
    from cnn.data.prepared.store import open_training
    from cnn.evaluation.contact_sheet import drawn_here
    from cnn.records import EpochRow
    from cnn.steps.train_screen import EpochScreen
    from cnn.tracking.tracker import RunState
    from cnn.training.fit import fit

    screen = EpochScreen(recipe)

    def on_epoch(row: EpochRow) -> bool:
        tracker.log_epoch(run.key, row)
        screen.show(row)
        return False

    training, validation = open_training(prepared)
    head = prepared.head
    tracker.start(run)
    picture = checkpoints / "augmentation.png"
    for sheet in drawn_here(training, head.class_names, recipe.augment, picture, title=run.name, seed=seed):
        tracker.log_file(run.key, sheet)
    try:
        settings: dict[str, Any] = {"head": head, "seed": seed, "checkpoint": checkpoints, "backbone": backbone}
        fitted = fit(recipe, training, validation, on_epoch=on_epoch, **settings)
        _check_trained(fitted)
    except BaseException as error:
        tracker.set_tags(run.key, {"state": "failed", "reason": f"{type(error).__name__}: {error}"[:500]})
        tracker.end(run.key, RunState.FAILED if isinstance(error, Exception) else RunState.KILLED)
        raise
    return fitted


def _check_trained(fitted: "Fitted") -> None:
    from cnn.errors import ConfigError

    if fitted.best_epoch is None:
        change = "lower optimizer.learning_rate in the recipe"
        raise ConfigError("train.recipe", received=fitted.reason, expected="a recipe that trains", change=change)


def _document(fitted: "Fitted", recipe: "Recipe", prepared: "Prepared", key: str, model: Path) -> dict[str, Any]:
    """What is known of the candidate. No time, host or revision stands in it: tracker and registry keep those."""
    from cnn.durable import sha256_of
    from cnn.records import best_row

    best = best_row(fitted.curve)
    return {
        "key": key,
        "model_sha256": sha256_of(model),
        "data_hash": prepared.data_hash,
        "best_epoch": best.epoch + 1,
        "n_epochs": len(fitted.curve),
        "best_val_score": best.val_score,
        "best_val_accuracy": best.val_accuracy,
        "val_loss": best.val_loss,
        "gap_at_best": best.gap_accuracy,
        "reason": fitted.reason,
        **prepared.head.document(),
        "thresholds": _thresholds(fitted.model, prepared),
        "image_shape": list(prepared.image_shape),
        "recipe": recipe.model_dump(mode="json"),
        "diagnosis": _diagnosis(fitted, recipe, prepared),
    }


def _diagnosis(fitted: "Fitted", recipe: "Recipe", prepared: "Prepared") -> dict[str, Any]:
    """What the candidate's curve shows, and the sizes that this rests on."""
    from cnn.diagnosis.diagnose import diagnose
    from cnn.diagnosis.reading import Sizes

    n_val, head = prepared.n_images["validation"], prepared.head
    n_clean = min(prepared.n_images["train"], n_val)  # as the fit draws its clean sample
    sizes = Sizes(n_clean=n_clean, n_val=n_val, n_classes=head.n_classes, task=head.task)
    return diagnose(fitted.curve, sizes, reason=fitted.reason, recipe=recipe.model_dump(mode="json")).document()


def _thresholds(model: Any, prepared: "Prepared") -> list[float]:
    """From which probabilities on labels are predicted, chosen on the validation images; empty where none is needed."""
    from cnn.data.prepared.store import open_training
    from cnn.records import Task
    from cnn.training.scoring import probabilities
    from cnn.training.thresholds import chosen_thresholds

    if prepared.head.task not in (Task.BINARY, Task.MULTILABEL):
        return []
    _, validation = open_training(prepared)
    return list(chosen_thresholds(validation.labels, probabilities(model, validation.images), prepared.head.task))


def _write_outputs(out: Path, curve: "Curve", document: Mapping[str, Any], title: str) -> None:
    from cnn.durable import write_sealed, write_text
    from cnn.evaluation.plots import curve_picture

    write_text(out / "curves.csv", curve_table(curve))
    curve_picture(curve, out / "curve.png", title=title)
    write_sealed(out / "train.json", document)  # last: it vouches for the model


def curve_table(curve: "Curve") -> str:
    """A curve as CSV, a line an epoch, epochs from 1; without `seconds`, which no two runs share."""
    rows = [{name: figure for name, figure in row.figures().items() if name != "seconds"} for row in curve]
    lines = [",".join(["epoch", *rows[0]])]
    lines += [
        ",".join([str(row.epoch + 1), *map(repr, figures.values())]) for row, figures in zip(curve, rows, strict=True)
    ]
    return "\n".join(lines) + "\n"


def read_curve(path: Path) -> "Curve":
    """A curve from its table; its `seconds`, which the table does not have, are 0.

    Raises:
        IntegrityError: The table is missing or damaged.
    """
    import csv

    from cnn.errors import IntegrityError
    from cnn.records import EpochRow

    try:
        lines = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
        names = EpochRow.__dataclass_fields__.keys() - {"epoch", "seconds"}
        figures = [{name: float(line[name]) for name in names} for line in lines]
        return tuple(EpochRow(epoch=epoch, seconds=0.0, **row) for epoch, row in enumerate(figures))
    except (OSError, ValueError, KeyError, TypeError) as error:
        received = "none" if isinstance(error, FileNotFoundError) else f"{type(error).__name__} while reading it"
        expected, change = "a learning curve as it was written", "run cnn train again"
        raise IntegrityError(path, received=received, expected=expected, change=change) from error


def _finish(tracker: "Tracker", key: str, fitted: "Fitted", out: Path, diagnosis: Mapping[str, Any]) -> None:
    import rich

    from cnn.tracking.conventions import RUN_STATES, diagnosis_tags, end_figures

    rich.get_console().print(diagnosis["sentence"], highlight=False, markup=False, soft_wrap=True)
    tracker.log_figures(key, end_figures(fitted.curve))
    tags = {"state": fitted.state.value, "reason": fitted.reason}
    tracker.set_tags(key, tags | diagnosis_tags(diagnosis))
    for name in ("curves.csv", "curve.png", "train.json"):
        tracker.log_file(key, out / name)
    tracker.end(key, RUN_STATES[fitted.state])

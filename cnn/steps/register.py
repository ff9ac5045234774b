"""Step 5: the candidate becomes a version, with all that is needed to know and to repeat it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.outputs import EVALUATED, PREPARED, TRAINED
from cnn.config.params import Params

if TYPE_CHECKING:
    from cnn.tracking.registry import Registry, Version
    from cnn.tracking.tracker import ReadableTracker, Run

CARD = "model_card.md"
_DELIVERY_S = 120.0
_MOST_THRESHOLDS = 100  # as a tag, which holds some thousand characters


def register(
    params: Params,
    environment: Environment,
    tracker: "ReadableTracker",
    registry: "Registry",
    *,
    trained: Path = TRAINED,
    evaluated: Path = EVALUATED,
    data: Path = PREPARED,
    checkout: Path = Path(),
) -> "Version":
    """Register the candidate and name it challenger. Registering it again finds the version it has.

    Args:
        trained: What the train step wrote.
        evaluated: What the evaluate step wrote.
        data: Folder of the prepared arrays; the test images in it are not opened.
        checkout: Whose settings, lock and uncommitted changes are kept with the version.

    Raises:
        IntegrityError: The model, its figures or its predictions are missing, damaged, or do not belong together.
        ServiceError: The registry does not answer, or the candidate's run has not reached it.
    """
    from tempfile import TemporaryDirectory

    import numpy as np

    from cnn.config.reading import digest
    from cnn.data.prepared.store import open_training, read_prepared
    from cnn.durable import read_sealed, write_text
    from cnn.lineage import read_lineage
    from cnn.reports.model_card import model_card
    from cnn.reproduction.keeping import keep_origin
    from cnn.runtime import configure_process
    from cnn.tracking.conventions import flat, lineage_tags
    from cnn.tracking.registry import CHALLENGER, Candidate
    from cnn.tracking.tracker import Run

    facts = read_sealed(trained / "train.json", made_by="cnn train")
    metrics = read_sealed(evaluated / "evaluate.json", made_by="cnn evaluate")
    check_belongs(trained / "model.keras", evaluated, facts, metrics)
    configure_process(threads=None)

    prepared = read_prepared(data)
    settings = digest(params.prepare, params.search, params.train, params.evaluate)
    found = read_lineage(facts["data_hash"], settings, night=environment.night, folder=checkout)
    lineage = {"night": "none"} | lineage_tags(found) | {"test_hash": metrics["test_hash"]}
    recipe = flat(facts["recipe"])
    figures = version_figures(facts, metrics)
    of_run = {name: value for name, value in lineage.items() if name != "test_hash"}
    _make_sure_of_run(tracker, environment, Run(key=facts["key"], name="candidate", params=recipe, tags=of_run))
    card = model_card(params.register_.name, prepared, facts, metrics, lineage, confidence=params.evaluate.confidence)
    with TemporaryDirectory() as folder:
        kept = keep_origin(Path(folder), params, checkout=checkout, model=trained / "model.keras")
        write_text(Path(folder) / CARD, card)
        candidate = Candidate(
            model=trained / "model.keras",
            run_key=facts["key"],
            labels=prepared.class_names,
            image_shape=prepared.image_shape,
            example=np.asarray(open_training(prepared)[1].images[:1]),
            lineage=lineage,
            metrics=figures,
            params={name: str(value) for name, value in recipe.items()},
            tags=figure_tags(figures) | task_tags(facts) | image_tags(params) | test_tags(metrics),
            files=(*_outputs(trained, evaluated), *kept, Path(folder) / CARD),
        )
        version = registry.register(params.register_.name, candidate)
    registry.describe(version, card)
    registry.set_alias(version, CHALLENGER)
    tracker.set_tags(version.run_key, {"version": f"{version.name} {version.number}"})
    return version


def _outputs(trained: Path, evaluated: Path) -> tuple[Path, ...]:
    """What of the steps' files is kept with the version, beside its model."""
    named = (trained / "train.json", evaluated / "predictions.npz", evaluated / "evaluate.json")
    return (*named, *(path for path in (trained / "curves.csv",) if path.is_file()))


def check_belongs(model: Path, evaluated: Path, candidate: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """The model is the one that was trained, and the figures are about it.

    Raises:
        IntegrityError: They are not.
    """
    from cnn.durable import check_file
    from cnn.errors import IntegrityError

    check_file(model, candidate["model_sha256"], made_by="cnn train")
    check_file(evaluated / "predictions.npz", metrics["predictions_sha256"], made_by="cnn evaluate")
    if metrics["model_sha256"] != candidate["model_sha256"]:
        raise IntegrityError(
            evaluated / "evaluate.json",
            received=f"figures of model {metrics['model_sha256'][:12]}…",
            expected=f"those of {candidate['model_sha256'][:12]}…",
            change="run cnn evaluate",
        )


def _make_sure_of_run(tracker: "ReadableTracker", environment: Environment, run: "Run") -> None:
    """The candidate's run is at the server; a candidate that came from DVC's cache has none there yet."""
    from cnn.errors import ServiceError
    from cnn.tracking.server import without_password
    from cnn.tracking.tracker import RunState

    delivered = tracker.flush(_DELIVERY_S)
    if delivered and tracker.read_run(run.key) is None:
        tracker.start(run)
        tracker.end(run.key, RunState.FINISHED)
        delivered = tracker.flush(_DELIVERY_S)
    if not delivered:
        change = "start the server, then run cnn register again"
        address = without_password(environment.mlflow_uri)
        raise ServiceError(address, received="no answer", expected="the candidate's run", change=change)


def version_figures(facts: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, float]:
    """What training and test say about the model, by the names of the tracker."""
    names = ("best_val_accuracy", "best_val_score", "gap_at_best")
    validation = {name: float(facts[name]) for name in names if name in facts}
    test = {name: value for name, value in metrics.items() if isinstance(value, int | float) and name not in validation}
    return validation | {f"test_{name}": float(value) for name, value in test.items()}


def test_tags(metrics: Mapping[str, Any]) -> dict[str, str]:
    """By what the gate knows test images again; nothing where an earlier version of this package evaluated."""
    return {"test_sketch": metrics["test_sketch"]} if "test_sketch" in metrics else {}


def task_tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """The task, and the thresholds where there are few; all of them stand in the kept `train.json`."""
    thresholds = facts.get("thresholds", [])
    return {"task": facts.get("task", "multiclass")} | (
        {"thresholds": ", ".join(f"{value:.6g}" for value in thresholds)}
        if 0 < len(thresholds) <= _MOST_THRESHOLDS
        else {}
    )


def image_tags(params: Params) -> dict[str, str]:
    """How the images were brought to one size: `cnn predict` does the same to new ones."""
    images = params.prepare.images
    return {"images.resize": images.resize, "images.background": str(images.background)}


def figure_tags(figures: Mapping[str, float]) -> dict[str, str]:
    """Figures as a version bears them."""
    return {name: f"{value:.6g}" for name, value in figures.items()}

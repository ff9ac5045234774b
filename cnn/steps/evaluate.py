"""Step 4: measure the candidate once, on images that no search and no training ever saw."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.outputs import EVALUATED, PREPARED, TRAINED
from cnn.config.params import Params
from cnn.steps.train import read_curve

if TYPE_CHECKING:
    from cnn.data.prepared.store import Prepared
    from cnn.evaluation.metrics import Metrics
    from cnn.evaluation.predictions import Predictions
    from cnn.records import Task
    from cnn.tracking.tracker import Tracker


def evaluate(
    params: Params,
    environment: Environment,
    tracker: "Tracker",
    *,
    data: Path = PREPARED,
    trained: Path = TRAINED,
    out: Path = EVALUATED,
) -> "Metrics":
    """Predict the test images, score the predictions, keep both.

    Args:
        data: Folder of the prepared arrays, whose test images are opened.
        trained: What the train step wrote.
        out: Takes `metrics.json`, `evaluate.json`, `per_class.csv`, `confusion.csv`, their pictures, `predictions.npz`,
            and `report.html`, which shows it all.

    Raises:
        IntegrityError: The model or the test images are missing, damaged, or do not belong together.
        StorageError: `out` cannot be written.
    """
    import rich

    from cnn.data.prepared.sketch import sketch_of
    from cnn.data.prepared.store import open_test, read_prepared
    from cnn.evaluation.metrics import metrics_of
    from cnn.evaluation.report import write_report
    from cnn.reports.run import write_run_report
    from cnn.reports.run_parts import RunFacts
    from cnn.runtime import configure_process

    prepared = read_prepared(data, params.prepare)
    candidate = read_candidate(trained, prepared)
    configure_process(threads=None)
    model = load_model(trained / "model.keras", candidate["model_sha256"])

    thresholds = tuple(candidate.get("thresholds", ()))
    predictions = predictions_on_test(model, prepared, batch_size=params.evaluate.batch_size, thresholds=thresholds)
    metrics = metrics_of(predictions, confidence=params.evaluate.confidence)
    test = open_test(prepared)
    facts = {"model_sha256": candidate["model_sha256"], "test_hash": prepared.test_hash, "test_sketch": sketch_of(test)}
    figures = {"gap_at_best": candidate["gap_at_best"]}
    files = write_report(out, metrics, predictions, figures=figures, facts=facts)
    files += write_run_report(
        out,
        RunFacts(
            prepared=prepared,
            recipe=candidate["recipe"],
            curve=read_curve(trained / "curves.csv"),
            metrics=metrics,
            predictions=predictions,
            files=files,
            images=test.images,
            model=model,
            confidence=params.evaluate.confidence,
        ),
    )
    tracker.log_figures(candidate["key"], {f"test_{name}": value for name, value in metrics.figures().items()})
    for path in files:
        tracker.log_file(candidate["key"], path, "test")
    rich.print(f"test {summary(metrics, prepared.head.task, params.evaluate.confidence)}")
    return metrics


def summary(metrics: "Metrics", task: "Task", confidence: float) -> str:
    """The figures a person asks for first, in one line: the task's own score before the rest."""
    interval = f"{metrics.accuracy_low:.4f} to {metrics.accuracy_high:.4f} at {100 * confidence:g} %"
    figures = f"accuracy {metrics.accuracy:.4f} ({interval}), loss {metrics.loss:.4f}, macro F1 {metrics.macro_f1:.4f}"
    score = "" if task.score_name == "accuracy" else f"{task.score_words} {metrics.own[task.score_name]:.4f}, "
    return f"{score}{figures}, {metrics.n:,} images"


def read_candidate(trained: Path, prepared: "Prepared") -> dict[str, Any]:
    """What the train step says about its model.

    Raises:
        IntegrityError: It is missing or damaged, or was trained on other data or for another task than is prepared now.
    """
    from cnn.durable import read_sealed
    from cnn.errors import IntegrityError
    from cnn.records import head_from

    path = trained / "train.json"
    candidate = read_sealed(path, made_by="cnn train")
    if candidate["data_hash"] != prepared.data_hash:
        raise IntegrityError(
            path,
            received=f"a model trained on data {candidate['data_hash'][:12]}…",
            expected=f"the prepared data, {prepared.data_hash[:12]}…",
            change="run cnn train again",
        )
    if "task" in candidate and head_from(candidate) != prepared.head:
        raise IntegrityError(
            path,
            received=f"a {candidate['task']} model of {len(candidate['class_names'])} classes",
            expected=f"one of the {prepared.head.task} task that is prepared, with the same classes and tree",
            change="run cnn train again",
        )
    return candidate


def load_model(path: Path, sha256: str) -> Any:
    """A model, its digest checked before Keras reads a byte of it.

    Raises:
        IntegrityError: The file is missing or its bytes have changed.
    """
    from cnn.durable import check_file

    check_file(path, sha256, made_by="cnn train")
    import keras

    return keras.saving.load_model(path, compile=False, safe_mode=True)


def predictions_on_test(
    model: Any, prepared: "Prepared", *, batch_size: int, thresholds: tuple[float, ...] = ()
) -> "Predictions":
    """What a model says about the test images: the only place where they are opened.

    Besides this step, only `promote` asks, for a champion that was tested on other images.

    Raises:
        IntegrityError: A file is missing, torn or flipped.
    """
    from cnn.data.prepared.store import open_test
    from cnn.evaluation.predictions import predict

    test = open_test(prepared)
    return predict(
        model.predict_on_batch,
        test.images,
        test.labels,
        batch_size=batch_size,
        head=prepared.head,
        thresholds=thresholds,
        names=test.names,
    )

"""What is known of a version, a run or a night when it is compared with another."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from cnn.config.reading import PARAMS_FILE
from cnn.durable import read_sealed
from cnn.errors import ConfigError
from cnn.records import Curve, EpochRow, epoch_row

if TYPE_CHECKING:
    from cnn.evaluation.predictions import Predictions
    from cnn.tracking.registry import Registry, Version
    from cnn.tracking.tracker import LoggedRun, RunReader

_EXPECTED = "a version (7, NAME/7, champion), a night, or a run's key or id"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """One of the two.

    Args:
        params: Settings and recipe by dotted path, as text.
        figures: Of test and validation; an interval stands beside its figure, as `test_accuracy_low` and `_high`.
        curve: Empty where none was kept.
        predictions: On the test images; None where none were kept, as of a trial.
        test_hash: Of those images.
    """

    name: str
    params: Mapping[str, str]
    figures: Mapping[str, float]
    curve: Curve = ()
    predictions: "Predictions | None" = None
    test_hash: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def find_subject(what: str, name: str, registry: "Registry", reader: "RunReader") -> Subject:
    """What a word means: a version, the version of a night or of a candidate's run, else any run.

    Args:
        name: Of the registered model, where the word has none.

    Raises:
        ConfigError: The word means nothing that is known.
        IntegrityError: What was kept is damaged.
        ServiceError: The registry does not answer.
    """
    from cnn.reproduction.origin import find_version

    version = find_version(what, name, registry, reader)
    if version is not None and version.is_ours:
        return _of_version(version, registry, reader)
    run = _read_run(what, reader)
    if run is None:
        raise ConfigError(what, received="nothing of this name", expected=_EXPECTED, change="see cnn status, cnn ui")
    return _of_run(run)


def _of_version(version: "Version", registry: "Registry", reader: "RunReader") -> Subject:
    from cnn.evaluation.predictions import read_predictions
    from cnn.reproduction.origin import kept_files
    from cnn.steps.train import read_curve
    from cnn.tracking.conventions import flat

    with TemporaryDirectory() as scratch:
        folder = kept_files(version, registry, Path(scratch))
        recipe = read_sealed(folder / "train.json", made_by="cnn register")["recipe"]
        predictions = read_predictions(folder / "predictions.npz", version.tags["sha256.predictions.npz"])
        settings = _settings(folder / PARAMS_FILE.name)
        seed = {"recipe.seed": settings["train.seed"]} if "train.seed" in settings else {}  # a run has it among these
        curve = read_curve(folder / "curves.csv") if (folder / "curves.csv").exists() else ()
    run = None if curve else _read_run(version.run_key, reader)
    return Subject(
        name=f"{version.name} version {version.number}",
        params=settings | _text({f"recipe.{key}": value for key, value in flat(recipe).items()}) | seed,
        figures=_numbers(version.tags),
        curve=curve or (_curve(run) if run else ()),
        predictions=predictions,
        test_hash=version.tags.get("test_hash", ""),
        tags=version.tags,
    )


def _of_run(run: "LoggedRun") -> Subject:
    recipe = {f"recipe.{name}": str(value) for name, value in run.params.items()}
    epochs = {name for row in run.epochs for name in row}
    figures = {name: value for name, value in run.figures.items() if name not in epochs and "/" not in name}
    return Subject(name=run.key, params=recipe, figures=figures, curve=_curve(run), tags=run.tags)


def _read_run(key: str, reader: "RunReader") -> "LoggedRun | None":
    try:
        return reader.read_run(key)
    except ValueError:  # quotes, as no key has them
        return None


def _curve(run: "LoggedRun") -> Curve:
    """Of a run, as far as all its figures were logged."""
    names = EpochRow.__dataclass_fields__.keys() - {"epoch", "val_score"}
    rows = []
    for epoch, figures in enumerate(run.epochs):
        if not names <= figures.keys():
            break
        rows.append(epoch_row({"epoch": epoch, **figures}))
    return tuple(rows)


def _settings(path: Path) -> dict[str, str]:
    from cnn.tracking.conventions import flat

    if not path.exists():
        return {}
    return _text(flat(YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))))


def _text(values: Mapping[str, Any]) -> dict[str, str]:
    """As MLflow keeps the params of a run."""
    return {name: str(value) for name, value in values.items()}


def _numbers(tags: Mapping[str, str]) -> dict[str, float]:
    """The figures among a version's tags."""
    found = {}
    for name, text in tags.items():
        if name.startswith(("test_", "best_val_", "gap_")):
            try:
                found[name] = float(text)
            except ValueError:
                continue
    return found

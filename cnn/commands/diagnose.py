"""What a run's curve shows and what to do about it; or what more data would bring."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from cnn.config.environment import Environment
from cnn.config.outputs import TRAINED
from cnn.diagnosis.reading import Sizes
from cnn.diagnosis.verdict import Diagnosis
from cnn.durable import read_sealed
from cnn.errors import ConfigError, DataError, IntegrityError
from cnn.records import Curve, EpochRow, Scalar, Task, epoch_row

if TYPE_CHECKING:
    from cnn.tracking.tracker import LoggedRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The sizes that the command line gives; they go before those that were kept."""

    n_val: int | None = None
    n_train: int | None = None
    classes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be diagnosed.

    Args:
        kept: An earlier diagnosis' figures, of which the sizes are taken; may be empty.
        recipe: Empty when it is not known.
    """

    name: str
    curve: Curve
    reason: str
    kept: Mapping[str, Any]
    recipe: Mapping[str, Any]


def diagnose(what: str, given: Given, environment: Environment, console: Console, *, as_json: bool) -> None:
    """Print verdict, evidence and remedies.

    Args:
        what: A `curves.csv`, a night's name or a run's key; empty: the latest candidate.
        as_json: Print one JSON object and nothing else.

    Raises:
        ConfigError: There is no such run, or the sizes that a verdict rests on are not known.
        IntegrityError: A file is missing or damaged.
        ServiceError: Nothing answers at the tracking address.
    """
    path = Path(what) if what else TRAINED / "curves.csv"
    by_file = not what or path.suffix == ".csv" or path.is_file()
    subject = _of_file(path) if by_file else _of_run(what, environment)
    sizes = _sizes(subject, given)
    from cnn.diagnosis.diagnose import diagnose

    diagnosis = diagnose(subject.curve, sizes, reason=subject.reason, recipe=subject.recipe or None)
    if as_json:
        print(json.dumps({"run": subject.name, **diagnosis.document()}))
    else:
        _show(subject.name, diagnosis, console)


def _of_file(path: Path) -> Subject:
    """A curve's table; what else is known stands in the `train.json` beside it."""
    from cnn.steps.train import read_curve

    _check_columns(path)
    curve = read_curve(path)
    if not curve:
        expected, change = "a learning curve of one epoch or more", "run cnn train again"
        raise IntegrityError(path, received="a table without an epoch", expected=expected, change=change)
    beside = path.with_name("train.json")
    document = read_sealed(beside, made_by="cnn train") if beside.is_file() else {}
    return Subject(
        name=str(path),
        curve=curve,
        reason=str(document.get("reason", "")),
        kept=document.get("diagnosis", {}).get("figures", {}),
        recipe=document.get("recipe", {}),
    )


def _check_columns(path: Path) -> None:
    """Refuse a table that is no learning curve by its heading; one that can't be read is left to the reader.

    Raises:
        IntegrityError: It lacks columns.
    """
    try:
        heading = path.read_text(encoding="utf-8").splitlines()[:1]
    except (OSError, ValueError):
        return
    found = next(csv.reader(heading), [])
    wanted = [name for name in EpochRow.__dataclass_fields__ if name not in ("epoch", "seconds")]
    missing = [name for name in wanted if name not in found]
    if missing and heading:
        received = f"a table without the columns {', '.join(missing)} (it has {', '.join(found)})"
        expected = f"a learning curve with the columns {', '.join(wanted)}"
        raise IntegrityError(path, received=received, expected=expected, change="name a curves.csv of cnn train")


def _of_run(key: str, environment: Environment) -> Subject:
    """A run of the tracker; a night's name stands for its candidate."""
    from cnn.tracking.reader import MlflowReader
    from cnn.tracking.server import check_server

    check_server(environment.mlflow_uri)
    reader = MlflowReader(environment)
    candidates = (f"{key}/candidate", key)
    logged = next((run for name in candidates if (run := reader.read_run(name)) and run.epochs), None)
    if logged is None:
        expected = "a curves.csv, a night's name, or a run's key such as night-2026-11-24-0300/7"
        change = "cnn status and cnn ui show which runs there are"
        raise ConfigError(key, received="no run with a curve", expected=expected, change=change)
    files = {name: json.loads(reader.read_file(logged.key, name)) for name in _KEPT if name in logged.files}
    return Subject(
        name=logged.key,
        curve=tuple(epoch_row({"epoch": epoch, **figures}) for epoch, figures in enumerate(logged.epochs)),
        reason=logged.tags.get("reason", ""),
        kept=_kept_figures(files),
        recipe=files.get("train.json", {}).get("recipe") or _recipe(logged),
    )


_KEPT = ("diagnosis.json", "train.json")


def _kept_figures(files: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    said = files.get("diagnosis.json") or files.get("train.json", {}).get("diagnosis", {})
    figures: Mapping[str, Any] = said.get("figures", {})
    return figures


def _recipe(logged: "LoggedRun") -> dict[str, dict[str, Any]]:
    """A recipe from the params of its run, which the tracker keeps as text by dotted path."""
    from ruamel.yaml import YAML

    yaml, nested = YAML(typ="safe", pure=True), dict[str, dict[str, Any]]()
    for path, text in logged.params.items():
        section, dot, field = path.partition(".")
        if dot:
            nested.setdefault(section, {})[field] = yaml.load(text)
    return nested


def _sizes(subject: Subject, given: Given) -> Sizes:
    n_val, n_train, classes = (
        _size(subject, name, option, value)
        for name, option, value in (
            ("n_val", "--n-val", given.n_val),
            ("n_clean", "--n-train", given.n_train),
            ("n_classes", "--classes", given.classes),
        )
    )
    task = Task.MULTILABEL if subject.kept.get("multilabel") else Task.MULTICLASS
    kept = subject.kept.get("n_train")
    trained_on = given.n_train if given.n_train is not None or kept is None else int(kept)
    return Sizes(n_clean=min(n_train, n_val), n_val=n_val, n_classes=classes, task=task, n_train=trained_on)


def _size(subject: Subject, name: str, option: str, given: int | None) -> int:
    value = given if given is not None else subject.kept.get(name)
    if value is None:
        expected = "a number, for a curve's figures mean nothing without it"
        raise ConfigError(option, received=f"none for {subject.name}", expected=expected, change=f"add {option} N")
    return int(value)


def _show(name: str, diagnosis: Diagnosis, console: Console) -> None:
    console.print(f"[bold]{escape(name)}: {diagnosis.verdict.value.replace('_', ' ')}[/bold]", highlight=False)
    for sentence in diagnosis.evidence:
        console.print(f"  {escape(_capital(sentence))}", highlight=False, soft_wrap=True)
    if diagnosis.remedies:
        console.print("Remedies, in the order in which to try them:", highlight=False)
    for number, remedy in enumerate(diagnosis.remedies, start=1):
        values = ", ".join(f"{path}={_shown(value)}" for path, value in remedy.values.items())
        line = f"  {number}. {remedy.name.replace('_', ' ')}: {remedy.sentence}" + (f" {values}" if values else "")
        console.print(escape(line), highlight=False, soft_wrap=True)


def _shown(value: Scalar) -> str:
    """As JSON; reals to three digits, for no advice is finer than that."""
    return json.dumps(float(f"{value:.3g}") if isinstance(value, float) else value)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def checked_fractions(text: str) -> tuple[float, ...]:
    """`--fractions`.

    Raises:
        ConfigError: There are not three different ones in (0, 1].
    """
    from cnn.diagnosis.growing_data import fractions

    try:
        found = tuple(sorted(set(fractions(text))))
    except (ValueError, ZeroDivisionError):
        found = ()
    if len(found) < 3:
        expected = "three or more parts above 0 and up to 1, as 1/8,1/4,1/2,1"
        raise ConfigError("--fractions", received=text, expected=expected, change="name three parts")
    return found


def too_few(smallest: int, n_classes: int) -> None:
    """Refuse a part of the data in which a class would be missing.

    Raises:
        DataError: It has fewer images than there are classes.
    """
    if smallest < n_classes:
        received = f"a part of {smallest} training images for {n_classes} classes"
        change = "raise the smallest of --fractions"
        raise DataError("--fractions", received=received, expected="an image of every class", change=change)

"""A version in a format that other programs take, checked on real images before it is handed out."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from cnn import wiring
from cnn.config.environment import Environment
from cnn.config.outputs import PREPARED
from cnn.config.params import Params
from cnn.durable import storage_errors, write_json
from cnn.errors import ConfigError, IntegrityError

if TYPE_CHECKING:
    from cnn.evaluation.predictions import Predictions
    from cnn.tracking.registry import Registry, Version

EXPORTS = Path("outputs/exports")
LABELS, CARD = "labels.json", "model_card.md"
TOLERANCE = 1e-3
"""Largest difference of a probability: what other kernels' order of summation makes of float32, and room above it."""
_N_IMAGES, _BATCH = 256, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """How an export answers beside the model it came from.

    Args:
        n: Images.
        largest: Difference of a probability.
        n_labels: Images whose answer is another one.
    """

    n: int
    largest: float
    n_labels: int

    def sentence(self) -> str:
        """As a person reads it."""
        return f"{self.n} validation images: largest difference {self.largest:.2g}, labels that differ {self.n_labels}"


def export(
    what: str, params: Params, environment: Environment, console: Console, *, form: str, into: Path | None = None
) -> Parity:
    """Write a version's model in a format, with its labels and its card, and compare the two on validation images.

    Args:
        what: A version, or the night or run that made one.
        into: Folder for it; None: `outputs/exports/NAME-NUMBER-FORMAT`.

    Raises:
        ConfigError: There is no such version or format, a package is missing, the prepared images are of another
            shape, or the folder holds something else.
        IntegrityError: The model is damaged, the images are missing or damaged, or the export answers otherwise.
        ServiceError: The registry does not answer.
        StorageError: The folder cannot be written.
    """
    from cnn.exporting.formats import FORMATS, check_installed

    if form not in FORMATS:
        change = "choose one of them"
        raise ConfigError("--format", received=form, expected=f"one of {', '.join(FORMATS)}", change=change)
    check_installed(form)
    registry = wiring.registry(environment)
    version = _version(what, params, registry, environment)
    folder = into or EXPORTS / f"{version.name}-{version.number}-{form}"
    _check_free(folder)
    with TemporaryDirectory() as scratch:
        parity = _exported(version, registry, form, Path(scratch), folder)
    console.print(f"{folder}: {version.name} version {version.number} as {form}", highlight=False, soft_wrap=True)
    console.print(parity.sentence(), highlight=False, soft_wrap=True)
    return parity


def parity_of(then: Any, now: Any, kept: "Predictions") -> Parity:
    """Two sets of probabilities of the same images.

    Args:
        then: (n, k) of the model.
        now: (n, k) of the export.
        kept: Whose task and thresholds make answers of probabilities.
    """
    from cnn.training.answers import predictions

    answers = [predictions(probs, kept.head.task, kept.thresholds) for probs in (then, now)]
    differ = (answers[0] != answers[1]).reshape(len(then), -1).any(axis=1)
    return Parity(n=len(then), largest=float(np.abs(then - now).max()), n_labels=int(differ.sum()))


def _version(what: str, params: Params, registry: "Registry", environment: Environment) -> "Version":
    from cnn.reproduction.origin import find_version

    version = find_version(what, params.register_.name, registry, wiring.reader(environment))
    if version is None or not version.is_ours:
        received = "no such version" if version is None else "a version of others"
        raise ConfigError(what, received=received, expected="a version of cnn register", change="see cnn history")
    return version


def _exported(version: "Version", registry: "Registry", form: str, scratch: Path, folder: Path) -> Parity:
    from cnn.exporting.formats import FORMATS
    from cnn.reproduction.origin import kept_files
    from cnn.runtime import configure_process
    from cnn.training.model_file import load_harmless

    configure_process(threads=None)
    source = registry.download(version, scratch)
    kept = kept_files(version, registry, scratch / "kept")
    model = load_harmless(source, version.tags["sha256"])
    images = _validation_images(model)
    predictions = _kept_predictions(version, kept)
    made = scratch / "made"
    made.mkdir()
    target = made / FORMATS[form].file
    FORMATS[form].write(model, source, target)
    parity = parity_of(
        _answers(model.predict_on_batch, images), _answers(FORMATS[form].runner(target), images), predictions
    )
    if not parity.largest <= TOLERANCE:
        received, change = parity.sentence(), "choose another format; nothing was written"
        expected = f"probabilities within {TOLERANCE:g}"
        raise IntegrityError(f"--format {form}", received=received, expected=expected, change=change)
    write_json(made / LABELS, _labels(version, predictions, images))
    if (kept / CARD).exists():
        shutil.copyfile(kept / CARD, made / CARD)
    _put(made, folder)
    return parity


def _validation_images(model: Any) -> Any:
    """Images of the prepared set; those of the test stay closed."""
    from cnn.data.prepared.store import open_training, read_prepared

    prepared = read_prepared(PREPARED)
    taken, present = tuple(model.input_shape[1:]), tuple(prepared.image_shape)
    if taken != present:
        received = "images of " + "x".join(map(str, present))
        expected, change = "images of " + "x".join(map(str, taken)), "prepare the data of that version"
        raise ConfigError(PREPARED, received=received, expected=expected, change=change)
    return open_training(prepared)[1].images[:_N_IMAGES]


def _answers(answer: Any, images: Any) -> Any:
    parts = [answer(np.asarray(images[start : start + _BATCH])) for start in range(0, len(images), _BATCH)]
    return np.concatenate([np.asarray(part, dtype=np.float32) for part in parts])


def _kept_predictions(version: "Version", kept: Path) -> "Predictions":
    from cnn.evaluation.predictions import read_predictions

    return read_predictions(kept / "predictions.npz", version.tags["sha256.predictions.npz"])


def _labels(version: "Version", kept: "Predictions", images: Any) -> dict[str, Any]:
    """What whoever runs the export must know: what goes in, what the numbers that come out mean."""
    return {
        "name": version.name,
        "version": version.number,
        "sha256": version.tags["sha256"],
        "input": {"shape": [None, *images.shape[1:]], "type": "uint8", "range": [0, 255]},
        "output": "one probability a class, in the order of class_names",
        **kept.head.document(),
        "thresholds": list(kept.thresholds),
        "resize": version.tags.get("images.resize", "fit"),
        "background": int(version.tags.get("images.background", "0")),
    }


def _check_free(folder: Path) -> None:
    """An earlier export may be replaced, whatever else lies there may not."""
    from cnn.exporting.formats import FORMATS

    ours = {LABELS, CARD, *(form.file for form in FORMATS.values())}
    found = {folder.name} if folder.is_file() else {path.name for path in folder.glob("*")}
    if foreign := sorted(found - ours):
        received, change = f"{foreign[0]} in it", "name another with --into"
        raise ConfigError(folder, received=received, expected="a new folder or an earlier export", change=change)


def _put(made: Path, folder: Path) -> None:
    """The whole export at once: a reader sees the old one, none, or the new one."""
    beside = folder.with_name(f".{folder.name}.part")
    with storage_errors(folder):
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(made, beside)
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)

"""The model that a person names: a version of the registry, or a file. Its digest comes before its content, and a
file that could run code of its own is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cnn.config.preparing import ImagesParams
from cnn.errors import ConfigError
from cnn.records import Head, head_from

if TYPE_CHECKING:
    from cnn.tracking.registry import Registry, Version

_VERSION = re.compile(r"models:/([^/:.%\"'@]+)@([^/:.%\"'@]+)")
_EXPECTED = "models:/NAME@ALIAS or FILE.keras"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChosenModel:
    """A loaded model and what its answers mean.

    Args:
        model: Keras model, uint8 images (n, h, w, c) in, probabilities (n, k) out.
        head: The classes, and whether they exclude each other.
        thresholds: As `cnn.evaluation.predictions.Predictions` has them.
        images: What becomes of a picture before the model sees it.
    """

    model: Any
    head: Head
    thresholds: tuple[float, ...]
    images: ImagesParams


def chosen_model(name: str, registry: "Registry | None") -> ChosenModel:
    """Load `models:/NAME@ALIAS` or a `.keras` file.

    A version's pictures are resized as its tags `images.resize` and `images.background` say; without them, and with a
    file, they are brought to the model's size whatever their proportions. A file has its class names from the
    `train.json` beside it, which must then be about this very file; without one they are numbers.

    Args:
        registry: Where versions are; not asked for a file.

    Raises:
        ConfigError: The name is neither, or there is no such version.
        IntegrityError: Its bytes are not those that were registered or trained, or it could run code of its own.
        ServiceError: The registry does not answer.
    """
    fits = _VERSION.fullmatch(name)
    if fits is None:
        return _from_file(name)
    if registry is None:
        raise ValueError("a version needs a registry")
    return _from_registry(name, registry.version_by_alias(*fits.groups()), registry)


def is_version(name: str) -> bool:
    """Whether a name is that of a version.

    Example:
        >>> is_version("models:/cats@champion"), is_version("model.keras")
        (True, False)
    """
    return _VERSION.fullmatch(name) is not None


def _from_registry(name: str, version: "Version | None", registry: "Registry") -> ChosenModel:
    from cnn.promotion.kept import kept_predictions

    if version is None or not version.is_ours:
        received = "no such version" if version is None else f"version {version.number}, registered by others"
        change = "run cnn register and cnn promote, or name another model with --model"
        raise ConfigError(name, received=received, expected="a version of cnn register", change=change)
    kept = kept_predictions(version, registry)
    with TemporaryDirectory() as folder:
        path = registry.download(version, Path(folder))
        return _loaded(path, version.tags["sha256"], kept.head, kept.thresholds, version.tags)


def _from_file(name: str) -> ChosenModel:
    from cnn.durable import read_sealed, sha256_of

    path = Path(name)
    if not path.is_file():
        raise ConfigError("--model", received=name, expected=_EXPECTED, change="name another model")
    beside = path.with_name("train.json")
    if path.name != "model.keras" or not beside.exists():
        return _loaded(path, sha256_of(path), Head(class_names=()), (), {})
    facts = read_sealed(beside, made_by="cnn train")
    return _loaded(path, facts["model_sha256"], head_from(facts), tuple(facts.get("thresholds", ())), {})


def _loaded(path: Path, sha256: str, head: Head, thresholds: tuple[float, ...], tags: Mapping[str, str]) -> ChosenModel:
    from cnn.training.model_file import load_harmless, refused

    model = load_harmless(path, sha256)
    try:
        height, width, channels = model.input_shape[1:]
        n_classes = int(model.output_shape[-1])
    except (ValueError, TypeError, AttributeError) as error:
        raise refused(path, "a model that takes no images") from error
    return ChosenModel(
        model=model,
        head=head if head.class_names else replace(head, class_names=tuple(map(str, range(n_classes)))),
        thresholds=thresholds,
        images=ImagesParams.model_validate({
            "size": (height, width),
            "channels": channels,
            "resize": tags.get("images.resize", "fit"),
            "background": int(tags.get("images.background", "0")),
        }),
    )  # fmt: skip

"""What a recipe with `transfer` starts from, found once by the step that trains: `search` or `train`.

A step that has found it goes on with a recipe that names it for good: an alias has become a version's number, and its
SHA-256 stands beside it. So a champion that moves meanwhile changes nothing, and whoever trains the recipe again starts
from the same weights or is told that they are no longer there.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cnn.config.outputs import TRAINED
from cnn.config.reading import recipe_with
from cnn.config.transfer import IMAGENET, VERSION, TransferRecipe
from cnn.errors import ConfigError, IntegrityError, SpaceError
from cnn.records import Head

if TYPE_CHECKING:
    import keras

    from cnn.config.recipe import Recipe
    from cnn.tracking.registry import Registry, Version
    from cnn.training.backbone import Backbone, Weights

OpenRegistry = Callable[[], "Registry"]
"""Opened only where a source stands in it."""

ImageShape = tuple[int, int, int]
"""Height, width, channels."""

_STAYS = re.compile(r"model\.(\w*dropout|batch_norm_momentum)")
"""Fields of a network that its weights do not depend on."""

_ANY_HEAD = Head(class_names=("no", "yes"))
"""The classifier is none of the source's."""


def started(
    recipe: "Recipe", image_shape: ImageShape, registry: OpenRegistry | None
) -> tuple["Recipe", "Weights | None"]:
    """The recipe with its source named for good, and the source's weights; as it is, and None, without `transfer`.

    Args:
        image_shape: Of the images it will be trained on.

    Raises:
        ConfigError: There is no such version or file, it does not fit the recipe's network, or there are no ImageNet
            weights for that.
        SourceError: The ImageNet weights cannot be reached.
        IntegrityError: The source is not what was registered or written down, or it could run code of its own.
        ServiceError: The registry does not answer.
    """
    if recipe.transfer is None:
        return recipe, None
    found, model = _found(recipe, image_shape[-1], registry)
    _check_fits(recipe, image_shape, found, model)
    return _named(recipe, found.source, found.sha256), found.weights


def kept_start(recipe: "Recipe", folder: Path, image_shape: ImageShape, registry: OpenRegistry | None) -> "Recipe":
    """As `started` for a study: found at its first start, then kept in its folder, from which the workers take it.

    Raises:
        UserError: As `started`.
    """
    from cnn.training.backbone import Backbone, keep_backbone, kept_origin, kept_weights

    if recipe.transfer is None:
        return recipe
    if origin := kept_origin(folder):
        recipe = _named(recipe, *origin)
        try:
            kept_weights(folder)
            return recipe
        except IntegrityError:  # the same is found again, or the digest in the recipe tells that it is not
            pass
    recipe, weights = started(recipe, image_shape, registry)
    source = recipe.transfer
    assert source is not None and source.sha256 is not None and weights is not None
    keep_backbone(folder, Backbone(source=source.from_, sha256=source.sha256, weights=weights))
    return recipe


def drop_start(folder: Path) -> None:
    """Remove the weights of a study that is over: `train` finds them where the winner's recipe says."""
    from cnn.training.backbone import drop_weights

    drop_weights(folder)


def check_start_is_fixed(base: "Recipe", dimensions: Iterable[str]) -> None:
    """Raises SpaceError where a space varies what is started from, or the network that it is for."""
    if base.transfer is None:
        return
    for path in dimensions:
        if path in ("transfer.from", "transfer.sha256", "transfer.then.epochs"):
            expected = "transfer.freeze, transfer.then.learning_rate or fields of other sections"
            change = "name the source in search.recipe, and search once for each"
        elif path.startswith("model.") and not _STAYS.fullmatch(path):
            expected = "of the source's network only dropout and batch_norm_momentum"
            change = "take it out of the space, or set transfer: null in the recipe"
        else:
            continue
        raise SpaceError(f"search.space.{path}", received="a dimension", expected=expected, change=change)


def start_tags(recipe: "Recipe") -> dict[str, str]:
    """Where a run started from, as tags; none for one that started from nothing."""
    transfer = recipe.transfer
    return {} if transfer is None else {"transfer_from": transfer.from_, "transfer_sha256": transfer.sha256 or ""}


def _named(recipe: "Recipe", source: str, sha256: str) -> "Recipe":
    return recipe_with(recipe, {"transfer.from": source, "transfer.sha256": sha256}, where="the recipe")


def _found(recipe: "Recipe", n_channels: int, registry: OpenRegistry | None) -> tuple["Backbone", "keras.Model | None"]:
    """What the recipe names, and the model that it was taken from if that may be another than the recipe's."""
    assert recipe.transfer is not None
    source = recipe.transfer.from_
    if source == IMAGENET:
        return _published(recipe, n_channels), None
    if fits := VERSION.fullmatch(source):
        name, alias, number = fits.groups()
        if registry is None:
            raise ValueError("a version needs a registry")
        opened = registry()
        version = opened.version_by_alias(name, alias) if alias else opened.version(name, int(number))
        return _of_version(recipe.transfer, version, opened)
    return _of_file(recipe.transfer, Path(source))


def _published(recipe: "Recipe", n_channels: int) -> "Backbone":
    from cnn.runtime import configure_process
    from cnn.training.backbone import Backbone, digest_of

    configure_process(threads=None)
    from cnn.models.imagenet import imagenet_weights

    assert recipe.transfer is not None
    weights = imagenet_weights(getattr(recipe.model, "network", recipe.model.family), n_channels)
    sha256 = digest_of(weights)
    _check_pinned(recipe.transfer, IMAGENET, sha256)
    return Backbone(source=IMAGENET, sha256=sha256, weights=weights)


def _of_version(
    transfer: TransferRecipe, version: "Version | None", registry: "Registry"
) -> tuple["Backbone", "keras.Model"]:
    if version is None or not version.is_ours:
        received = "no such version" if version is None else f"version {version.number}, registered by others"
        subject, change = f"transfer.from {transfer.from_}", "run cnn register and cnn promote, or name another source"
        raise ConfigError(subject, received=received, expected="a version of cnn register", change=change)
    with TemporaryDirectory() as folder:
        path = registry.download(version, Path(folder))
        return _of_model(transfer, path, f"models:/{version.name}/{version.number}", version.tags["sha256"])


def _of_file(transfer: TransferRecipe, path: Path) -> tuple["Backbone", "keras.Model"]:
    from cnn.durable import sha256_of

    if path.resolve() == (TRAINED / "model.keras").resolve():
        received, expected = f"{path}, which cnn train writes anew", "a file that stays as it is"
        change = "copy it elsewhere, or register it and name models:/NAME@ALIAS"
        raise ConfigError("transfer.from", received=received, expected=expected, change=change)
    if not path.is_file():
        change = "name a .keras file, relative to the project's folder or absolute"
        raise ConfigError("transfer.from", received=f"{path}, no such file", expected="a file", change=change)
    return _of_model(transfer, path, str(path), sha256_of(path))


def _of_model(transfer: TransferRecipe, path: Path, source: str, sha256: str) -> tuple["Backbone", "keras.Model"]:
    from cnn.training.backbone import Backbone
    from cnn.training.model_file import load_harmless
    from cnn.training.transfer import backbone_weights

    _check_pinned(transfer, source, sha256)
    model = load_harmless(path, sha256)
    return Backbone(source=source, sha256=sha256, weights=backbone_weights(model)), model


def _check_pinned(transfer: TransferRecipe, source: str, sha256: str) -> None:
    if transfer.sha256 not in (None, sha256):
        expected, change = f"sha256 {transfer.sha256}", "bring that source back, or take the recipe's sha256 out"
        raise IntegrityError(source, received=f"sha256 {sha256}", expected=expected, change=change)


def _check_fits(recipe: "Recipe", image_shape: ImageShape, found: "Backbone", model: "keras.Model | None") -> None:
    import numpy as np

    from cnn.models.build import build_model
    from cnn.training.transfer import check_start

    assert recipe.transfer is not None
    broken = next((name for name, array in found.weights.items() if not np.isfinite(array).all()), None)
    if broken:
        received, change = f"NaN or infinity in {broken}", "name another source"
        raise ConfigError(f"transfer.from {found.source}", received=received, expected="numbers", change=change)
    check_start(build_model(recipe.model, image_shape, _ANY_HEAD, seed=0), found.weights, recipe.transfer, model)

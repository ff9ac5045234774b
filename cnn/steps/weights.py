"""What a recipe with `transfer` starts from, found once by the step that trains: `search` or `train`.

A step that has found it goes on with a recipe that names it for good: an alias has become a version's number, and its
SHA-256 stands beside it. So a champion that moves meanwhile changes nothing, and whoever trains the recipe again starts
from the same weights or is told that they are no longer there.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from cnn.config.reading import recipe_with
from cnn.config.transfer import IMAGENET, VERSION
from cnn.errors import ConfigError, IntegrityError, SpaceError

if TYPE_CHECKING:
    from cnn.config.recipe import Recipe
    from cnn.tracking.registry import Registry, Version
    from cnn.training.backbone import Backbone, Weights

OpenRegistry = Callable[[], "Registry"]
"""Opened only where a source stands in it."""


def started(recipe: "Recipe", n_channels: int, registry: OpenRegistry | None) -> tuple["Recipe", "Weights | None"]:
    """The recipe with its source named for good, and the source's weights; as it is, and None, without `transfer`.

    Args:
        n_channels: Of the images it will be trained on.

    Raises:
        ConfigError: There is no such version or file, or no ImageNet weights for the recipe's network.
        SourceError: The ImageNet weights cannot be reached.
        IntegrityError: The source is not what was registered or written down, or it could run code of its own.
        ServiceError: The registry does not answer.
    """
    if recipe.transfer is None:
        return recipe, None
    found = _found(recipe, n_channels, registry)
    if recipe.transfer.sha256 not in (None, found.sha256):
        expected, change = f"sha256 {recipe.transfer.sha256}", "bring that source back, or take the recipe's sha256 out"
        raise IntegrityError(found.source, received=f"sha256 {found.sha256}", expected=expected, change=change)
    return _named(recipe, found.source, found.sha256), found.weights


def kept_start(recipe: "Recipe", folder: Path, n_channels: int, registry: OpenRegistry | None) -> "Recipe":
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
    recipe, weights = started(recipe, n_channels, registry)
    source = recipe.transfer
    assert source is not None and source.sha256 is not None and weights is not None
    keep_backbone(folder, Backbone(source=source.from_, sha256=source.sha256, weights=weights))
    return recipe


def check_start_is_fixed(dimensions: Iterable[str]) -> None:
    """Raises SpaceError where a space varies what is started from: the workers hold one source."""
    for path in dimensions:
        if path in ("transfer.from", "transfer.sha256", "transfer.then.epochs"):
            expected = "transfer.freeze, transfer.then.learning_rate or fields of other sections"
            change = "name the source in search.recipe, and search once for each"
            raise SpaceError(f"search.space.{path}", received="a dimension", expected=expected, change=change)


def start_tags(recipe: "Recipe") -> dict[str, str]:
    """Where a run started from, as tags; none for one that started from nothing."""
    transfer = recipe.transfer
    return {} if transfer is None else {"transfer_from": transfer.from_, "transfer_sha256": transfer.sha256 or ""}


def _named(recipe: "Recipe", source: str, sha256: str) -> "Recipe":
    return recipe_with(recipe, {"transfer.from": source, "transfer.sha256": sha256}, where="the recipe")


def _found(recipe: "Recipe", n_channels: int, registry: OpenRegistry | None) -> "Backbone":
    from cnn.training.backbone import Backbone, digest_of

    assert recipe.transfer is not None
    source = recipe.transfer.from_
    if source == IMAGENET:
        from cnn.runtime import configure_process

        configure_process(threads=None)
        from cnn.models.imagenet import imagenet_weights

        weights = imagenet_weights(getattr(recipe.model, "network", recipe.model.family), n_channels)
        return Backbone(source=source, sha256=digest_of(weights), weights=weights)
    if fits := VERSION.fullmatch(source):
        name, alias, number = fits.groups()
        if registry is None:
            raise ValueError("a version needs a registry")
        opened = registry()
        version = opened.version_by_alias(name, alias) if alias else opened.version(name, int(number))
        return _of_version(source, version, opened)
    return _of_file(Path(source))


def _of_version(name: str, version: "Version | None", registry: "Registry") -> "Backbone":
    if version is None or not version.is_ours:
        received = "no such version" if version is None else f"version {version.number}, registered by others"
        change = "run cnn register and cnn promote, or name another source"
        raise ConfigError(
            f"transfer.from {name}", received=received, expected="a version of cnn register", change=change
        )
    with TemporaryDirectory() as folder:
        path = registry.download(version, Path(folder))
        return _backbone(path, f"models:/{version.name}/{version.number}", version.tags["sha256"])


def _of_file(path: Path) -> "Backbone":
    from cnn.durable import sha256_of

    if not path.is_file():
        change = "name a .keras file, relative to the project's folder or absolute"
        raise ConfigError("transfer.from", received=f"{path}, no such file", expected="a file", change=change)
    return _backbone(path, str(path), sha256_of(path))


def _backbone(path: Path, source: str, sha256: str) -> "Backbone":
    from cnn.training.backbone import Backbone
    from cnn.training.model_file import load_harmless
    from cnn.training.transfer import backbone_weights

    return Backbone(source=source, sha256=sha256, weights=backbone_weights(load_harmless(path, sha256)))

"""What a model with `transfer` started from: for its reproduction by the same bytes, whatever the name means today."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from cnn.config.outputs import WINNER
from cnn.config.reading import PARAMS_FILE, read_params
from cnn.config.transfer import IMAGENET, VERSION
from cnn.durable import read_sealed, sha256_of, write_sealed
from cnn.errors import ConfigError, IntegrityError
from cnn.reproduction.worktree import Place
from cnn.tracking.registry import Registry

_START = "start.keras"


def bring_start(place: Place, checkout: Path, registry: Registry) -> None:
    """Have the recipes of a worktree start from the file that the original started from.

    The recipe that was trained names it for good, by version and SHA-256; one that a person wrote may say `@champion`.
    Brought as a file it needs no registry, and the stages speak to no tracker but their own.

    Args:
        checkout: The person's project, to which the name of a file is relative.

    Raises:
        ConfigError: The source is no longer there.
        IntegrityError: It has other bytes now.
        ServiceError: The registry does not answer.
    """
    path = place.kept / "train.json"
    transfer = read_sealed(path)["recipe"].get("transfer") if path.exists() else None
    if transfer is None:
        return
    start = {"from": transfer["from"], "sha256": transfer["sha256"]}
    if transfer["from"] != IMAGENET:
        start["from"] = str(_brought(transfer, place.kept / _START, checkout, registry))
    _name_in_recipes(place, start)


def _brought(transfer: Mapping[str, str], path: Path, checkout: Path, registry: Registry) -> Path:
    source, expected = transfer["from"], f"sha256 {transfer['sha256'][:12]}…, what the original started from"
    found: str | None = None
    if fits := VERSION.fullmatch(source):
        name, _, number = fits.groups()
        version = registry.version(name, int(number))
        found = version.tags.get("sha256") if version else None
        if version and found == transfer["sha256"]:
            registry.download(version, path.parent).rename(path)
    elif (checkout / source).is_file():
        found = sha256_of(checkout / source)
        if found == transfer["sha256"]:
            shutil.copyfile(checkout / source, path)
    if found is None:
        change = "bring it back: nothing else makes this model again"
        raise ConfigError(f"transfer.from {source}", received="nothing there", expected=expected, change=change)
    if found != transfer["sha256"]:
        change = "bring the original back, or reproduce another version"
        raise IntegrityError(
            f"transfer.from {source}", received=f"sha256 {found[:12]}…", expected=expected, change=change
        )
    return path.absolute()


def _name_in_recipes(place: Place, start: Mapping[str, str]) -> None:
    params = read_params(place.project / PARAMS_FILE)
    for recipe in {params.train.recipe, params.search.recipe}:
        path = (place.project / recipe).resolve()
        if path.is_file() and path.is_relative_to(place.project.resolve()):
            document = YAML().load(path.read_text(encoding="utf-8"))
            if _name(document, start):
                with path.open("w", encoding="utf-8") as file:
                    YAML().dump(document, file)
    winner = place.project / WINNER
    if winner.exists():
        document = read_sealed(winner, made_by="cnn search")
        if _name(document["recipe"], start):
            write_sealed(winner, document)


def _name(recipe: Any, start: Mapping[str, str]) -> bool:
    """Whether a recipe starts from something; then from this."""
    transfer = recipe.get("transfer")
    if transfer:
        transfer.update(start)
    return bool(transfer)

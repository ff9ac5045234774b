"""What is kept with a version, beside its model, so that it can be made again from the registry alone."""

import hashlib
import shutil
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML

from cnn.config.outputs import MANIFEST, PREPARED, WINNER
from cnn.config.params import Params
from cnn.config.reading import PARAMS_FILE, preset_names, read_params
from cnn.durable import write_atomic, write_sealed, write_text
from cnn.errors import ConfigError, IntegrityError
from cnn.lineage import uncommitted_changes
from cnn.reproduction.conditions import read_conditions

LOCK, PATCH, CONDITIONS = "dvc.lock", "changes.patch", "conditions.json"
RECIPES = {"recipe.yaml": "train", "search_recipe.yaml": "search"}
"""Recipe files of the person's own, and the section of the settings that names each."""

_LARGEST_PATCH = 8 << 20  # bytes; a larger one is no change of code


def keep_origin(folder: Path, params: Params, *, checkout: Path = Path(), model: Path) -> tuple[Path, ...]:
    """Write into `folder` what a version must bear with it, and name the files.

    `params.yaml` (these settings), `conditions.json` (packages, machine, devices), `dvc.lock` if it names this model
    or its data, `changes.patch` if tracked files hold more than the commit, `winner.yaml` if the model was trained with
    it, and the recipe files of the person's own that were searched around or trained.

    Args:
        model: The candidate's file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PARAMS_FILE.name, _settings(checkout / PARAMS_FILE, params))
    write_sealed(folder / CONDITIONS, read_conditions())
    lock, winner = checkout / LOCK, checkout / WINNER
    if lock.is_file() and _names(lock, model, checkout / PREPARED / MANIFEST):
        shutil.copyfile(lock, folder / LOCK)
    patch = uncommitted_changes(checkout)
    if 0 < len(patch) <= _LARGEST_PATCH:
        write_atomic(folder / PATCH, lambda file: file.write(patch))
    if params.train.recipe == "winner" and winner.is_file():
        shutil.copyfile(winner, folder / WINNER.name)
    for name, section in RECIPES.items():
        recipe = {"train": params.train.recipe, "search": params.search.recipe}[section]
        if recipe not in ("winner", *preset_names()) and (checkout / recipe).is_file():
            shutil.copyfile(checkout / recipe, folder / name)
    return tuple(sorted(folder.iterdir()))


def _names(lock: Path, *files: Path) -> bool:
    """Whether DVC's lock names one of the files, as it is now."""
    text = lock.read_text(encoding="utf-8")
    return any(_md5(path) in text for path in files if path.is_file())


def _settings(path: Path, params: Params) -> str:
    """The file itself where it says the same; else, as after `--set`, the settings that held."""
    try:
        if read_params(path) == params:
            return path.read_text(encoding="utf-8")
    except (ConfigError, IntegrityError):
        pass
    text = StringIO()
    YAML().dump(params.model_dump(mode="json", by_alias=True), text)
    return text.getvalue()


def _md5(path: Path) -> str:
    """As DVC names a file's content; a name, no safeguard."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

"""YAML files and `--set` words into frozen models, each mistake one line that names its place."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter, SafeRepresenter

from cnn.config.mistakes import short, unknown_key, validated
from cnn.config.params import Params
from cnn.config.published import Published
from cnn.config.recipe import Recipe
from cnn.errors import ConfigError

PARAMS_FILE = Path("params.yaml")
PRESETS = Path(__file__).resolve().parent.parent / "presets"


class _NullInWords(RoundTripRepresenter):
    """`null` in words, as the comments of `params.yaml` have it; ruamel would leave the value empty.

    Its own table: `add_representer` on ruamel's class would change all files that this process writes.
    """

    yaml_representers = {  # noqa: RUF012 - ruamel declares it so
        **RoundTripRepresenter.yaml_representers,
        type(None): SafeRepresenter.represent_none,
    }


def read_params(path: Path = PARAMS_FILE, overrides: Sequence[str] = ()) -> Params:
    """`params.yaml` with `--set key=value` words laid over it.

    Args:
        overrides: Words like `search.budget.trials=5`; the value is read as YAML.

    Raises:
        ConfigError: The file is missing or no YAML, a key is unknown, a value is out of range.
    """
    document = override(read_yaml(path), overrides)
    return validated(Params, document, path, overrides)


def read_recipe(name: str) -> Recipe:
    """A recipe by a preset's name or a YAML file's path.

    Raises:
        ConfigError: There is no such preset or file, or it is no recipe.
    """
    path, document = _recipe_file(name)
    document.pop("published", None)
    return validated(Recipe, document, path)


def read_published(name: str) -> Published | None:
    """What is published of the network of a preset or recipe file: its section `published`, no part of the recipe.

    Raises:
        ConfigError: As `read_recipe`, or the section lacks something.
    """
    path, document = _recipe_file(name)
    return validated(Published, document["published"], path) if "published" in document else None


def _recipe_file(name: str) -> tuple[Path, dict[str, Any]]:
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        known = ", ".join(preset_names())
        raise ConfigError(name, received="no such recipe", expected=f"a YAML file or one of {known}", change="name one")
    return path, read_yaml(path)


def preset_names() -> list[str]:
    """The recipes that ship, in alphabetical order."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def recipe_with(base: Recipe, values: Mapping[str, Any], *, where: str = "search.space") -> Recipe:
    """`base` with some fields replaced by their dotted path, validated as a whole.

    Another `model.family` than the base's replaces the whole model section by that family's defaults, which its preset
    FAMILY_small spells out: a field of one family never reaches another. The base's own family keeps the base's fields.

    Raises:
        ConfigError: A path names no field of a recipe, or a value is out of its range.
    """
    document = base.model_dump(mode="json")
    if values.get("model.family", base.model.family) != base.model.family:
        document["model"] = {}
    for path, value in values.items():
        _place(document, path, value, where)
    return validated(Recipe, document, where)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML 1.2 mapping.

    Raises:
        ConfigError: The file cannot be read, or holds no mapping.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(path, received=reason, expected="a readable file", change="run inside the project") from error
    except (YAMLError, UnicodeDecodeError) as error:
        received = "no YAML: " + str(error).replace("\n", " ")
        raise ConfigError(path, received=received, expected="YAML", change="mend the file") from error
    if not isinstance(document, dict):
        received = "nothing" if document is None else short(document)
        raise ConfigError(path, received=received, expected="a mapping of keys to values", change="mend the file")
    return document


def override(document: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """`document` with each `dotted.key=value` laid over it; the document itself is changed and returned.

    Raises:
        ConfigError: A word has no `=`, its value is no YAML, or its key names nothing in the document.
    """
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"--set {word}", received="no =", expected="key=value", change="write --set KEY=VALUE")
        try:
            value = YAML(typ="safe", pure=True).load(text)
        except YAMLError as error:
            raise ConfigError(f"--set {key}", received=text, expected="a YAML value", change="quote it") from error
        _place(document, key, value, "--set")
    return document


def write_overrides(path: Path, words: Sequence[str]) -> str:
    """The text of a YAML file with `--set` words laid over it, its comments and order kept.

    Raises:
        ConfigError: As `read_params`.
    """
    read_params(path, words)
    yaml = YAML()
    yaml.Representer = _NullInWords
    yaml.preserve_quotes = True
    yaml.width = 120
    document = override(yaml.load(path.read_text(encoding="utf-8")), words)
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def digest(*parts: object) -> str:
    """SHA-256 of models, mappings or plain values in canonical JSON: equal content, equal digest."""
    plain = [part.model_dump(mode="json", by_alias=True) if isinstance(part, BaseModel) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _place(document: dict[str, Any], key: str, value: Any, where: str) -> None:
    """Set a dotted key; a word that names nothing is placed where it was meant, and validation names it."""
    node, rest = _descend(document, key)
    if not isinstance(node, dict):
        raise unknown_key(key, key, [], where)
    node[rest] = value


def _descend(node: Any, key: str) -> tuple[Any, str]:
    """The innermost mapping on a dotted path, and the rest of it. A key may itself hold dots, as those of the space."""
    while isinstance(node, dict) and key not in node:
        head = next((name for name in sorted(node, key=len, reverse=True) if key.startswith(f"{name}.")), None)
        if head is None:
            break
        node, key = node[head], key[len(head) + 1 :]
    return node, key

"""Documents into frozen models; the first mistake is one line: the key, what is expected, and where to change it."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from cnn.errors import ConfigError

_KINDS = {
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "string_type": "a text",
}
"""What pydantic says in Python's words."""

_TAGS = {"family_of()": "a family"}
"""What tells the kinds of a section apart, where it is not its type."""

_Model = TypeVar("_Model", bound=BaseModel)


def validated(model: type[_Model], document: Mapping[str, Any], where: object, overrides: Sequence[str] = ()) -> _Model:
    """A model from a document; the first mistake becomes one line.

    Args:
        where: What the document was read from.
        overrides: The `--set` words that were laid over it; a mistake in one of them is to be changed there.

    Raises:
        ConfigError: The document does not fit the model.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _first_mistake(model, error.errors(), document, where, overrides) from error


def _first_mistake(
    model: type[BaseModel],
    mistakes: Sequence[ErrorDetails],
    document: Mapping[str, Any],
    where: object,
    overrides: Sequence[str],
) -> ConfigError:
    mistake = _misspelt(mistakes) or mistakes[0]
    location = _location(mistake, document)
    path = ".".join(location) or "the whole file"
    where = _word_that_gave(path, overrides) or where
    if mistake["type"] == "extra_forbidden":
        return unknown_key(path, location[-1], _known_words(model, [str(part) for part in mistake["loc"][:-1]]), where)
    if mistake["type"] in ("missing", "union_tag_not_found"):
        key = path if mistake["type"] == "missing" else f"{path}.type"
        return ConfigError(key, received="nothing", expected="a value", change=f"add the key to {where}")
    # a value that may be of several kinds makes a mistake for each of them
    kinds = dict.fromkeys(_expected(other) for other in mistakes if _location(other, document) == location)
    *first, last = kinds
    expected = f"{', '.join(first)} or {last}" if first else last
    return ConfigError(path, received=short(mistake["input"]), expected=expected, change=f"edit {where}")


def _word_that_gave(path: str, overrides: Sequence[str]) -> str | None:
    """The `--set` word, without its value, that gave a key or the section that holds it."""
    keys = [word.partition("=")[0] for word in overrides]
    key = next((key for key in reversed(keys) if f"{path}.".startswith(f"{key}.")), None)
    return key and f"--set {key}"


def _misspelt(mistakes: Sequence[ErrorDetails]) -> ErrorDetails | None:
    """The unknown key that stands for the missing one that comes first, if there is one."""
    *place, key = mistakes[0]["loc"] or ("",)
    if mistakes[0]["type"] != "missing":
        return None
    unknown = [other for other in mistakes if other["type"] == "extra_forbidden" and [*other["loc"][:-1]] == place]
    return next((other for other in unknown if difflib.get_close_matches(str(other["loc"][-1]), [str(key)])), None)


def _location(mistake: ErrorDetails, document: Mapping[str, Any]) -> list[str]:
    """Keys and positions on the way to the mistake; pydantic's names for the kinds of a value stand in no document."""
    node: Any = document
    location = []
    for part in mistake["loc"]:
        inner = node if isinstance(node, Mapping) else dict(enumerate(node)) if isinstance(node, list | tuple) else {}
        if part in inner:
            node = inner[part]
        elif mistake["type"] != "missing" or part != mistake["loc"][-1]:
            continue
        location.append(str(part))
    return location


def _expected(mistake: ErrorDetails) -> str:
    if mistake["type"] == "too_short":
        return f"at least {mistake['ctx']['min_length']} of them"
    if mistake["type"] == "union_tag_invalid":
        return f"{_TAGS.get(mistake['ctx']['discriminator'], 'a type')} out of {mistake['ctx']['expected_tags']}"
    if mistake["type"] in _KINDS:
        return _KINDS[mistake["type"]]
    message = mistake["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return message.partition(", unable to parse")[0].partition(", got a number")[0]


def unknown_key(path: str, word: str, known: Sequence[str], where: object) -> ConfigError:
    """A key that nobody knows, with the known one that its word is nearest to."""
    near = difflib.get_close_matches(word.rsplit(".", maxsplit=1)[-1], known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    expected = f"one of {', '.join(known)}{hint}" if known else "a key of the file"
    return ConfigError(path, received="an unknown key", expected=expected, change=f"edit {where}")


def _known_words(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """The keys of the section at a location, which names the kind of a section of several kinds after the section."""
    inner: Any = model
    for part in location:
        inner = _without_none(inner)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            fields = inner.model_fields.items()
            inner = next((field.annotation for name, field in fields if part in (name, field.alias)), None)
        else:
            inner = _kinds(inner).get(part)
    inner = _without_none(inner)
    if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
        return []
    return [field.alias or name for name, field in inner.model_fields.items()]


def _without_none(annotation: Any) -> Any:
    """The section that may be left out, of `Section | None`; anything else as it is."""
    others = [kind for kind in get_args(annotation) if kind is not type(None)]
    return others[0] if len(others) == 1 and len(get_args(annotation)) == 2 else annotation


def _kinds(union: Any) -> dict[str, Any]:
    """The members of a union by their tags."""
    members = [get_args(member) for member in get_args(union)]
    return {known.tag: kind for kind, *known_as in members if known_as and isinstance(known := known_as[0], Tag)}


def short(value: object) -> str:
    """A value as it is shown, of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

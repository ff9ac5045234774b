"""Six words, spelled alike everywhere; and a params.yaml whose comments tell the truth."""

import re
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin

import pytest
from ruamel.yaml import YAML

from cnn.config.frozen import Frozen
from cnn.config.params import Params
from cnn.config.reading import read_params

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("prepare", "search", "train", "evaluate", "register", "promote")
SOURCE = (ROOT / "params.yaml").read_text(encoding="utf-8")
DOCUMENT = YAML(typ="safe", pure=True).load(SOURCE)


def settings_of(model, prefix=""):
    """Every key of the models as (dotted path, field), sections themselves left out."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Frozen):
            yield from settings_of(field.annotation, f"{path}.")
        else:
            yield path, field


def comments():
    """The comment beside each key of params.yaml, by its dotted path."""
    found, sections = {}, {}
    for line in SOURCE.splitlines():
        match = re.match(r"( *)([a-z_]+): *([^#]*?)(?: +# (.*))?$", line)
        if match:
            depth, (key, comment) = len(match[1]) // 2, (match[2], match[4] or "")
            sections[depth] = key
            found[".".join(sections[level] for level in range(depth + 1))] = comment
    return found


def words_of(annotation):
    """The words a `Literal` allows, alone or within a union."""
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return set().union(*map(words_of, get_args(annotation)))
    return set()


SETTINGS, COMMENTS = dict(settings_of(Params)), comments()

CHOSEN = {
    "search.budget.trials",
    "search.budget.minutes",
    "search.budget.epochs",
    "search.train_limit",
    "search.finalists",
    "search.finalist_seeds",
    "train.epochs",
}
"""Where the shipped file differs from the defaults, so that a first night takes half an hour."""


def test_the_sections_are_the_six_words_in_the_order_of_the_story():
    # One section a step, in the order in which a night runs them, and what is made of data that have changed.
    assert tuple(DOCUMENT) == (*STEPS, "data_check")


def test_the_command_line_knows_the_six_words():
    from typer.main import get_command

    from cnn.__main__ import app

    # Each word is a command.
    assert set(STEPS) <= set(get_command(app).commands)


def test_the_pipeline_has_the_four_steps_that_give_files():
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    # Registering and promoting change the registry and are no stages.
    assert tuple(stages) == STEPS[:4]


def test_the_shipped_settings_are_valid():
    # What we ship must read back; an error would name its key.
    assert read_params(ROOT / "params.yaml").prepare.source == "cifar10"


@pytest.mark.parametrize("path", SETTINGS)
def test_every_setting_stands_in_the_file_with_a_comment(path):
    # A key that is not in the file is a key nobody finds.
    assert path in COMMENTS, "missing from params.yaml"
    # A key without a comment is a key nobody understands.
    assert COMMENTS[path], "no comment beside it"


@pytest.mark.parametrize("path", SETTINGS)
def test_every_comment_says_what_happens_without_the_key(path):
    # Either its default, or that it cannot be left out.
    assert "; required" in COMMENTS[path] if SETTINGS[path].is_required() else "; default " in COMMENTS[path]


@pytest.mark.parametrize("path", sorted(set(SETTINGS) - CHOSEN))
def test_a_key_left_out_changes_nothing(path):
    value = DOCUMENT
    for section in path.split("."):
        value = value[section]
    # Where the file differs from the default, it is on purpose.
    assert SETTINGS[path].is_required() or value == SETTINGS[path].get_default(call_default_factory=True)


@pytest.mark.parametrize("path", [path for path, comment in COMMENTS.items() if "default" in comment])
def test_a_stated_default_is_the_default(path):
    stated = re.search(r"default ([^;\s]+)", COMMENTS[path])
    # A comment that says `default X` is true.
    assert YAML(typ="safe").load(stated[1]) == SETTINGS[path].get_default(call_default_factory=True)


@pytest.mark.parametrize("path", [path for path, field in SETTINGS.items() if words_of(field.annotation)])
def test_the_words_a_setting_allows_are_listed_beside_it(path):
    # Every word that is allowed is shown to the reader.
    assert words_of(SETTINGS[path].annotation) <= set(re.findall(r"\w+", COMMENTS[path]))

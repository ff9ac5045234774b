"""What a recipe's network is made of and what it costs; without a recipe, which presets there are."""

import json
import re

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.config.reading import PRESETS, preset_names, read_published, read_recipe
from cnn.errors import ConfigError
from cnn.records import Head
from cnn.runtime import configure_process

_MAX_SIDE = 4096
_MAX_CHANNELS = 64


def describe(recipe: str, image: str, classes: int | None, console: Console, *, as_json: bool = False) -> None:
    """Print a recipe's layers and totals, or one JSON object of the same.

    Args:
        recipe: A preset's name or a YAML file; empty lists the presets.
        image: Height x width x channels, as `32x32x3`; empty: as published of the recipe's network, else 32x32x3.
        classes: 2 or more; None: as published, else 10.
        as_json: Print the object and nothing else.

    Raises:
        ConfigError: There is no such recipe, the shape is none, or too small for the recipe.
    """
    if not recipe:
        _list_presets(console, as_json=as_json)
        return
    given = image_shape(image) if image else None
    read, published = read_recipe(recipe), read_published(recipe)
    shape = given or (published.image_shape if published else (32, 32, 3))
    classes = classes or (published.classes if published else 10)
    head = Head(class_names=tuple(map(str, range(classes))))
    configure_process(threads=None)
    from cnn.models.description import describe, description_table

    description = describe(read, shape, head)
    if as_json:
        facts = {"published": published.model_dump(mode="json")} if published else {}
        asked = {"recipe": recipe, "image_shape": shape, "classes": classes}
        print(json.dumps(asked | description.to_json() | facts))
    else:
        size = "x".join(map(str, shape))
        console.print(description_table(description, title=escape(f"{recipe}, {size}, {classes} classes")))


def image_shape(text: str) -> tuple[int, int, int]:
    """Height, width and channels from `HxWxC`.

    Example:
        >>> image_shape("32x32x3")
        (32, 32, 3)

    Raises:
        ConfigError: It is no such text, or an image of that shape is out of all proportion.
    """
    fits = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})x([1-9]\d?)", text, re.ASCII)
    height, width, channels = map(int, fits.groups()) if fits else (0, 0, 0)
    if not fits or max(height, width) > _MAX_SIDE or channels > _MAX_CHANNELS:
        expected = f"HEIGHTxWIDTHxCHANNELS, sides 1 to {_MAX_SIDE}, channels 1 to {_MAX_CHANNELS}"
        raise ConfigError("--image", received=text, expected=expected, change="write it as 32x32x3")
    return height, width, channels


def preset_heads() -> dict[str, str]:
    """The presets and what their files say of themselves in the comment at their head."""
    return {name: _head_comment((PRESETS / f"{name}.yaml").read_text(encoding="utf-8")) for name in preset_names()}


def _list_presets(console: Console, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"presets": preset_heads()}))
        return
    table = Table.grid(padding=(0, 2))
    for name, comment in preset_heads().items():
        table.add_row(f"[bold]{escape(name)}[/bold]", escape(comment))
    console.print(table)
    console.print("\ncnn describe NAME shows one of them, or a recipe file of your own", style="dim")


def _head_comment(text: str) -> str:
    lines = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
    return " ".join(lines)

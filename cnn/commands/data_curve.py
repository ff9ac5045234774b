"""Would more data help? Measured on growing parts of the prepared images."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cnn import wiring
from cnn.commands.diagnose import checked_fractions, too_few
from cnn.config.environment import Environment
from cnn.config.outputs import PREPARED, WINNER
from cnn.config.params import Params
from cnn.config.reading import digest
from cnn.runtime import configure_process
from cnn.steps.weights import OpenRegistry

DATA_CURVE = Path("outputs/diagnose/data_curve.json")


def data_curve(
    params: Params,
    environment: Environment,
    console: Console,
    *,
    fractions: str,
    seeds: int,
    data: Path = PREPARED,
    winner: Path = WINNER,
    out: Path = DATA_CURVE,
    as_json: bool = False,
    registry: OpenRegistry | None = None,
) -> None:
    """Train the recipe of `train.recipe` on growing parts of the data, print and write what twice as much would bring.

    Args:
        fractions: Parts of the training images, as `1/8,1/4,1/2,1`.
        seeds: Runs of each part, 1 or more, each with its own images and its own start.
        out: Takes the figures.
        registry: Opens the registry, where what a recipe with `transfer` starts from may stand; this machine's when
            None.

    Raises:
        ConfigError: The fractions or the recipe are wrong.
        DataError: A part would lack a class.
        IntegrityError: The images or `winner.yaml` are missing or damaged.
        ServiceError: Another process measures this very curve.
    """
    from cnn.data.prepared.store import open_training, read_prepared
    from cnn.diagnosis import growing_data
    from cnn.diagnosis.power_law import data_curve
    from cnn.durable import exclusive, write_json
    from cnn.steps.train import read_chosen_recipe
    from cnn.steps.weights import started

    chosen = checked_fractions(fractions)
    prepared = read_prepared(data, params.prepare)
    recipe = read_chosen_recipe(params.train, winner)
    train, validation = open_training(prepared)
    wanted = growing_data.parts(len(train), chosen, seeds, recipe.training.epochs)
    too_few(min(part.n_images for part in wanted), prepared.head.n_classes)
    configure_process(threads=None)
    recipe, backbone = started(recipe, prepared.image_shape, registry or partial(wiring.registry, environment))

    def say(line: str) -> None:
        if not as_json:
            console.print(line, highlight=False)

    folder = environment.home / "data_curves" / digest(recipe, prepared.data_hash)[:16]
    with exclusive(folder / "lock", what="a data curve"):
        say(f"{len(wanted)} runs of as many steps as a whole training each; a killed measurement goes on")
        right = growing_data.measured(
            recipe,
            train,
            validation,
            head=prepared.head,
            wanted=wanted,
            seed=params.train.seed,
            folder=folder,
            say=say,
            backbone=backbone,
        )
    curve = data_curve(right, seed=params.train.seed)
    document = _document(curve, recipe.model_dump(mode="json"), seeds, len(validation))
    write_json(out, document)
    if as_json:
        print(json.dumps(document))
    else:
        _show(curve, console)


def _document(curve: Any, recipe: dict[str, Any], seeds: int, n_val: int) -> dict[str, Any]:
    said = {"sentence": curve.sentence, "helps": curve.helps, "floor_is_known": curve.floor_is_known}
    return {**said, **asdict(curve), "seeds": seeds, "n_val": n_val, "recipe": recipe}


def _show(curve: Any, console: Console) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("training images", "validation error", "power law"):
        table.add_column(heading, justify="right")
    for size, error in zip(curve.sizes, curve.errors, strict=True):
        table.add_row(str(size), f"{error:.4f}", f"{curve.law.error(size):.4f}")
    console.print(table)
    law = f"error(n) = {curve.law.a:.3g} n^-{curve.law.b:.2f} + {curve.law.c:.3f}"
    console.print(f"{law}; exponent {curve.exponent.low:.2f} to {curve.exponent.high:.2f}", highlight=False)
    console.print(curve.sentence[:1].upper() + curve.sentence[1:], highlight=False, soft_wrap=True)

"""Whether more data would help a recipe that starts from another model: every part starts from the same one."""

import json
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from cnn.commands.data_curve import data_curve
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.recipe import Recipe
from cnn.diagnosis.growing_data import parts
from cnn.durable import sha256_of
from cnn.records import Head
from cnn.steps.prepare import prepare

MODEL = {"blocks": 1, "filters": 8, "dense_units": 8}


def recipe(source, **training):
    section = {"from": str(source), "then": {"epochs": 3, "learning_rate": 0.001}}
    return Recipe.model_validate({"model": MODEL, "training": {"epochs": 4} | training, "transfer": section})


def test_both_phases_of_a_part_take_as_many_steps_as_on_all_images():
    whole = recipe("source.keras")
    eighth, all_images = (part.recipe(whole) for part in parts(800, (1 / 8, 1.0), 1, 4))
    # An eighth of the images needs eight times the epochs, to fine-tune as well.
    assert (eighth.training.epochs, eighth.transfer.then.epochs) == (32, 24)
    assert all_images == whole


@pytest.mark.slow
def test_every_part_starts_from_the_source(tmp_path):
    from cnn.models.build import build_model
    from cnn.training.saving import write_model

    source = tmp_path / "source.keras"
    model = build_model(recipe(source).model, (8, 8, 1), Head(class_names=("a", "b")), seed=0)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    write_model(source, model)
    section = recipe(source).model_dump(mode="json") | {"optimizer": {"learning_rate": 0.01}}
    section["transfer"]["then"] = None
    (tmp_path / "recipe.yaml").write_text(json.dumps(section))
    space = {"augment.shift": {"type": "float", "low": 0.0, "high": 0.1}}
    train = {"recipe": str(tmp_path / "recipe.yaml"), "epochs": 1}
    params = Params.model_validate(
        {"prepare": {"source": "digits"}, "train": train, "search": {"space": space, "budget": {"trials": 1}}}
    )
    environment = Environment(home=tmp_path / "home")
    prepare(params, environment, tmp_path / "prepared")
    out = tmp_path / "data_curve.json"
    places = {"data": tmp_path / "prepared", "winner": tmp_path / "none", "out": out}
    data_curve(params, environment, Console(file=StringIO()), fractions="1/8,1/4,1/2", seeds=1, **places)
    document = json.loads(out.read_text())
    # Frozen layers that answer zero to every image leave nothing to tell ten digits apart by, however many there are.
    assert all(error > 0.85 for error in document["errors"])
    # What was measured says what it started from.
    assert document["recipe"]["transfer"]["sha256"] == sha256_of(source)

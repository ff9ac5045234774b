"""What is to be done against each verdict."""

import pytest

from cnn.config.reading import preset_names, read_recipe, recipe_with
from cnn.diagnosis.remedies import ORDER, REMEDIES, remedies
from cnn.diagnosis.verdict import Verdict

BASIC = read_recipe("tutorial_basic").model_dump(mode="json")


def test_every_verdict_has_its_remedies_and_every_remedy_its_verdict():
    # No verdict is without an answer; only the healthy need none.
    assert set(ORDER) == set(Verdict) and [verdict for verdict in ORDER if not ORDER[verdict]] == [Verdict.HEALTHY]
    # No remedy is named that is not there, and none is there for nothing.
    assert {name for names in ORDER.values() for name in names} == set(REMEDIES)


def test_overfitting_is_treated_in_the_order_of_the_field():
    named = [remedy.name for remedy in remedies(Verdict.OVERFITTING, BASIC, {"best": 12.0})]
    # What costs nothing first, what changes the network later, new images last.
    assert named == [
        *("early_stopping", "dropout", "batch_norm", "augmentation"),
        *("smaller_model", "weight_decay", "more_data"),
    ]


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("verdict", Verdict)
def test_every_remedy_gives_a_recipe_that_can_be_trained(preset, verdict):
    base = read_recipe(preset)
    for remedy in remedies(verdict, base.model_dump(mode="json"), {"best": 8.0}):
        changed = recipe_with(base, remedy.values)
        # It is a valid recipe, and another one wherever the remedy has values.
        assert (changed != base) == bool(remedy.values), remedy.name


@pytest.mark.parametrize("preset", preset_names())
@pytest.mark.parametrize("verdict", Verdict)
def test_directions_agree_with_values(preset, verdict):
    recipe = read_recipe(preset).model_dump(mode="json")
    for change in (change for remedy in remedies(verdict, recipe, {"best": 30.0}) for change in remedy.changes):
        section, _, field = change.path.partition(".")
        old = recipe[section][field]
        # A search moves its range the way that the value went; a head without dense units is not made smaller by some.
        if change.direction == "up":
            assert change.value > old, change
        elif change.direction == "down" and old is not None:
            assert change.value < old, change


def test_what_is_right_already_is_no_remedy():
    values = {"model.dropout": 0.5, "model.head_dropout": 0.5, "model.batch_norm": "after_activation"}
    treated = recipe_with(read_recipe("tutorial_basic"), values).model_dump(mode="json")
    named = [remedy.name for remedy in remedies(Verdict.OVERFITTING, treated, {})]
    # Nobody is told to do what was done.
    assert "dropout" not in named and "batch_norm" not in named and "augmentation" in named


def test_without_a_recipe_remedies_are_words():
    found = remedies(Verdict.PLATEAU, None, {})
    # All are named, none has a value.
    assert tuple(remedy.name for remedy in found) == ORDER[Verdict.PLATEAU]
    assert all(remedy.sentence and not remedy.changes for remedy in found)

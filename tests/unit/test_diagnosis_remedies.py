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


def test_overfitting_is_treated_first_by_what_costs_least():
    named = [remedy.name for remedy in remedies(Verdict.OVERFITTING, BASIC, {"best": 12.0})]
    # What takes nothing from the network first, what changes it later, new images last.
    assert named == [
        *("early_stopping", "augmentation", "dropout", "batch_norm"),
        *("weight_decay", "smaller_model", "more_data"),
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


def test_a_head_without_dense_units_gets_none_in_a_larger_network():
    base = {"model": {"filters": 32, "dense_units": 0}}
    values = {path: value for one in remedies(Verdict.UNDERFITTING, base, {}) for path, value in one.values.items()}
    # 0 means that there is none: twice none is none, and the filters alone grow.
    assert values == {"model.filters": 64}


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({"n_train": 517.0, "n_clean": 58.0}, None),  # 128 images are a quarter of them already
        ({"n_train": 2000.0, "n_clean": 58.0}, 250),  # 8 steps an epoch
        ({"n_train": 50_000.0, "n_clean": 5000.0}, 512),
        ({"n_clean": 2000.0}, 250),  # what is trained on is not known, and is no less than what was scored
        ({}, 512),
    ],
)
def test_a_larger_batch_leaves_steps_in_an_epoch(known, wanted):
    base = {"training": {"batch_size": 128}}
    values = {path: value for one in remedies(Verdict.UNSTABLE, base, known) for path, value in one.values.items()}
    # One step an epoch is no training: the batch is capped, and where it is over the cap it stays.
    assert values.get("training.batch_size") == wanted


@pytest.mark.parametrize("form", ["before_activation", "after_activation"])
def test_nobody_with_batch_norm_is_told_to_put_it_in(form):
    base = recipe_with(read_recipe("tutorial_basic"), {"model.batch_norm": form}).model_dump(mode="json")
    # Whatever the verdict, and wherever the BatchNorm stands.
    assert not [verdict for verdict in Verdict for one in remedies(verdict, base, {}) if one.name == "batch_norm"]


def test_too_few_epochs_are_treated_with_more_epochs():
    def named(n_epochs):
        return [one.name for one in remedies(Verdict.UNDECIDED, BASIC, {"n_epochs": n_epochs})]

    # What three epochs leave open no image settles; what thirty leave open, images do. A run without one needs neither.
    assert (named(3.0), named(30.0)[0], named(0.0)) == (["more_epochs"], "more_validation_images", [])

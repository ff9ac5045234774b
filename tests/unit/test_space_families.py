"""A search over families: a field of one family never reaches another, whichever engine proposes."""

from pathlib import Path

import numpy as np
import pytest
from making import epoch_row

from cnn.config.architectures import ResnetRecipe, VggRecipe
from cnn.config.reading import read_recipe, recipe_with
from cnn.config.recipe import Recipe
from cnn.config.space import Choice, Dimension, Float, Int
from cnn.errors import ConfigError, SpaceError
from cnn.records import Outcome, Proposal, TrialState
from cnn.search.engines.random import RandomSearcher
from cnn.search.engines.searcher import Searcher
from cnn.search.space import Space

FAMILIES = ("plain", "vgg", "resnet", "inception", "mobilenet")
FAMILY = Choice(type="choice", values=FAMILIES)


def only(*families: str) -> dict[str, tuple]:
    return {"model.family": families}


DIMENSIONS: dict[str, Dimension] = {
    "model.family": FAMILY,
    "model.filters": Int(type="int", low=8, high=24, step=8),
    "model.dropout": Float(type="float", low=0.0, high=0.4),
    "model.depth": Choice(type="choice", values=(11, 13), when=only("vgg")),
    "model.blocks": Int(type="int", low=1, high=3, when=only("resnet", "inception", "mobilenet")),
    "model.batch_norm": Choice(type="choice", values=("none", "before_activation"), when=only("plain", "vgg")),
    "model.block": Choice(type="choice", values=("separable", "inverted_residual"), when=only("mobilenet")),
    "model.expansion": Int(type="int", low=2, high=6, when={"model.block": ("inverted_residual",)}),
    "optimizer.learning_rate": Float(type="float", low=0.001, high=0.03, log=True),
}


def searcher(name: str, folder: Path) -> Searcher:
    engine, _, sampler = name.partition("-")
    space = Space(DIMENSIONS)
    if engine == "random":
        return RandomSearcher(space, seed=3, epochs=2)
    if engine == "keras_tuner":
        from cnn.search.engines.keras_tuner import KerasTunerSearcher

        return KerasTunerSearcher(space, seed=3, epochs=2, sampler=sampler)
    from cnn.search.engines.optuna import OptunaSearcher

    url = f"sqlite:///{folder / 'optuna.db'}"
    return OptunaSearcher(
        space, seed=3, epochs=2, sampler=sampler, pruner="none", storage_url=url, study_name="families"
    )


def proposals(engine: Searcher, count: int) -> list[Proposal]:
    """What an engine proposes when residual networks do best, and wide ones better."""
    engine.restore((), "")
    asked = []
    for number in range(count):
        proposal = engine.ask(number)
        assert isinstance(proposal, Proposal)
        score = 0.5 + 0.2 * (proposal.values["model.family"] == "resnet") + proposal.values["model.filters"] / 100
        curve = tuple(epoch_row(epoch, score) for epoch in range(2))
        for row in curve:
            engine.report(number, row.epoch, row.val_accuracy)
        engine.tell(Outcome(number=number, state=TrialState.COMPLETED, reason="all epochs", curve=curve))
        asked.append(proposal)
    return asked


@pytest.mark.parametrize(
    "name", ["random", "optuna-tpe", "optuna-random", "keras_tuner-random", "keras_tuner-bayesian"]
)
def test_what_an_engine_proposes_is_a_recipe_of_its_family(name, tmp_path):
    asked = proposals(searcher(name, tmp_path), 24)
    for proposal in asked:
        # Exactly the dimensions whose conditions hold, each with one of its values.
        assert Space(DIMENSIONS).contains(proposal.values)
        recipe = recipe_with(read_recipe("small"), proposal.values)
        # The proposal's family with the proposal's fields.
        fields = {path.removeprefix("model."): value for path, value in proposal.values.items() if "model." in path}
        assert fields.items() <= recipe.model.model_dump().items()
    # The choice is made anew again and again, not once.
    assert len({proposal.values["model.family"] for proposal in asked}) >= 3


def test_another_family_starts_from_its_own_defaults():
    base = recipe_with(read_recipe("small"), {"model.filters": 48, "optimizer.learning_rate": 0.01})
    recipe = recipe_with(base, {"model.blocks": 2, "model.family": "resnet"})
    # The model section is the family's, whatever order the values come in; the rest is the base's.
    assert recipe.model == ResnetRecipe(blocks=2)
    assert recipe.optimizer == base.optimizer


def test_the_bases_own_family_keeps_its_fields():
    base = read_recipe("small")
    assert recipe_with(base, {"model.family": "plain"}) == base


def test_a_recipe_of_a_family_comes_back_from_its_own_words():
    recipe = Recipe(model=VggRecipe(depth=16))
    # What is written into winner.yaml and every trial reads back as what it was.
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_a_field_of_another_family_is_no_typo():
    depth = {"model.depth": Int(type="int", low=11, high=13, step=2)}
    with pytest.raises(SpaceError) as caught:
        Space(depth).check(read_recipe("small"))
    # Both ways out, where the space chooses no family.
    assert "depth, which family plain does not have; expected a recipe of family vgg, or model.family" in str(
        caught.value
    )
    assert "when: {model.family: [vgg]} here" in str(caught.value)
    # Nothing is wrong with it in its own family.
    Space(depth).check(read_recipe("vgg_small"))


def test_the_space_of_five_families_fits():
    # Each dimension is tried in every family in which it is active.
    Space(DIMENSIONS).check(read_recipe("small"))


@pytest.mark.parametrize(
    ("path", "dimension", "words"),
    [
        (
            "model.depth",
            Choice(type="choice", values=(11, 13)),
            "depth, which family plain does not have; expected when: {model.family: [vgg]}",
        ),
        (
            "model.blocks",
            Int(type="int", low=1, high=3, when=only("resnet", "vgg")),
            "blocks, which family vgg does not have; expected when: {model.family: [resnet]}",
        ),
        (
            "model.batch_norm",
            Choice(type="choice", values=("none", "pre_activation"), when=only("plain", "resnet")),
            "where model.family is plain",
        ),
        ("model.depth", Int(type="int", low=11, high=12, when=only("vgg")), "received 12; expected 11, 13, 16 or 19"),
        ("model.filterz", Int(type="int", low=8, high=16), "did you mean filters?"),
        (
            "model.expansion",
            Int(type="int", low=2, high=6, when=only("mobilenet")),
            "model.expansion beside block separable",
        ),
        (
            "model.expansion",
            Int(type="int", low=2, high=6, when=only("vgg") | {"model.block": ("separable",)}),
            "conditions that never hold together",
        ),
    ],
    ids=["no condition", "a family too many", "value", "range", "nobody's", "idle", "never"],
)
def test_a_dimension_without_effect_is_one_line(path, dimension, words):
    space = Space(DIMENSIONS | {path: dimension})
    with pytest.raises((SpaceError, ConfigError)) as caught:
        space.check(read_recipe("small"))
    # The dimension, what is wrong with it, and what would be right.
    assert path in str(caught.value) and words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_published_network_leaves_nothing_but_its_dropout_to_choose():
    filters = Space({"model.filters": Int(type="int", low=8, high=16)})
    with pytest.raises(SpaceError, match=r"model\.filters beside network resnet50"):
        filters.check(read_recipe("resnet50"))
    Space({"model.head_dropout": Float(type="float", low=0.0, high=0.5)}).check(read_recipe("resnet50"))


def test_a_network_can_be_chosen_beside_the_small_one():
    networks = Choice(type="choice", values=("small", "resnet18"))
    narrow = Int(type="int", low=8, high=16, when={"model.network": ("small",)})
    Space({"model.network": networks, "model.filters": narrow}).check(read_recipe("resnet_small"))
    # Without the condition the filters would be noise in half of the trials.
    with pytest.raises(SpaceError, match=r"beside network resnet18"):
        Space({"model.network": networks, "model.filters": Int(type="int", low=8, high=16)}).check(
            read_recipe("resnet_small")
        )


def test_random_draws_over_families_are_recipes():
    space, rng, base = Space(DIMENSIONS), np.random.default_rng(0), read_recipe("small")
    drawn = [recipe_with(base, space.sample(rng)).model.family for _ in range(200)]
    # Each family gets its fifth: 40 of 200, within four standard deviations of 5.7.
    assert all(17 <= drawn.count(family) <= 63 for family in FAMILIES)

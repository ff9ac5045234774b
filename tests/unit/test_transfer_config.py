"""The section `transfer` of a recipe: what it takes, and what it says to a mistake."""

import pytest

from cnn.config.mistakes import validated
from cnn.config.reading import digest, recipe_with
from cnn.config.recipe import Recipe
from cnn.errors import ConfigError

SOURCES = ["imagenet", "models:/cats@champion", "models:/my cats/12", "model.keras", "../other/run 1/model.keras"]
MISTAKES = {
    "from": ({"from": "model.h5"}, "transfer.from: received 'model.h5'; expected imagenet, models:/NAME@ALIAS, "),
    "alias": ({"from": "models:/cats"}, "transfer.from: received 'models:/cats'; expected imagenet"),
    "number": ({"from": "models:/cats/0"}, "transfer.from: received 'models:/cats/0'"),
    "none": ({"freeze": "all"}, "transfer.from: received nothing; expected a value"),
    "digest": ({"from": "imagenet", "sha256": "abc"}, "transfer.sha256: received 'abc'"),
    "freeze": ({"from": "imagenet", "freeze": "some"}, "transfer.freeze: received 'some'; expected 'all' or 'none' or"),
    "stages": ({"from": "imagenet", "freeze": 0}, "transfer.freeze: received 0"),
    "truth": ({"from": "imagenet", "freeze": True}, "transfer.freeze: received True"),
    "key": ({"from": "imagenet", "then": {"epoch": 3}}, "expected one of epochs, learning_rate (did you mean epochs?)"),
    "scalar": (3, "transfer: received 3; expected a mapping"),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_section_reads_back_as_it_was_written(source):
    recipe = validated(Recipe, {"transfer": {"from": source, "then": {"learning_rate": 0.01}}}, "a test")
    document = recipe.model_dump(mode="json")
    # The file's own word, `from`, stands in every document made of a recipe, and comes back from it.
    assert document["transfer"]["from"] == source
    assert validated(Recipe, document, "a test") == recipe


def test_what_a_search_varies_is_set_by_its_path():
    base = validated(Recipe, {"transfer": {"from": "imagenet", "then": {}}}, "a test")
    varied = recipe_with(base, {"transfer.freeze": 2, "transfer.then.learning_rate": 0.02})
    # Other fields stay as they were, and it is another recipe to every digest.
    assert (varied.transfer.freeze, varied.transfer.then.learning_rate) == (2, 0.02)
    assert varied.transfer.from_ == "imagenet"
    assert digest(varied) != digest(base)


def test_epochs_of_both_phases_are_counted():
    recipe = validated(Recipe, {"training": {"epochs": 7}, "transfer": {"from": "imagenet", "then": {"epochs": 4}}}, "")
    assert (recipe.most_epochs, Recipe().most_epochs) == (11, 20)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name):
    section, words = MISTAKES[name]
    with pytest.raises(ConfigError) as caught:
        validated(Recipe, {"transfer": section}, "recipe.yaml")
    # It names the key, what stood there and what is known.
    assert words in str(caught.value)

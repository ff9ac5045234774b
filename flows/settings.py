"""What can be said of a night's settings before it begins, and before they are written."""

from collections.abc import Sequence

from cnn.config.params import Params
from cnn.config.reading import read_params, read_recipe
from cnn.search.space import Space
from cnn.steps.weights import check_start_is_fixed


def checked_params(overrides: Sequence[str]) -> Params:
    """`params.yaml` with `key=value` words laid over it, and the recipes and the space that it names.

    Raises:
        ConfigError: A setting is wrong, or there is no such recipe.
        SpaceError: The space does not fit the recipe.
    """
    params = read_params(overrides=overrides)
    base = read_recipe(params.search.recipe)
    space = Space(params.search.space)
    space.check(base)
    check_start_is_fixed(base, space.dimensions)
    if params.train.recipe != "winner":
        read_recipe(params.train.recipe)
    return params

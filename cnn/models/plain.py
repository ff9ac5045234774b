"""Family `plain`: blocks of convolutions, each followed by pooling and dropout, then a dense head.

One block, with the place of BatchNorm in brackets:

    [convolution - [before_activation] - activation - [after_activation]] x n - pool - [after_pool] - dropout
"""

import keras

from cnn.config.architectures import PlainRecipe
from cnn.models.blocks import Layers
from cnn.models.convolutions import Convolutions
from cnn.models.heads import feature_vector
from cnn.models.pixels import scaled


def plain_network(recipe: PlainRecipe, images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """Features (n, d) of uint8 images (n, h, w, c).

    `padding` is that of convolutions and pools alike: with `same` no depth is too deep, since sizes are rounded up and
    stay at 1 x 1; with `valid` both shrink the maps, and an architecture that leaves nothing of them is an error.
    """
    plan = filter_plan(recipe)
    maps = scaled(images, layers, "unit")
    for number, filters in enumerate(plan, start=1):
        pooled = recipe.pool_last or number < len(plan)
        maps = _block(recipe, maps, layers, f"block{number}", filters, pooled=pooled)
    features = feature_vector(maps, layers, by=recipe.head)
    if recipe.dense_units:
        features = layers.dense(features, "dense", recipe.dense_units, activation=recipe.activation)
    return layers.dropout(features, "head_dropout", recipe.head_dropout)


def filter_plan(recipe: PlainRecipe) -> tuple[tuple[int, ...], ...]:
    """The filters of each convolution, block by block: the `plan`, or `filters * growth ** block`, rounded, 1 or more.

    Example:
        >>> filter_plan(PlainRecipe(blocks=2, convolutions=2, filters=24, growth=1.5))
        ((24, 24), (36, 36))
    """
    if recipe.plan is not None:
        return recipe.plan
    widths = (max(1, round(recipe.filters * recipe.growth**block)) for block in range(recipe.blocks))
    return tuple((width,) * recipe.convolutions for width in widths)


def _block(
    recipe: PlainRecipe,
    maps: keras.KerasTensor,
    layers: Layers,
    name: str,
    filters: tuple[int, ...],
    *,
    pooled: bool,
) -> keras.KerasTensor:
    convolution = Convolutions(
        layers=layers,
        batch_norm="none" if recipe.batch_norm == "after_pool" else recipe.batch_norm,
        momentum=recipe.batch_norm_momentum,
        activation=recipe.activation,
        padding=recipe.padding,
    )
    for number, count in enumerate(filters, start=1):
        maps = convolution(maps, f"{name}_{{}}{number}", count, kernel=recipe.kernel)
    if pooled:
        maps = layers.pool(maps, f"{name}_pool", by=recipe.pooling, padding=recipe.padding)
    if recipe.batch_norm == "after_pool":
        maps = layers.batch_norm(maps, f"{name}_norm", recipe.batch_norm_momentum)
    return layers.dropout(maps, f"{name}_dropout", recipe.dropout)

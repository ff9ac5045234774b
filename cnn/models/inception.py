"""Family `inception`: modules of four parallel branches (1 x 1, 3 x 3, 5 x 5 and a pool), pools between stages.

Inception v3 is that of `keras.applications`. Version 1, GoogLeNet, is made here without its two auxiliary classifiers,
which only training used, and without local response normalization, which has no parameters.

References:
    Szegedy et al., "Going deeper with convolutions", CVPR 2015, table 1: `inception_v1`.
    Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016: `inception_v3`.
    Zhang, Bengio, Hardt, Recht and Vinyals, "Understanding deep learning requires rethinking generalization", ICLR
    2017, appendix A: on CIFAR-10 one 3 x 3 convolution at stride 1 before the modules, BatchNorm in them.
"""

import keras

from cnn.config.architectures import InceptionRecipe
from cnn.models.applications import application
from cnn.models.blocks import Layers
from cnn.models.convolutions import Convolutions
from cnn.models.heads import feature_vector
from cnn.models.pixels import scaled

Branches = tuple[int, int, int, int, int, int]
"""Filters of a module: 1 x 1; 3 x 3 reduced, 3 x 3; 5 x 5 reduced, 5 x 5; after the pool."""

_STAGES: tuple[tuple[Branches, ...], ...] = (
    ((64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64)),
    (
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
    ),
    ((256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)),
)
"""The modules 3a to 5b of table 1."""


def inception_network(recipe: InceptionRecipe, images: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """Features (n, d) of uint8 images (n, h, w, c)."""
    if recipe.network == "small":
        maps = _small(recipe, scaled(images, layers, "unit"), layers)
    elif recipe.network == "inception_v1":
        maps = googlenet(scaled(images, layers, "symmetric"), layers)
    else:
        maps, momentum = scaled(images, layers, "symmetric"), recipe.batch_norm_momentum
        maps = application(keras.applications.InceptionV3, maps, layers, momentum=momentum, min_side=75)
    features = feature_vector(maps, layers, by="global_average")
    return layers.dropout(features, "head_dropout", recipe.head_dropout)


def googlenet(maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    """The published network up to its last module."""
    convolution = Convolutions(layers=layers, batch_norm="none", momentum=0.0, activation="relu")
    maps = convolution(maps, "stem_{}1", 64, kernel=7, strides=2)
    maps = layers.pool(maps, "stem_pool1", by="max", window=3)
    maps = convolution(maps, "stem_{}2_reduce", 64, kernel=1)
    maps = convolution(maps, "stem_{}2", 192, kernel=3)
    for stage, modules in enumerate(_STAGES, start=3):
        maps = layers.pool(maps, f"stage{stage}_pool", by="max", window=3)
        for letter, branches in zip("abcde", modules, strict=False):
            maps = _module(maps, f"stage{stage}{letter}", branches, convolution)
    return maps


def module_branches(filters: int) -> Branches:
    """The branches of a module that answers with about `filters` channels, in the proportions of module 3a.

    Example:
        >>> module_branches(256)
        (64, 96, 128, 16, 32, 32)
    """
    one, reduced, three, narrow, five, pooled = (round(filters * part / 256) for part in (64, 96, 128, 16, 32, 32))
    return one, reduced, three, max(1, narrow), max(1, five), max(1, pooled)


def _small(recipe: InceptionRecipe, maps: keras.KerasTensor, layers: Layers) -> keras.KerasTensor:
    convolution = Convolutions(
        layers=layers,
        batch_norm=recipe.batch_norm,
        momentum=recipe.batch_norm_momentum,
        activation=recipe.activation,
    )
    maps = convolution(maps, "stem_{}", recipe.filters, kernel=3)
    for stage in range(1, recipe.stages + 1):
        if stage > 1:
            maps = layers.pool(maps, f"stage{stage}_pool", by="max", window=3)
        for block in range(1, recipe.blocks + 1):
            branches = module_branches(recipe.filters * 2**stage)
            maps = _module(maps, f"stage{stage}_module{block}", branches, convolution)
        maps = layers.dropout(maps, f"stage{stage}_dropout", recipe.dropout)
    return maps


def _module(maps: keras.KerasTensor, name: str, branches: Branches, convolution: Convolutions) -> keras.KerasTensor:
    one, reduce3, three, reduce5, five, pooled = branches
    narrow3 = convolution(maps, f"{name}_{{}}3_reduce", reduce3, kernel=1)
    narrow5 = convolution(maps, f"{name}_{{}}5_reduce", reduce5, kernel=1)
    pool = convolution.layers.pool(maps, f"{name}_pool", by="max", window=3, strides=1)
    parts = [
        convolution(maps, f"{name}_{{}}1", one, kernel=1),
        convolution(narrow3, f"{name}_{{}}3", three, kernel=3),
        convolution(narrow5, f"{name}_{{}}5", five, kernel=5),
        convolution(pool, f"{name}_{{}}_pool", pooled, kernel=1),
    ]
    return convolution.layers.concatenate(parts, f"{name}_concat")

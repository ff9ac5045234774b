"""The families of networks and what each leaves to choose: the `model` section of a recipe.

Each family has a network for small images, the default, whose width and depth are numbers; `network` names one as
published instead. Fields of one name mean the same in every family, so that a space can name them once for all:

    filters              channels of the first convolution; the others are multiples of it
    batch_norm           where BatchNorm stands, if at all
    batch_norm_momentum  part of the running statistics that stays at each step
    dropout              in the body of the network
    head_dropout         before the classifier

A new family adds its own section here and joins `ModelRecipe`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from cnn.config.frozen import Fraction, Frozen

BatchNormPlace = Literal["none", "before_activation", "after_activation"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu"]
Filters = Annotated[int, Field(ge=1, le=2048)]
Blocks = Annotated[int, Field(ge=1, le=18)]
Stages = Annotated[int, Field(ge=1, le=5)]
DenseUnits = Annotated[int, Field(ge=0, le=8192)]

SELECTORS = ("network", "block")
"""Fields of which one value can leave others without a say."""

FAMILIES = ("plain", "lenet", "alexnet", "vgg", "resnet", "inception", "mobilenet")
"""The values of `family`."""

_SAY_OF_PUBLISHED = {"family", "network", "head_dropout", "batch_norm_momentum"}


class Architecture(Frozen):
    """What all families share.

    Keras's BatchNorm momentum of 0.99 is slower than a short trial, which then is scored with statistics of the past.
    """

    family: str = ""
    batch_norm_momentum: Fraction = 0.9
    dropout: Fraction = 0.0
    head_dropout: Fraction = 0.0

    def idle_fields(self) -> dict[str, str]:
        """Fields without a say, each with what decides in their place.

        Example:
            >>> ResnetRecipe(network="resnet50").idle_fields()["filters"]
            'network resnet50'
        """
        network = getattr(self, "network", "small")
        if network == "small":
            return {}
        return dict.fromkeys(type(self).model_fields.keys() - _SAY_OF_PUBLISHED, f"network {network}")


class PlainRecipe(Architecture):
    """Family `plain`: blocks of convolutions, each followed by pooling and dropout, then a dense head.

    Either the four counts `blocks`, `convolutions`, `filters` and `growth` give the convolutions, or `plan` lists
    the filters of each convolution, block by block.
    """

    family: Literal["plain"] = "plain"
    blocks: Annotated[int, Field(ge=1, le=8)] = 3
    convolutions: Annotated[int, Field(ge=1, le=8)] = 1
    filters: Filters = 32
    growth: Annotated[float, Field(ge=0.25, le=4.0)] = 2.0
    plan: tuple[tuple[Filters, ...], ...] | None = None
    kernel: Annotated[int, Field(ge=1, le=11)] = 3
    padding: Literal["same", "valid"] = "same"
    batch_norm: BatchNormPlace | Literal["after_pool"] = "none"
    activation: Activation = "relu"
    pooling: Literal["max", "average"] = "max"
    pool_last: bool = True
    head: Literal["flatten", "global_average"] = "flatten"
    dense_units: DenseUnits = 64

    @model_validator(mode="after")
    def _plan_has_convolutions(self) -> "PlainRecipe":
        if self.plan is not None and (not self.plan or not all(self.plan)):
            raise ValueError("plan needs at least one block, and each block at least one convolution")
        return self

    def idle_fields(self) -> dict[str, str]:
        """The counts, where a plan stands in for them."""
        counts = ("blocks", "convolutions", "filters", "growth")
        return {} if self.plan is None else dict.fromkeys(counts, "a plan")


class LenetRecipe(Architecture):
    """Family `lenet`: `blocks` of a 5 x 5 convolution and a pool, then two dense layers.

    Each block has 8/3 as many filters as the one before, as 6 and 16 in the paper; the second dense layer has 0.7 as
    many units as the first, as 120 and 84. Dropout follows each pool.
    """

    family: Literal["lenet"] = "lenet"
    network: Literal["small", "lenet5"] = "small"
    blocks: Annotated[int, Field(ge=1, le=4)] = 2
    filters: Annotated[int, Field(ge=1, le=256)] = 16
    dense_units: DenseUnits = 120
    batch_norm: BatchNormPlace = "before_activation"
    activation: Activation | Literal["tanh"] = "relu"
    pooling: Literal["max", "average"] = "max"
    head_dropout: Fraction = 0.25


class AlexnetRecipe(Architecture):
    """Family `alexnet`: a 5 x 5 convolution, a second one, a run of 3 x 3 ones, then two dense layers.

    Overlapping pools follow the first, the second and the last convolution, and dropout each pool. The widths are as
    96 : 256 : 384 ... 384 : 256 in the paper; `convolutions` is the length of the run, 3 in the paper.
    """

    family: Literal["alexnet"] = "alexnet"
    network: Literal["small", "alexnet"] = "small"
    convolutions: Annotated[int, Field(ge=1, le=8)] = 3
    filters: Annotated[int, Field(ge=1, le=512)] = 16
    dense_units: DenseUnits = 128
    batch_norm: BatchNormPlace = "before_activation"
    activation: Activation = "relu"
    head_dropout: Fraction = 0.25


class VggRecipe(Architecture):
    """Family `vgg`: five blocks of 3 x 3 convolutions, each ended by a pool, then dense layers.

    `depth` counts layers as the paper does, its three dense ones included; the small network has the convolutions of
    that depth, a global average and one dense layer. The widths are 1, 2, 4, 8 and 8 times `filters`. Dropout follows
    each pool.
    """

    family: Literal["vgg"] = "vgg"
    network: Literal["small", "vgg11", "vgg13", "vgg16", "vgg19"] = "small"
    depth: Literal[11, 13, 16, 19] = 11
    filters: Filters = 16
    dense_units: DenseUnits = 128
    batch_norm: BatchNormPlace = "before_activation"
    activation: Activation = "relu"
    head_dropout: Fraction = 0.25


class ResnetRecipe(Architecture):
    """Family `resnet`: stages of residual blocks of two 3 x 3 convolutions, from the second on at half the resolution.

    `blocks` are those of a stage, `filters` those of the first stage; each stage doubles them. With three stages the
    network has 6 blocks + 2 layers. `before_activation` is the first paper's order, `pre_activation` the second's.
    Dropout stands between the two convolutions of a block.
    """

    family: Literal["resnet"] = "resnet"
    network: Literal["small", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"] = "small"
    stages: Stages = 3
    blocks: Blocks = 1
    filters: Filters = 16
    batch_norm: Literal["before_activation", "pre_activation"] = "before_activation"


class InceptionRecipe(Architecture):
    """Family `inception`: stages of modules of four parallel branches, a pool between stages.

    `blocks` are the modules of a stage. The modules of the first stage answer with 2 `filters` channels, those of each
    further stage with twice as many. Dropout follows each stage.
    """

    family: Literal["inception"] = "inception"
    network: Literal["small", "inception_v1", "inception_v3"] = "small"
    stages: Stages = 3
    blocks: Blocks = 1
    filters: Annotated[int, Field(ge=4, le=512)] = 16
    batch_norm: BatchNormPlace = "before_activation"
    activation: Activation = "relu"
    head_dropout: Fraction = 0.25


class MobilenetRecipe(Architecture):
    """Family `mobilenet`: stages of depthwise separable blocks, from the second on at half the resolution.

    `block` is that of version 1 (`separable`) or of version 2 (`inverted_residual`: `expansion` times as wide within as
    at its ends); version 3 adds `squeeze_excite` and `hard_swish`. `blocks` are those of a stage, and each stage
    doubles the `filters`. BatchNorm follows each convolution. Dropout follows each stage.
    """

    family: Literal["mobilenet"] = "mobilenet"
    network: Literal["small", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"] = "small"
    block: Literal["separable", "inverted_residual"] = "inverted_residual"
    stages: Stages = 3
    blocks: Blocks = 1
    filters: Filters = 16
    expansion: Annotated[int, Field(ge=1, le=12)] = 4
    squeeze_excite: bool = False
    activation: Literal["relu6", "relu", "hard_swish"] = "relu6"

    def idle_fields(self) -> dict[str, str]:
        """What only inverted residuals have, in a network without them; all but a few of a published network."""
        separable = self.block == "separable"
        inverted = dict.fromkeys(("expansion", "squeeze_excite"), "block separable") if separable else {}
        return inverted | super().idle_fields()


def family_of(section: Any) -> str:
    """What tells the sections apart; one that names no family is a plain network."""
    if isinstance(section, Mapping):
        return str(section.get("family", "plain"))
    return str(getattr(section, "family", "plain"))


ModelRecipe = Annotated[
    Annotated[PlainRecipe, Tag("plain")]
    | Annotated[LenetRecipe, Tag("lenet")]
    | Annotated[AlexnetRecipe, Tag("alexnet")]
    | Annotated[VggRecipe, Tag("vgg")]
    | Annotated[ResnetRecipe, Tag("resnet")]
    | Annotated[InceptionRecipe, Tag("inception")]
    | Annotated[MobilenetRecipe, Tag("mobilenet")],
    Discriminator(family_of),
]
"""The union of all families' sections, told apart by `family`."""

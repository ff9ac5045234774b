"""A recipe: everything that decides what a training run does, apart from the data and the seed.

The search space names a recipe's fields by their dotted path (`model.filters`, `optimizer.learning_rate`).
A new model family adds its own section here and joins `ModelRecipe`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class Frozen(BaseModel):
    """Base of every section: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class PlainRecipe(Frozen):
    """Family `plain`: blocks of convolutions, each followed by pooling and dropout, then a dense head.

    Either the four counts `blocks`, `convolutions`, `filters` and `growth` give the convolutions, or `plan` lists
    the filters of each convolution, block by block. `batch_norm_momentum` is the part of the running statistics that
    stays at each step: Keras's 0.99 is slower than a short trial, which then is scored with statistics of the past.
    """

    family: Literal["plain"] = "plain"
    blocks: Annotated[int, Field(ge=1, le=8)] = 3
    convolutions: Annotated[int, Field(ge=1, le=8)] = 1
    filters: Annotated[int, Field(ge=1, le=2048)] = 32
    growth: Annotated[float, Field(ge=0.25, le=4.0)] = 2.0
    plan: tuple[tuple[Annotated[int, Field(ge=1, le=2048)], ...], ...] | None = None
    kernel: Annotated[int, Field(ge=1, le=11)] = 3
    padding: Literal["same", "valid"] = "same"
    batch_norm: Literal["none", "before_activation", "after_activation", "after_pool"] = "none"
    batch_norm_momentum: Fraction = 0.9
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu"] = "relu"
    pooling: Literal["max", "average"] = "max"
    pool_last: bool = True
    dropout: Fraction = 0.0
    head: Literal["flatten", "global_average"] = "flatten"
    dense_units: Annotated[int, Field(ge=0, le=8192)] = 64
    head_dropout: Fraction = 0.0

    @model_validator(mode="after")
    def _plan_has_convolutions(self) -> "PlainRecipe":
        if self.plan is not None and (not self.plan or not all(self.plan)):
            raise ValueError("plan needs at least one block, and each block at least one convolution")
        return self


ModelRecipe = PlainRecipe
"""The union of all families' sections, told apart by `family`."""


class OptimizerRecipe(Frozen):
    """How the weights move. `learning_rate` is the peak of the schedule; `warmup_fraction` is a part of all steps."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 1e-3
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup_fraction: Fraction = 0.0
    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


class TrainingRecipe(Frozen):
    """How long and on what batches. `patience` counts epochs without a better validation accuracy, or an equal one at a
    lower validation loss; null never stops.
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    label_smoothing: Fraction = 0.0
    patience: Annotated[int, Field(ge=1, le=10_000)] | None = None
    mixed_precision: bool = False


class AugmentRecipe(Frozen):
    """Random changes of the training images. `shift` is the largest move as a fraction of the image's side."""

    flip: bool = False
    shift: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0


class Recipe(Frozen):
    """The whole recipe, as it stands in a preset, in `winner.yaml` and in every trial."""

    model: ModelRecipe = ModelRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    training: TrainingRecipe = TrainingRecipe()
    augment: AugmentRecipe = AugmentRecipe()

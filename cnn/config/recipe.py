"""A recipe: everything that decides what a training run does, apart from the data and the seed.

The search space names a recipe's fields by their dotted path (`model.filters`, `optimizer.learning_rate`).
"""

from typing import Annotated, Literal

from pydantic import Field

from cnn.config.architectures import ModelRecipe, PlainRecipe
from cnn.config.frozen import Fraction, Frozen
from cnn.config.transfer import TransferRecipe


class OptimizerRecipe(Frozen):
    """How the weights move. `learning_rate` is the peak of the schedule; `warmup_fraction` is a part of all steps."""

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 1e-3
    schedule: Literal["constant", "cosine", "one_cycle"] = "constant"
    warmup_fraction: Fraction = 0.0
    momentum: Fraction = 0.9
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


class TrainingRecipe(Frozen):
    """How long and on what batches. `patience` counts epochs without a better validation score, or an equal one at a
    lower validation loss; null never stops.

    `class_balance` evens out classes of unequal size: `weights` lets an image count for more in the training loss the
    fewer there are of its class, `sampling` shows images of all classes equally often.
    """

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 128
    label_smoothing: Fraction = 0.0
    patience: Annotated[int, Field(ge=1, le=10_000)] | None = None
    mixed_precision: bool = False
    class_balance: Literal["none", "weights", "sampling"] = "none"


Part = Annotated[float, Field(ge=0.0, le=1.0)]
Alpha = Annotated[float, Field(ge=0.0, le=10.0)]


class AugmentRecipe(Frozen):
    """Random changes of the training images; 0, the default, is none of that change.

    Args:
        flip: Mirrored left to right, one image in two.
        shift: Largest move, a fraction of the image's side.
        rotate: Largest angle, in degrees.
        zoom: Largest scale is 1 + `zoom`, smallest 1 / (1 + `zoom`).
        brightness: Largest change of all values, a fraction of white.
        contrast: Largest change of the distance of all values from the image's mean, a fraction of it.
        noise: Standard deviation of the noise on each value, a fraction of white.
        cutout: Side of the square that is covered, a fraction of the image's side.
        mixup: Images are blended with another one, in shares drawn from Beta(`mixup`, `mixup`).
        cutmix: A box shows another image; the share it leaves is drawn from Beta(`cutmix`, `cutmix`). With mixup too,
            each image has one of both.
    """

    flip: bool = False
    shift: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    rotate: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    zoom: Part = 0.0
    brightness: Part = 0.0
    contrast: Part = 0.0
    noise: Annotated[float, Field(ge=0.0, le=0.5)] = 0.0
    cutout: Part = 0.0
    mixup: Alpha = 0.0
    cutmix: Alpha = 0.0

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that a label is a share of each class."""
        return self.mixup > 0 or self.cutmix > 0


class Recipe(Frozen):
    """The whole recipe, as it stands in a preset, in `winner.yaml` and in every trial."""

    model: ModelRecipe = PlainRecipe()
    optimizer: OptimizerRecipe = OptimizerRecipe()
    training: TrainingRecipe = TrainingRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    transfer: TransferRecipe | None = None

    @property
    def most_epochs(self) -> int:
        """Epochs of both phases, if patience ends none."""
        then = self.transfer.then if self.transfer else None
        return self.training.epochs + (then.epochs if then else 0)

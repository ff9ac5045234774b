"""Transfer learning: the section `transfer` of a recipe.

    transfer: {from: models:/cats@champion, freeze: all, then: {epochs: 10, learning_rate: 0.0001}}

First the classifier is trained on top of another model's layers, of which some are frozen; then all of them are
fine-tuned.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StrictInt

from cnn.config.frozen import Frozen

IMAGENET = "imagenet"
VERSION = re.compile(r"models:/([^/:.%\"'@]+)(?:@([^/:.%\"'@]+)|/([1-9]\d*))")
"""A version of the registry: `models:/NAME@ALIAS` or `models:/NAME/NUMBER`."""


def _known_place(text: str) -> str:
    if text != IMAGENET and not VERSION.fullmatch(text) and not (text.endswith(".keras") and "models:" not in text):
        raise ValueError("imagenet, models:/NAME@ALIAS, models:/NAME/NUMBER or FILE.keras")
    return text


class FineTuneRecipe(Frozen):
    """The second phase: all layers move, BatchNorm stays as it is. `learning_rate` is the peak of the same schedule."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0)] = 1e-4


class TransferRecipe(Frozen):
    """Start from the weights of another model, all but its classifier's.

    Args:
        from_: `imagenet` (published networks of keras.applications), `models:/NAME@ALIAS` or `models:/NAME/NUMBER` of
            the registry, or a `.keras` file.
        sha256: What the source must be; null: whatever it is, and the step that resolves it writes it down here.
        freeze: Layers whose weights stay during the first phase, their BatchNorm in inference mode: `all` that came
            from the source, those of its first N stages, or `none`. A stage is what works at one resolution: a block of
            plain, lenet and vgg, a stage of resnet, inception and mobilenet.
        then: Fine-tuning, `training.epochs` after the start or when patience has ended the first phase; null: none.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    from_: Annotated[str, AfterValidator(_known_place), Field(alias="from")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    freeze: Literal["all", "none"] | Annotated[StrictInt, Field(ge=1, le=100)] = "all"
    then: FineTuneRecipe | None = None

"""What is published of a preset's network, at the head of its file."""

from typing import Annotated

from pydantic import Field

from cnn.config.frozen import Frozen

Side = Annotated[int, Field(ge=1, le=4096)]


class Published(Frozen):
    """The count that the network must have for images of that shape and that many classes.

    Args:
        parameters: All of them, BatchNorm's running statistics included; without these when `trainable_only`.
        image_shape: Height, width, channels.
        source: Where the count is from.
    """

    parameters: Annotated[int, Field(ge=1)]
    trainable_only: bool = False
    image_shape: tuple[Side, Side, Annotated[int, Field(ge=1, le=64)]]
    classes: Annotated[int, Field(ge=2)]
    source: Annotated[str, Field(min_length=1)]

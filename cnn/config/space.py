"""The search space as it stands in `params.yaml`: `Float`, `Int`, `Choice`, each with conditions.

optimizer.learning_rate: {type: float, low: 0.0001, high: 0.01, log: true}
model.filters:           {type: int, low: 16, high: 64, step: 16}
model.batch_norm:        {type: choice, values: [none, before_activation]}
optimizer.momentum:      {type: float, low: 0.8, high: 0.99, when: {optimizer.name: [sgd]}}

With `model.family: {type: choice, values: [plain, vgg, resnet]}` each trial chooses a family of networks, whose own
fields then need a condition: `model.depth: {type: choice, values: [11, 13], when: {model.family: [vgg]}}`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter, model_validator

from cnn.config.frozen import Frozen

Value = StrictBool | StrictInt | StrictFloat | StrictStr
Conditions = dict[str, tuple[Value, ...]]


class Float(Frozen):
    """A real number in [low, high], uniform, or uniform in the logarithm when `log`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False
    when: Conditions = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> "Float":
        if not self.low < self.high:
            raise ValueError(f"low below high, not {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low above 0 in a log range, not {self.low}")
        return self


class Int(Frozen):
    """A whole number low, low + step, ... up to high; with `log` the step is 1."""

    type: Literal["int"]
    low: int
    high: int
    step: Annotated[int, Field(ge=1)] = 1
    log: bool = False
    when: Conditions = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> "Int":
        if self.low > self.high:
            raise ValueError(f"low at most high, not {self.low} and {self.high}")
        if (self.high - self.low) % self.step:
            raise ValueError(f"high - low to be a multiple of step {self.step}, not {self.high - self.low}")
        if self.log and (self.low <= 0 or self.step != 1):
            raise ValueError("low above 0 and step 1 in a log range")
        return self


class Choice(Frozen):
    """One of the listed values."""

    type: Literal["choice"]
    values: Annotated[tuple[Value, ...], Field(min_length=1)]
    when: Conditions = Field(default_factory=dict)

    @model_validator(mode="after")
    def _distinct(self) -> "Choice":
        if len({(type(value), value) for value in self.values}) != len(self.values):
            raise ValueError(f"values that all differ, not {list(self.values)}")
        return self


Dimension = Annotated[Float | Int | Choice, Field(discriminator="type")]

_DIMENSIONS: TypeAdapter[dict[str, Dimension]] = TypeAdapter(dict[str, Dimension])


def dimensions_document(dimensions: Mapping[str, Dimension]) -> dict[str, Any]:
    """Dimensions by path, as JSON."""
    return {path: dimension.model_dump(mode="json") for path, dimension in dimensions.items()}


def dimensions_from(document: Mapping[str, Any]) -> dict[str, Dimension]:
    """Dimensions from their JSON document."""
    return _DIMENSIONS.validate_python(dict(document))

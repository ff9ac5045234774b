"""What makes one trial better than another: `search.objective`.

objective: accuracy_and_gap
objective: {of: accuracy_under, parameters: 500000}
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cnn.config.frozen import Fraction, Frozen

MEASURES = ("parameters", "multiply_adds", "latency_ms")
"""What a network's size can be limited in, in the order in which it is checked."""


class ObjectiveParams(Frozen):
    """What a search is after. A word alone, as `accuracy`, stands for `{of: accuracy}`."""

    of: Literal["accuracy", "accuracy_and_gap", "accuracy_under"] = "accuracy"
    parameters: Annotated[int, Field(ge=1)] | None = None
    multiply_adds: Annotated[int, Field(ge=1)] | None = None
    latency_ms: Annotated[float, Field(gt=0.0)] | None = None
    score_slack: Fraction = 0.01

    @model_validator(mode="before")
    @classmethod
    def _word(cls, given: Any) -> Any:
        return {"of": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _limits_fit(self) -> "ObjectiveParams":
        measures = f"{', '.join(MEASURES[:-1])} or {MEASURES[-1]}"
        if self.of == "accuracy_under" and not self.limits:
            raise ValueError(f"a limit beside accuracy_under: set {measures}")
        if self.of != "accuracy_under" and self.limits:
            raise ValueError(f"{' and '.join(self.limits)} null with {self.of}: limits belong to accuracy_under")
        return self

    @property
    def limits(self) -> Mapping[str, float]:
        """The most a network may have, by measure."""
        given = {name: getattr(self, name) for name in MEASURES}
        return {name: limit for name, limit in given.items() if limit is not None}

    @property
    def weighs_gap(self) -> bool:
        """Whether a smaller overfitting gap counts as much as a better score."""
        return self.of == "accuracy_and_gap"

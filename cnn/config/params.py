"""The sections of `params.yaml`: one a step, and what is made of data that have changed."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cnn.config.frozen import Fraction, Frozen
from cnn.config.objective import ObjectiveParams
from cnn.config.preparing import PrepareParams, Seed
from cnn.config.space import Dimension


class BudgetParams(Frozen):
    """What a search may use up; whichever ends first ends it. A null bound does not bind."""

    trials: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    minutes: Annotated[float, Field(gt=0.0)] | None = None
    cpu_minutes: Annotated[float, Field(gt=0.0)] | None = None
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 10

    @model_validator(mode="after")
    def _ends(self) -> "BudgetParams":
        if self.trials is None and self.minutes is None and self.cpu_minutes is None:
            raise ValueError("trials, minutes or cpu_minutes: without one of them the search never ends")
        return self


class SearchParams(Frozen):
    """How recipes are tried."""

    engine: Literal["optuna", "keras_tuner", "random"] = "optuna"
    sampler: Literal["tpe", "nsgaii", "random", "cmaes", "qmc", "gp", "bayesian", "hyperband", "grid"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "hyperband"
    objective: ObjectiveParams = ObjectiveParams()
    seed: Seed = 0
    recipe: str = "small"
    space: Annotated[dict[str, Dimension], Field(min_length=1)]
    budget: BudgetParams
    train_limit: Annotated[int, Field(ge=1)] | None = None
    memory: Literal["none", "best", "full"] = "full"
    min_gain: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    rounds: Annotated[int, Field(ge=1, le=100)] = 3
    remedies: Literal["on", "off"] = "off"
    finalists: Annotated[int, Field(ge=1, le=100)] = 3
    finalist_seeds: Annotated[int, Field(ge=0, le=100)] = 2
    executor: Literal["local", "inline"] = "local"
    workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = "auto"
    trials_per_worker: Annotated[int, Field(ge=1)] = 50
    worker_memory_mb: Annotated[int, Field(ge=512)] = 8192
    contact_sheet: bool = True
    experiment: Annotated[str, Field(min_length=1)] = "cnn-overnight"


class TrainParams(Frozen):
    """How the winner is trained once more, on all training images."""

    recipe: str = "winner"
    epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    patience: Annotated[int, Field(ge=1, le=10_000)] | None = None
    seed: Seed = 0


class EvaluateParams(Frozen):
    """How the candidate is measured on the test images."""

    confidence: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.95
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 512


def _registrable(name: str) -> str:
    if not name or set(name) & set("/:.%\"'"):
        raise ValueError("a name without / : . % and quotes")
    return name


class RegisterParams(Frozen):
    """Under which name versions are kept."""

    name: Annotated[str, AfterValidator(_registrable)] = "cnn-overnight"


class PromoteParams(Frozen):
    """The gate before the champion: a rule a key, but `alpha`, `margin` and `guard_alpha`, which are levels."""

    alpha: Fraction = 0.05
    margin: Fraction = 0.0
    class_loss: Fraction = 0.03
    brier_loss: Fraction = 0.005
    guard_alpha: Fraction = 0.05
    max_gap: Annotated[float, Field(gt=0.0, le=1.0)] | None = 0.2
    latency_ms: Annotated[float, Field(gt=0.0)] | None = None
    size_mb: Annotated[float, Field(gt=0.0)] | None = None
    smoke: bool = True


class DataCheckParams(Frozen):
    """What counts as a change of the data, and which one ends a night before it trains."""

    stops: Literal["failed", "drifted", "never"] = "failed"
    alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.01
    distance: Fraction = 0.1
    balance: Fraction = 0.1
    max_relabelled: Fraction = 0.05
    least_images: Fraction = 0.5


class Params(Frozen):
    """`params.yaml`, whole."""

    prepare: PrepareParams
    search: SearchParams
    train: TrainParams = TrainParams()
    evaluate: EvaluateParams = EvaluateParams()
    register_: Annotated[RegisterParams, Field(alias="register")] = RegisterParams()
    promote: PromoteParams = PromoteParams()
    data_check: DataCheckParams = DataCheckParams()

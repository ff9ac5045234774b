"""What a search learns from besides its own scores: the searches before it, and the verdicts of its own runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnn.config.environment import Environment
from cnn.config.params import SearchParams
from cnn.config.reading import digest

if TYPE_CHECKING:
    from cnn.config.recipe import Recipe
    from cnn.data.prepared.store import Prepared
    from cnn.search.engines.searcher import Searcher
    from cnn.search.memory import Memory
    from cnn.search.parts import SearchParts
    from cnn.search.space import Space
    from cnn.search.steering import Steering
    from cnn.search.study import Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a search is on.

    Args:
        n_train: Training images a trial.
    """

    params: SearchParams
    space: "Space"
    base: "Recipe"
    prepared: "Prepared"
    n_train: int
    n_val: int

    @property
    def n_clean(self) -> int:
        """Training images that are scored for the gap."""
        return min(self.n_train, self.n_val)


def ending_early(
    params: SearchParams, searcher: "Searcher", space: "Space", study: "Study", say: Callable[[str], object]
) -> "Searcher":
    """The engine, with an end to it if `search.min_gain` sets one; its sentence is kept in the ledger too."""
    from cnn.search.engines.terminating import Terminating

    if params.min_gain is None or params.objective.weighs_gap:
        return searcher

    def end(sentence: str) -> None:
        study.ledger.write(ended_early=sentence)
        say(sentence)

    return Terminating(searcher, space, min_gain=params.min_gain, seed=params.seed, say=end)


def memory_of(ground: Ground, environment: Environment, study: "Study", searcher: "Searcher") -> "Memory":
    """What the searches before this one have learnt; the engine is told of it."""
    from cnn.search.memory import Setting, most_first, remembered

    params, prepared = ground.params, ground.prepared
    setting = Setting(
        head=digest(prepared.head.document()),
        image_shape=prepared.image_shape,
        objective=params.objective.of,
        data=prepared.data_hash,
        images=ground.n_train,
        epochs=params.budget.epochs,
    )
    memory = remembered(
        environment.studies,
        study,
        ground.space,
        ground.base,
        setting,
        word=params.memory if searcher.steerable else "none",
        learns=searcher.learns,
        n_first=most_first(params.budget.trials),
    )
    searcher.remember(memory.known)
    return memory


def steering_of(ground: Ground, parts: "SearchParts", searcher: "Searcher", study: "Study") -> "Steering | None":
    """The rounds of a search; None for a plain one."""
    from cnn.search.steering import Steering

    if parts.adviser is None or not searcher.steerable:
        return None
    adviser = parts.adviser(
        ground.space,
        ground.base,
        head=ground.prepared.head,
        n_clean=ground.n_clean,
        n_val=ground.n_val,
        data_hash=ground.prepared.data_hash,
    )
    return Steering(ground.space, study, adviser, seed=ground.params.seed, n_rounds=ground.params.rounds)


def not_used(params: SearchParams, searcher: "Searcher", *, engine: str) -> list[str]:
    """Settings that this engine or objective has no use for, a sentence each."""
    said = []
    alone = f"{engine} tries only what it proposes itself"
    if params.remedies == "on" and not searcher.steerable:
        said.append(f"search.remedies is off: {alone}")
    if params.objective.weighs_gap and params.pruner != "none":
        said.append("search.pruner is not used: with accuracy_and_gap each trial runs all its epochs")
    if params.objective.weighs_gap and params.min_gain is not None:
        said.append("search.min_gain is not used: what is expected of a score says nothing of the gap")
    if params.memory != "none" and not searcher.steerable:
        said.append(f"search.memory is not used: {alone}")
    elif params.memory == "full" and not searcher.learns:
        said.append(f"search.memory is best: {engine} does not learn from scores")
    return said

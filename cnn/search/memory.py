"""What earlier searches of this home know that the next one can use: which recipes did best, and how all of them did.

An earlier trial counts if it can be said in today's space: every dimension that is active has one of its values in the
recipe that was trained. How far away it is, is the number of other fields of the recipe that differ, plus one if it saw
other images: at distance d one trial in 2^d is kept, by its number, so that what is near has more to say. Where trials
had another number of epochs or of images, scores do not compare; such a trial tells nothing of its score, but its
study's best recipes are tried again all the same.

What is remembered is written into the new study's ledger when it opens, and never looked up again: a search that goes
on after a kill has the same memory, whatever other searches have found meanwhile.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cnn.config.mistakes import validated
from cnn.config.reading import digest, recipe_with
from cnn.config.recipe import Recipe
from cnn.errors import UserError
from cnn.records import Outcome, Proposal, Scalar, TrialState, Values
from cnn.runtime import derived_seed
from cnn.search.ledger import Ledger, LedgerRow
from cnn.search.pareto import overfitting
from cnn.search.space import Space
from cnn.search.study import Study, study_names

log = logging.getLogger(__name__)

FARTHEST = 3
"""At a greater distance an earlier trial is another matter."""

MOST_KNOWN = 200
"""Trials that a sampler is told of: more would slow each proposal down, and the nearest say the most."""

MOST_TRIED_AGAIN = 5

_SETTING, _MEMORY = "setting", "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a score depends on besides the hyperparameters.

    Args:
        head: Digest of what is told of an image; scores of another head are of another problem.
        objective: What makes a trial the better one, `search.objective.of`.
        data: The data hash.
        images: Training images a trial.
        epochs: Most epochs a trial.
    """

    head: str
    image_shape: tuple[int, int, int]
    objective: str
    data: str
    images: int
    epochs: int

    def compares(self, other: "Setting") -> bool:
        """Whether recipes that are good in the one are likely to be good in the other."""
        return bool(replace(self, data=other.data, images=other.images, epochs=other.epochs) == other)

    def scores_alike(self, other: "Setting") -> bool:
        """Whether scores are on one scale: as many epochs, and as many images to within a fifth."""
        return self.epochs == other.epochs and 0.8 <= self.images / max(1, other.images) <= 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTrial:
    """A trial of an earlier search, in the words of today's space.

    Args:
        score: Larger is better; None where it diverged, which is worse than any score.
        gap: The overfitting gap in accuracy, 0 or more.
    """

    study: str
    number: int
    values: Values
    score: float | None
    gap: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What a search begins with.

    Args:
        first: Values that are tried before the engine proposes any, the best of earlier searches.
        known: What the engine is told of, the oldest first; none unless it learns.
        studies: Those that it comes from, the oldest first.
    """

    first: tuple[Mapping[str, Scalar], ...] = ()
    known: tuple[KnownTrial, ...] = ()
    studies: tuple[str, ...] = ()

    def proposals(self, epochs: int) -> list[Proposal]:
        """Those of the first trials."""
        return [Proposal(number=number, values=values, epochs=epochs) for number, values in enumerate(self.first)]

    def sentences(self) -> list[str]:
        """For the screen; none where nothing is remembered."""
        if not self.studies:
            return []
        n = len(self.studies)
        told = f", and the engine knows of {len(self.known)} trials" if self.known else ""
        again = f"{len(self.first)} recipe{'s' * (len(self.first) != 1)}"
        return [f"remembers {n} earlier search{'es' * (n != 1)}: {again} of the best will be tried again first{told}"]


def most_first(n_trials: int | None) -> int:
    """How many recipes are tried again: a fifth of the trials at the most, so that there is time for new ones.

    Args:
        n_trials: The budget's; None: it has another bound.

    Example:
        >>> most_first(4), most_first(12), most_first(None)
        (1, 2, 5)
    """
    return MOST_TRIED_AGAIN if n_trials is None else min(MOST_TRIED_AGAIN, max(1, n_trials // 5))


def remembered(
    studies: Path,
    study: Study,
    space: Space,
    base: Recipe,
    setting: Setting,
    *,
    word: str,
    learns: bool,
    n_first: int,
) -> Memory:
    """What this study remembers; found at its first start, and read from its ledger at every later one.

    Args:
        studies: Folder of all studies of this home.
        setting: Of this study, kept in its ledger for those to come.
        word: `search.memory`: none, best or full.
        learns: Whether the engine can be told of trials that it did not ask for.
        n_first: Recipes tried again, at the most.
    """
    if study.ledger.read(_MEMORY):
        return began_with(study.ledger)
    found = Memory()
    if word != "none" and not study.ledger.trials():
        found = _looked_up(studies, study.name, space, base, setting, n_first=n_first)
        found = found if word == "full" and learns else Memory(first=found.first, studies=found.studies)
    study.ledger.write(**{_SETTING: json.dumps(asdict(setting) | {"base": base.model_dump(mode="json")})})
    study.ledger.write(**{_MEMORY: json.dumps(asdict(found))})
    return found


def began_with(ledger: Ledger) -> Memory:
    """What a study remembered when it began; nothing, if it had not come to that."""
    document = json.loads(ledger.read(_MEMORY, "null"))
    if document is None:
        return Memory()
    return Memory(
        first=tuple(document["first"]),
        known=tuple(KnownTrial(**trial) for trial in document["known"]),
        studies=tuple(document["studies"]),
    )


def _looked_up(studies: Path, own: str, space: Space, base: Recipe, setting: Setting, *, n_first: int) -> Memory:
    """The best recipes of each study, the latest study's first of all, and the nearest trials."""
    known: list[tuple[int, KnownTrial]] = []
    best: list[list[Mapping[str, Scalar]]] = []
    sources = []
    for name in study_names(studies):
        trials = [] if name == own else list(_of_study(studies / name, space, base, setting))
        if not trials:
            continue
        sources.append(name)
        ranked = sorted((one for one in trials if one.trial.score is not None), key=_worth, reverse=True)
        best.append([one.trial.values for one in ranked[:n_first]])
        known += [(one.distance, one.trial) for one in trials if one.alike and _is_kept(one)]
    nearest = sorted(enumerate(known), key=lambda one: (one[1][0], -one[0]))[:MOST_KNOWN]
    return Memory(
        first=tuple(_in_turns(best[::-1], n_first)),
        known=tuple(trial for _, (_, trial) in sorted(nearest, key=lambda one: one[0])),
        studies=tuple(sources),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """An earlier trial, and how far away it is.

    Args:
        alike: Whether its score is on today's scale.
    """

    trial: KnownTrial
    distance: int
    alike: bool


def _worth(one: _Said) -> tuple[float, float]:
    return one.trial.score or 0.0, -one.trial.gap


def _is_kept(one: _Said) -> bool:
    return derived_seed(0, "memory", one.trial.study, one.trial.number) % (1 << one.distance) == 0


def _of_study(folder: Path, space: Space, base: Recipe, setting: Setting) -> Iterator[_Said]:
    """Trials of an earlier study that can be said in today's space; none if it is damaged, or of another problem."""
    try:
        with Ledger(folder / "ledger.db") as ledger:
            kept, rows = json.loads(ledger.read(_SETTING, "null")), ledger.trials()
    except UserError as error:  # `cnn doctor` says it; what was learnt there is worth no search
        log.warning("%s is not remembered: %s", folder.name, error)
        return
    if kept is None:
        return
    try:
        there = validated(Recipe, kept.pop("base"), folder.name)
        earlier = Setting(**kept | {"image_shape": tuple(kept["image_shape"])})
    except (UserError, TypeError, KeyError):
        log.warning("%s is not remembered: another version of this package made it", folder.name)
        return
    if not setting.compares(earlier):
        return
    for row in rows:
        outcome = row.outcome
        if outcome is None or not _says_something(outcome):
            continue
        said = _said_today(row, there, space, base)
        if said is None or said[1] > FARTHEST:
            continue
        trial = KnownTrial(
            study=folder.name,
            number=row.id.number,
            values=said[0],
            score=outcome.score,
            gap=overfitting(outcome.curve) if outcome.score is not None else 0.0,
        )
        distance = said[1] + (earlier.data != setting.data)
        yield _Said(trial=trial, distance=distance, alike=setting.scores_alike(earlier))


def _says_something(outcome: Outcome) -> bool:
    """Whether it ran to its end, or diverged, which a region is known by too; not what a kill or a pruner cut off."""
    if outcome.state is TrialState.COMPLETED:
        return outcome.score is not None and math.isfinite(outcome.score)
    return outcome.state is TrialState.FAILED and outcome.reason.startswith("NaN loss")


def _said_today(row: LedgerRow, there: Recipe, space: Space, base: Recipe) -> tuple[dict[str, Scalar], int] | None:
    """A trial's recipe as values of today's space, and how many other fields differ; None where it cannot be said."""
    try:
        trained = _fields(recipe_with(there, row.proposal.values))
        values: dict[str, Scalar] = {}
        for path in space.dimensions:
            if space.is_active(path, values):
                values[path] = trained[path]
        if not space.contains(values):
            return None
        today = _fields(recipe_with(base, values))
    except (KeyError, UserError):  # a field that this family does not have, or a value that is no longer allowed
        return None
    free = {"training.epochs", *values}
    paths = (today.keys() | trained.keys()) - free
    return values, sum(today.get(path) != trained.get(path) for path in paths)


def _fields(recipe: Recipe) -> dict[str, Any]:
    """Each field by its dotted path."""
    document = recipe.model_dump(mode="json")
    parts = {section: body for section, body in document.items() if isinstance(body, dict)}
    flat = {f"{section}.{field}": value for section, body in parts.items() for field, value in body.items()}
    return flat | {section: value for section, value in document.items() if section not in parts}


def _in_turns(ranked: Sequence[Sequence[Mapping[str, Scalar]]], most: int) -> list[Mapping[str, Scalar]]:
    """The best of each, then the second of each, no values twice.

    Example:
        >>> a, b, c = ({"model.filters": filters} for filters in (8, 16, 24))
        >>> [values["model.filters"] for values in _in_turns([[a, b], [c, a]], 2)]
        [8, 24]
    """
    turns = [values for place in range(most) for one in ranked for values in one[place : place + 1]]
    return list({digest(dict(values)): values for values in turns}.values())[:most]  # a key keeps its first place

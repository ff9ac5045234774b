"""What the verdicts of a search's best runs make of its space: an adviser between rounds and between nights.

The best runs vote: each for the verdict of its curve. Against a verdict with enough votes stand its remedies; those
that would change a dimension of the space are ranked by their share of the votes times the gain that is believed of
them, which begins as their order and is moved by what pairs of runs have measured on these images. The first of
them moves the ranges of its dimensions, never beyond the user's limits: one a round, so that it is seen what it does.

The runs themselves can object: a range is taken only if those inside it have done better than those outside, in six
couples of ten, and given up if they have done worse, or if most of the best runs stay outside of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnn.config.reading import digest, recipe_with
from cnn.config.recipe import Recipe
from cnn.config.space import Dimension, dimensions_document, dimensions_from
from cnn.diagnosis.diagnose import diagnose
from cnn.diagnosis.effects import Belief, Effect, RemedyMemory, belief
from cnn.diagnosis.ranges import limited, moved, shown, superiority, within
from cnn.diagnosis.reading import Sizes
from cnn.diagnosis.remedies import ORDER, REMEDIES, Move
from cnn.diagnosis.verdict import Diagnosis, Verdict
from cnn.records import Outcome, Proposal, Scalar, Values

ENOUGH = 0.5
"""The part of the best runs that must call for a remedy."""

_BORNE_OUT, _EVEN = 0.6, 0.5

_Focus = Mapping[str, Dimension]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A focus with what led to it, a sentence a change."""

    focus: _Focus
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """A remedy for one trial: the values that it would then have, of those that change."""

    origin: int
    remedy: str
    verdict: str
    values: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One of the best runs."""

    number: int
    values: Values
    said: Diagnosis


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A remedy that is called for, with those who call for it."""

    verdict: Verdict
    name: str
    cases: tuple[_Case, ...]
    share: float
    expected: Belief


class RemedyAdviser:
    """Advises one search.

    Args:
        dimensions: The user's limits, by dotted path.
        base: The recipe that they vary.
        sizes: Of what curves are scored on.
        memory: What remedies have done on these images.
    """

    def __init__(self, dimensions: Mapping[str, Dimension], base: Recipe, sizes: Sizes, memory: RemedyMemory) -> None:
        self._dimensions, self._base, self._sizes, self._memory = dimensions, base, sizes, memory
        # a range that was good for one base recipe, its optimizer say, tells nothing of another's
        self._space = digest(dimensions_document(dimensions), base.model_dump(mode="json"))

    def opening(self) -> Advice:
        """The focus with which the last search of this space on these images ended; the whole space for the first."""
        last = self._memory.last_focus(self._space)
        if last is None:
            return Advice(focus={}, reasons=())
        study, document = last
        focus = dimensions_from(document)
        reasons = tuple(f"{path} {shown(one)}: study {study} ended with it." for path, one in focus.items())
        return Advice(focus=focus, reasons=reasons)

    def advise(
        self, focus: _Focus, best: Sequence[tuple[Proposal, Outcome]], ended: Sequence[tuple[Proposal, Outcome]]
    ) -> Advice:
        """The focus for the next round.

        Args:
            best: The best runs, the best first; at least one.
            ended: All that ran to their end.
        """
        cases = self._cases(best)
        kept, reasons = self._without_misled(focus, cases, ended)
        settled = focus.keys() - kept.keys()  # what was just given up is not taken up again at once
        plans = self._plans(cases)
        for plan in plans:
            found = {
                path: part
                for path, part in self._moves(plan, kept, settled).items()
                if _odds(path, part, ended) >= _BORNE_OUT
            }
            if plan.expected.mean <= 0 or not found:
                continue
            reasons += [self._reason(plan, path, kept, new, len(cases)) for path, new in found.items()]
            kept |= found
            break
        return Advice(focus=kept, reasons=tuple(reasons) or (_nothing(cases, plans),))

    def treatments(self, best: Sequence[tuple[Proposal, Outcome]], *, seed: int) -> list[Treatment]:
        """Remedies for the best runs, each alone: a draw of each remedy's gain decides (Thompson sampling), so that
        both what promises most and what is least known are measured, and what is known to harm is not.
        """
        rng = np.random.default_rng(seed)
        found: list[tuple[float, Treatment]] = []
        for plan in self._plans(self._cases(best), enough=0.0):
            drawn = float(rng.normal(plan.expected.mean, plan.expected.spread))
            if drawn <= 0:
                continue
            for case in plan.cases:
                values = self._limited(case, plan.name)
                if values:
                    treatment = Treatment(
                        origin=case.number, remedy=plan.name, verdict=plan.verdict.value, values=values
                    )
                    found.append((drawn, treatment))
        return [treatment for _, treatment in sorted(found, key=lambda one: -one[0])]

    def learn(self, study: str, number: int, verdict: str, remedy: str, *, score: float, gap: float) -> None:
        """Keep what a remedy did."""
        self._memory.keep(Effect(study=study, trial=number, verdict=verdict, remedy=remedy, score=score, gap=gap))

    def close(self, study: str, focus: _Focus) -> None:
        """Keep where a search ended."""
        self._memory.keep_focus(study, self._space, dimensions_document(focus))

    # ---- inside

    def _cases(self, best: Sequence[tuple[Proposal, Outcome]]) -> list[_Case]:
        return [
            _Case(number=proposal.number, values=proposal.values, said=self._diagnosis(proposal, outcome))
            for proposal, outcome in best
        ]

    def _diagnosis(self, proposal: Proposal, outcome: Outcome) -> Diagnosis:
        recipe: dict[str, Any] = recipe_with(
            self._base, {**proposal.values, "training.epochs": proposal.epochs}
        ).model_dump(mode="json")
        return diagnose(outcome.curve, self._sizes, reason=outcome.reason, recipe=recipe)

    def _plans(self, cases: Sequence[_Case], *, enough: float = ENOUGH) -> list[_Plan]:
        """The remedies that enough runs call for, the most promising first."""
        plans = []
        for verdict in dict.fromkeys(case.said.verdict for case in cases):
            for name in ORDER[verdict]:
                calling = tuple(case for case in cases if case.said.verdict is verdict and self._wishes(case, name))
                share = len(calling) / len(cases)
                if calling and share >= enough:
                    expected = belief(verdict, name, self._memory.effects)
                    plans.append(_Plan(verdict=verdict, name=name, cases=calling, share=share, expected=expected))
        return sorted(plans, key=lambda plan: -plan.share * plan.expected.mean)

    def _wishes(self, case: _Case, name: str) -> list[tuple[Move, Scalar]]:
        """How a remedy would move dimensions of the space for a run, and the values it would give them.

        A run that has what the remedy asks for, and is ill all the same, would have the range move on.
        """
        given = {path: value for one in case.said.remedies if one.name == name for path, value in one.values.items()}
        return [
            (move, given.get(move.path, case.values[move.path]))
            for move in REMEDIES[name][1]
            if case.values.get(move.path) not in (None, move.absent)
            and move.path in self._dimensions
            and (move.path in given or move.direction != "to")
        ]

    def _moves(self, plan: _Plan, focus: _Focus, settled: set[str]) -> dict[str, Dimension]:
        """The ranges that a remedy moves, by path."""
        found: dict[str, Dimension] = {}
        for move in REMEDIES[plan.name][1]:
            wishes = [
                (case.values[move.path], wanted)
                for case in plan.cases
                for wished, wanted in self._wishes(case, plan.name)
                if wished is move
            ]
            if wishes and move.path not in settled:
                declared = self._dimensions[move.path]
                having, wanted = zip(*wishes, strict=True)
                part = moved(declared, focus.get(move.path, declared), move.direction, having, wanted)
                found |= {} if part is None else {move.path: part}
        return found

    def _without_misled(
        self, focus: _Focus, cases: Sequence[_Case], ended: Sequence[tuple[Proposal, Outcome]]
    ) -> tuple[dict[str, Dimension], list[str]]:
        """The focus without the ranges that the runs object to."""
        kept, reasons = dict(focus), []
        for path, part in focus.items():
            values = [case.values[path] for case in cases if path in case.values]
            n_outside = sum(not within(part, value) for value in values)
            worse = _odds(path, part, ended) < _EVEN
            if worse or 2 * n_outside > len(values):
                del kept[path]
                outside = f"{n_outside} of the best {len(values)} runs are outside of {shown(part)}"
                why = f"runs with {shown(part)} have done worse than others" if worse else outside
                reasons.append(f"{path} {shown(self._dimensions[path])} again, because {why}.")
        return kept, reasons

    def _limited(self, case: _Case, name: str) -> dict[str, Scalar]:
        """What a remedy changes in a run, within the user's limits."""
        near = {
            move.path: limited(self._dimensions[move.path], wanted, case.values[move.path])
            for move, wanted in self._wishes(case, name)
        }
        return {path: value for path, value in near.items() if value is not None}

    def _reason(self, plan: _Plan, path: str, focus: _Focus, new: Dimension, n_cases: int) -> str:
        before = shown(focus.get(path, self._dimensions[path]))
        verdict = plan.verdict.value.replace("_", " ")
        return (
            f"{path} {shown(new)} instead of {before} ({plan.name.replace('_', ' ')}), because {len(plan.cases)} of "
            f"the best {n_cases} runs are {verdict}{self._measured(plan)}."
        )

    def _measured(self, plan: _Plan) -> str:
        effects = [one for one in self._memory.effects if (one.verdict, one.remedy) == (plan.verdict.value, plan.name)]
        if not effects:
            return ""
        n = len(effects)
        score, gap = sum(one.score for one in effects) / n, sum(one.gap for one in effects) / n
        return (
            f"; in {n} pair{'s' * (n != 1)} on these images it changed the score by {score:+.4f}, the gap by {gap:+.4f}"
        )


def _odds(path: str, part: Dimension, ended: Sequence[tuple[Proposal, Outcome]]) -> float:
    """The probability that a run inside a range did better than one outside; 1 where there are too few to tell."""
    scored = [(run.values[path], end.score or 0.0) for run, end in ended if path in run.values]
    odds = superiority(part, [value for value, _ in scored], [score for _, score in scored])
    return 1.0 if odds is None else odds


def _nothing(cases: Sequence[_Case], plans: Sequence[_Plan]) -> str:
    """Why the focus stays as it is."""
    votes = Counter(case.said.verdict.value.replace("_", " ") for case in cases)
    said = ", ".join(f"{n} {verdict}" for verdict, n in votes.most_common())
    if not plans:
        return f"nothing: the best {len(cases)} runs are {said}, and no remedy is called for."
    names = ", ".join(dict.fromkeys(plan.name.replace("_", " ") for plan in plans))
    why = f"what helps ({names}) has no room left in the space, or has done no good"
    return f"nothing: the best {len(cases)} runs are {said}, and {why}."

"""What a search found, in sentences."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnn.records import Scalar, Task, TrialState, best_row
from cnn.reports.page import listed
from cnn.reports.study_facts import StudyFacts, Trial, label
from cnn.search.finalists import Standing
from cnn.search.results import rule

_MATTERS = 0.1
_FEWEST = 3
_MOST_VALUES = 6
_MOST_NAMED = 3


def why_it_won(facts: StudyFacts) -> tuple[str, ...]:
    """The finals, how sure the lead is, what the winner has that others lack, and what its curve says."""
    said = (_finals(facts), _better_but_out(facts), _lead(facts), *_what_it_has(facts), _curve(facts))
    return tuple(filter(None, said))


def shown(value: Scalar) -> str:
    """A hyperparameter's value, reals to three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def settings(values: Mapping[str, Scalar], names: Sequence[str] = ()) -> str:
    """Hyperparameters in a line; `names` come first."""
    ordered = [name for name in names if name in values] + [name for name in values if name not in names]
    return ", ".join(f"{label(name)} {shown(values[name])}" for name in ordered)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Trials that have a hyperparameter's value, or a value in a range, in common."""

    name: str
    trials: tuple[Trial, ...]

    @property
    def scores(self) -> list[float]:
        return [trial.score or 0.0 for trial in self.trials]


def groups(facts: StudyFacts, path: str) -> list[Group]:
    """The scored trials by the value of a hyperparameter, in the order of the space; of a number with many values, in
    four ranges with as many trials each.
    """
    having = [trial for trial in facts.scored if path in trial.values]
    dimension = facts.params.space[path]
    values = list(dimension.values) if dimension.type == "choice" else sorted({one.values[path] for one in having})
    if dimension.type == "choice" or len(values) <= _MOST_VALUES:
        made = [(shown(value), [one for one in having if one.values[path] == value]) for value in values]
    else:
        ordered = sorted(having, key=lambda one: (one.values[path], one.number))
        parts = [ordered[len(ordered) * part // 4 : len(ordered) * (part + 1) // 4] for part in range(4)]
        made = [(f"{shown(part[0].values[path])} to {shown(part[-1].values[path])}", part) for part in parts if part]
    return [Group(name=name, trials=tuple(trials)) for name, trials in made if trials]


def noise(score: float, n_val: int) -> float:
    """Half the width of the 95 % interval that n validation images leave a score.

    Example:
        >>> round(noise(0.5, 10_000), 4)
        0.0098
    """
    return 1.96 * math.sqrt(max(score * (1 - score), 0.0) / n_val)


def _finals(facts: StudyFacts) -> str:
    best, winner = facts.standings[0], facts.winner
    place = facts.contenders.index(winner) + 1
    ranked = f"trial {winner.number} scored {best.score:.4f} in the search, rank {place} of {_race(facts)}"
    if not best.fresh_scores:
        cut = " to its end before the budget was spent" if any(one.fresh_scores for one in facts.standings) else ""
        return (
            f"{ranked.capitalize()}; it was not trained again{cut}, so it may owe its place to luck.{_of_front(facts)}"
        )
    others = [f"trial {one.row.id.number} {_mean(one, facts)}" for one in facts.standings[1:] if one.fresh_scores]
    against = f"; {', '.join(others)}" if others else ""
    if facts.params.objective.weighs_gap:
        return (
            f"{ranked.capitalize()}.{_of_front(facts)} The finalists were trained again with fresh seeds, which "
            f"decides: trial {winner.number} {_mean(best, facts)}{against}."
        )
    return (
        f"{ranked.capitalize()}. The best were then trained again with fresh seeds, which decides, because the best of "
        f"many looks better than it is: trial {winner.number} {best.mean:.4f}{against}."
    )


def _race(facts: StudyFacts) -> str:
    n = len(facts.contenders)
    if facts.winner.state is not TrialState.COMPLETED:
        return f"{n}, none of which ran to its end"
    return f"the {n} that ran to their end" if facts.out_of_race else str(n)


def _better_but_out(facts: StudyFacts) -> str:
    """Whoever scored better and could not win, so that nobody looks for them in vain."""
    better = [trial for trial in facts.out_of_race if (trial.score or 0.0) > (facts.winner.score or 0.0)]
    if not better:
        return ""
    named = listed([f"trial {one.number} {one.score:.4f} ({one.reason})" for one in better[:_MOST_NAMED]])
    more = f", the best of {len(better)} of them" if len(better) > _MOST_NAMED else ""
    return f"Only trials that ran to their end can win. Better, but not in the race: {named}{more}."


def _of_front(facts: StudyFacts) -> str:
    if not facts.params.objective.weighs_gap:
        return ""
    n = len(facts.front)
    found = "the one trial" if n == 1 else f"one of the {n} trials"
    unbeaten = f" It is {found} that no other beats in both score and overfitting gap"
    return f"{unbeaten}, and it has {rule(facts.params.objective)}."


def _mean(standing: Standing, facts: StudyFacts) -> str:
    gap = f" with a gap of {standing.mean_gap:.4f}" if facts.params.objective.weighs_gap else ""
    return f"{standing.mean:.4f}{gap}"


def _lead(facts: StudyFacts) -> str:
    if len(facts.standings) < 2:
        return ""
    first, second = facts.standings[:2]
    if facts.params.objective.weighs_gap:
        score, gap = first.mean - second.mean, first.mean_gap - second.mean_gap
        next_one = f"trial {second.row.id.number}, the next by that rule"
        return f"Against {next_one}, its score is {score:+.4f}, its gap {gap:+.4f}."
    alike = first.fresh_scores and second.fresh_scores  # a lucky score is not to be held against a fresh one
    one, other = (first.mean, second.mean) if alike else (first.score, second.score)
    if facts.head.task is not Task.MULTICLASS:  # the others' scores are no fractions of right answers
        return f"Its lead over trial {second.row.id.number} is {one - other:+.4f}."
    lead, luck = one - other, noise(one, facts.n_val)
    images = f"{facts.n_val:,} validation images leave a score uncertain by ±{luck:.4f}"
    if lead <= luck:
        return f"Its lead over trial {second.row.id.number} is {lead:+.4f}, and {images}: the two may well be equal."
    return f"Its lead over trial {second.row.id.number} is {lead:+.4f}, more than luck alone explains: {images}."


def _what_it_has(facts: StudyFacts) -> list[str]:
    """For each hyperparameter that matters, the winner's value against the other values."""
    sentences = []
    for path, importance in facts.importances.items():
        made = groups(facts, path) if importance >= _MATTERS and path in facts.winner.values else []
        own = [group for group in made if facts.winner in group.trials]
        rest = [score for group in made if group not in own for score in group.scores]
        if own and len(own[0].trials) >= _FEWEST and len(rest) >= _FEWEST:
            inside, outside = statistics.median(own[0].scores), statistics.median(rest)
            if inside > outside:
                sentences.append(
                    f"It has {label(path)} {shown(facts.winner.values[path])}: the {len(own[0].trials)} trials with "
                    f"{own[0].name} have a median score of {inside:.4f}, the others {outside:.4f} (importance "
                    f"{importance:.2f})."
                )
    return sentences


def what_is_wrong(trial: Trial, facts: StudyFacts) -> str:
    """A bad trial: where it ended, how far behind it was, what its curve says, and which of its values do badly."""
    scored = f"scored {trial.score:.4f}" if trial.score is not None else "has no score"
    said = [f"Trial {trial.number} {scored} ({trial.reason}).", _behind(trial, facts)]
    if trial.reading.verdict != "undecided":
        said += [f"{trial.reading.words.capitalize()}: {trial.reading.findings[0]}"]
        said += [f"To try: {remedy}" for remedy in trial.reading.remedies[:1]]
    said += [_bad_values(trial, facts), f"It has {settings(trial.values, tuple(facts.importances))}."]
    return " ".join(filter(None, said))


def _behind(trial: Trial, facts: StudyFacts) -> str:
    """Against the others and the winner when they had trained as long."""
    n = len(trial.curve)
    if not n or trial.score is None:
        return ""
    others = [best_row(one.curve[:n]).val_score for one in facts.scored if len(one.curve) >= n and one is not trial]
    winner = best_row(facts.winner.curve[:n]).val_score
    middle = f"the median trial had {statistics.median(others):.4f} and " if others else ""
    return f"After {n} epoch{'s' * (n != 1)} {middle}the winner {'' if others else 'had '}{winner:.4f}."


def _bad_values(trial: Trial, facts: StudyFacts) -> str:
    """Which of its values, or ranges, have the lowest median of all."""
    found = []
    for path in trial.values:
        medians = {group.name: statistics.median(group.scores) for group in groups(facts, path)}
        own = [group.name for group in groups(facts, path) if trial in group.trials]
        if own and len(medians) > 1 and medians[own[0]] == min(medians.values()):
            found.append(f"{label(path)} {own[0]} ({medians[own[0]]:.4f})")
    return f"The lowest medians of all that was tried: {', '.join(found)}." if found else ""


def _curve(facts: StudyFacts) -> str:
    reading = facts.winner.reading
    return " ".join((f"Its learning curve: {reading.words}.", *reading.findings[:2]))

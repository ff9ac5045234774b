"""A night in sentences: what became of it, what is wrong, what was learnt, what the next one will do differently."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from cnn.config.space import Choice, Dimension
from cnn.nights import Night
from cnn.records import TrialState
from cnn.reports.night_facts import FAILED, INTERRUPTED, PROMOTED, STAYS, UNDER_WAY, NightFacts
from cnn.reports.page import listed
from cnn.reports.study_charts import effects_section, importance_section
from cnn.reports.study_facts import StudyFacts, label
from cnn.reports.study_words import shown, why_it_won

HEADLINES = {
    PROMOTED: ("New champion", "good"),
    STAYS: ("The champion stays", "neutral"),
    FAILED: ("The night failed", "bad"),
    INTERRUPTED: ("The night was interrupted", "warning"),
    UNDER_WAY: ("The night is under way", "neutral"),
}
"""What stands first, and its colour."""

_PROMOTED_FIRST = "There is a champion now"
_DAMAGE = ("digest", "signature", "smoke")


def headline(facts: NightFacts) -> str:
    """Whether there is a new champion, or what else happened, in a few words."""
    said, decision = HEADLINES[facts.state][0], facts.night.decision
    if facts.state in (FAILED, INTERRUPTED) and decision.get("promoted"):
        return f"New champion, but {said[:1].lower()}{said[1:]}"
    if decision.get("champion") is None:
        said = {PROMOTED: _PROMOTED_FIRST, STAYS: "No champion yet"}.get(facts.state, said)
    return said


def tone(facts: NightFacts) -> str:
    """The headline's colour: a night that came to its end is no calm one while there is something to look at."""
    if facts.state in (PROMOTED, STAYS) and problems(facts):
        return "warning"
    return HEADLINES[facts.state][1]


def findings(facts: NightFacts) -> tuple[str, ...]:
    """The verdict, then what is wrong, or that nothing is; after a bad night what was kept."""
    wrong = [_sentence(one) for one in problems(facts)]
    verdict = [_sentence(facts.night.verdict)] if facts.night.verdict else []
    if facts.state in (FAILED, INTERRUPTED):
        return (*verdict, *wrong, *_no_new_champion(facts.night), _kept(facts))
    return (*verdict, *(wrong or (["Nothing went wrong."] if facts.state in (PROMOTED, STAYS) else [])))


def problems(facts: NightFacts) -> list[str]:
    """What a person should look at, the gravest first."""
    night = facts.night
    said = [f"{night.part} stopped: {night.reason.removeprefix(f'{night.part}: ')}"] if night.reason else []
    if not night.reason and facts.state == INTERRUPTED:
        said.append(f"it was interrupted in {night.part or 'its beginning'}")
    if night.data.get("finding") in ("drifted", "failed"):
        what, found = "have drifted" if night.data["finding"] == "drifted" else "failed their check", _found(night.data)
        said += [f"the data {what}: {found}"] if not found or found not in night.reason else []
    said += [f"the overfitting gap: {rule.get('sentence', '')}" for rule in facts.rules if _failed(rule, "gap")]
    said += [f"the gate found damage: {rule.get('sentence', '')}" for rule in facts.rules if _failed(rule, *_DAMAGE)]
    trials = [row.outcome for row in facts.rows if row.id.repeat == 0 and row.outcome]
    lost = sum(outcome.state is TrialState.FAILED for outcome in trials)
    if lost and 2 * lost >= len(trials):
        said.append(f"{lost} of {len(trials)} trials failed")
    elif trials and night.finished and not any(outcome.state is TrialState.COMPLETED for outcome in trials):
        said.append("no trial ran to its end before the budget did, and the winner is a guess: raise search.budget")
    said += [part for part in night.saved.split("; ") if part.startswith("not ")]
    return [*said, *facts.unreadable]


def tried(facts: NightFacts) -> tuple[str, ...]:
    """How many trials there were, how they ended, what their curves say."""
    trials = [row.outcome for row in facts.rows if row.id.repeat == 0 and row.outcome]
    if not trials:
        return ("Nothing: the night did not come to its search.",)
    states = Counter(outcome.state.value for outcome in trials)
    fresh = sum(row.id.repeat > 0 for row in facts.rows)
    again = f", and {fresh} runs of the best with fresh seeds" if fresh else ""
    engine = f" by {facts.study.engine}" if facts.study else ""
    counts = listed([f"{n} {state}" for state, n in states.most_common()])
    said = [f"{len(trials)} trial{'s' * (len(trials) != 1)}{engine}: {counts}{again}."]
    if facts.study:
        verdicts = Counter(trial.reading.words for trial in facts.study.trained)
        said.append(f"Learning curves: {listed([f'{n} {word}' for word, n in verdicts.most_common()])}.")
    said += [_sentence(facts.ended_early)] if facts.ended_early else []
    if n := facts.n_remembered:
        memory = facts.night.settings.get("search.memory")
        said.append(f"It began with what {n} earlier search{'es know' if n > 1 else ' knows'}: search.memory {memory}.")
    return tuple(said)


def learnt(facts: NightFacts) -> tuple[str, ...]:
    """What decided, what each choice did, what the rounds changed and what remedies did."""
    if facts.study is None:
        return ()
    effects = effects_section(facts.study)
    return (
        *why_it_won(facts.study),
        *(importance_section(facts.study).text if facts.study.importances else ()),
        *(effects.points if effects else ()),
        *_rounds(facts.study),
        *(_effect(effect) for effect in facts.effects),
    )


def next_night(facts: NightFacts) -> tuple[str, ...]:
    """What the next night will do differently from this one."""
    night = facts.night
    if facts.resumable and facts.state not in (PROMOTED, STAYS):
        return (_goes_on(facts),)
    seed = night.settings.get("search.seed")
    said = [f"It searches anew, with search.seed {seed + 1} in the place of {seed}."] if isinstance(seed, int) else []
    if facts.focus:
        ranges = "; ".join(f"{label(path)} {_range(one)}" for path, one in facts.focus.items())
        said.append(f"Its first proposals come from where this search ended: {ranges}.")
    elif facts.study:
        said.append("It begins with the whole space: no verdict has moved its ranges.")
    if facts.known_effects:
        pairs = f"{facts.known_effects} pair{'s' * (facts.known_effects != 1)} of trials on these images"
        said.append(f"Which remedies it tries first goes by {pairs}, beside what is known in general.")
    if (memory := night.settings.get("search.memory")) not in (None, "none"):
        said.append(f"It starts from what this one and those before it learnt: search.memory {memory}.")
    if look := night.decision.get("look"):
        left = night.decision.get("left")
        share = f"; {100 * left:.0f} % of promote.alpha is left" if isinstance(left, float) else ""
        said.append(f"Its candidate is look {look + 1} at these test images{share}.")
    return tuple(said)


def data_sentences(data: Mapping[str, Any]) -> tuple[str, ...]:
    """What the data check found, as it was written down."""
    said = [
        f"Against {one.get('whose', 'earlier data')}: {sentence}."
        for one in data.get("against", ())
        for sentence in one.get("said", ())
    ]
    return (*said, *(f"{_capital(note)}." for note in data.get("notes", ())))


def essentials(facts: NightFacts, page: str) -> str:
    """The page's first screen as Markdown, in which names from outside are text."""
    lines = [f"## {plain(facts.night.name)}: {plain(headline(facts))}", ""]
    lines += [f"- {plain(sentence)}" for sentence in (*findings(facts), *tried(facts))]
    lines += ["", f"Whole page: `{page.replace('`', '')}`; `cnn status --open` shows it."]
    return "\n".join(lines)


def accuracy_of_champion(facts: NightFacts) -> float | None:
    """The champion's score on the same images, where both were compared by it."""
    if facts.score is None or facts.against is None:
        return None
    return facts.score[0] - float(facts.against["difference"])


def minutes(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours and minutes.

    Example:
        >>> minutes(59.6), minutes(754), minutes(3725)
        ('1:00 min', '12:34 min', '1:02 h')
    """
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def became(night: Night) -> str:
    """What became of an earlier night, for a table."""
    if night.decision:
        return "new champion" if night.decision.get("promoted") else "not promoted"
    return (night.verdict or night.reason or "not finished").partition("; ")[0]


def plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>#|!~])", r"\\\1", " ".join(text.split()))


def _failed(rule: Mapping[str, Any], *names: str) -> bool:
    return rule.get("rule") in names and rule.get("passed") is False


def _no_new_champion(night: Night) -> list[str]:
    """What a bad night means for the champion; nothing where its verdict says it."""
    if night.decision:
        return []
    if night.part == "register and promote":
        return ["Whether there is a new champion is not known here: cnn history says it."]
    return ["There is no new champion: whoever was champion still is."]


def _kept(facts: NightFacts) -> str:
    """What is not lost."""
    done = [part for part in facts.night.seconds if part != facts.night.part]
    n = sum(row.outcome is not None and row.id.repeat == 0 for row in facts.rows)
    kept = [f"{n} finished trial{'s' * (n != 1)}"] if n else []
    kept += [f"what {listed(done)} gave"] if done else []
    on = "the next start goes on with it" if facts.resumable else "the next night begins anew"
    return f"Kept: {listed(kept) or 'nothing that was not there before'}; {on}."


def _goes_on(facts: NightFacts) -> str:
    done = [part for part in facts.night.seconds if part != facts.night.part]
    rest = f"; {listed(done)} {'are' if len(done) > 1 else 'is'} not done again" if done else ""
    return f"It goes on with this night where it stopped, in {facts.night.part or 'its beginning'}{rest}."


def _found(data: Mapping[str, Any]) -> str:
    """The gravest thing that a data check has found."""
    against = (one for one in data.get("against", ()) if one.get("finding", data["finding"]) == data["finding"])
    return next((said for one in against for said in one.get("said", ())), "")


def _rounds(study: StudyFacts) -> list[str]:
    return [
        f"Round {number}, from trial {one.first_trial} on: {_capital('; '.join(one.changes))}."
        for number, one in enumerate(study.rounds, 1)
        if one.changes
    ]


def _effect(effect: Any) -> str:
    remedy, verdict = effect.remedy.replace("_", " "), effect.verdict.replace("_", " ")
    did = f"score {effect.score:+.4f}, gap {effect.gap:+.4f}"
    return f"{_capital(remedy)} against {verdict}, in trial {effect.trial}: {did}."


def _range(dimension: Dimension) -> str:
    if isinstance(dimension, Choice):
        return " or ".join(map(shown, dimension.values))
    return f"{shown(dimension.low)} to {shown(dimension.high)}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    return f"{_capital(text.rstrip('.'))}."

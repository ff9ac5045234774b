"""Sections of a study's report in words and tables: the best, the worst, verdicts, rounds, how it was searched."""

from collections import Counter

from cnn.config.space import Choice, Dimension, Int
from cnn.records import TrialState
from cnn.reports.charts import as_html, counts_chart
from cnn.reports.page import Section, Table, listed
from cnn.reports.study_facts import StudyFacts
from cnn.reports.study_words import settings, shown, what_is_wrong
from cnn.search.results import rule

_N_BEST = 10
_N_FAILED, _N_LOWEST, _N_COMPLETED = 2, 3, 2


def best_section(facts: StudyFacts) -> Section:
    """The best trials, finalists first."""
    fresh = {one.row.id.number: one for one in facts.standings if one.fresh_scores}
    rows = tuple(
        (
            f"{trial.number}{' (winner)' if trial.number == facts.winner.number else ''}",
            _figure(trial.score),
            *((trial.reason,) if facts.out_of_race else ()),
            f"{fresh[trial.number].mean:.4f}" if trial.number in fresh else "",
            _figure(trial.gap, "+.4f"),
            trial.reading.words,
            settings(trial.values, tuple(facts.importances)),
        )
        for trial in (*facts.contenders, *facts.out_of_race)[:_N_BEST]
    )
    how = ("ended by",) if facts.out_of_race else ()
    header = ("trial", "score", *how, "fresh seeds", "gap", "verdict", "hyperparameters, the most important first")
    return Section(
        title=f"The best {len(rows)} of {len(facts.trained)} trials",
        tables=(Table(header=header, rows=rows, numbers=False),),
        notes=(
            f"Score: best validation {facts.head.task.score_words} over the epochs. Fresh seeds: mean over "
            f"runs with new seeds, of finalists only; it decides{_with_gap(facts)}. Gap: clean training minus "
            f"validation accuracy at the best epoch.{_who_can_win(facts)}",
        ),
    )


def _who_can_win(facts: StudyFacts) -> str:
    last = " Only trials that ran to their end can win; all others stand last, whatever their score."
    return last if facts.out_of_race else ""


def _with_gap(facts: StudyFacts) -> str:
    return ", together with the gaps of these runs" if facts.params.objective.weighs_gap else ""


def worst_section(facts: StudyFacts) -> Section:
    """What is wrong with the worst: of those that failed, of all with a score, and of those that ran to their end."""
    failed = [trial for trial in facts.trials if trial.state is TrialState.FAILED]
    behind = [trial for trial in facts.scored if (trial.score or 0.0) < (facts.winner.score or 0.0)]
    low = sorted(behind, key=lambda one: (one.score or 0.0, one.number))
    completed = [trial for trial in low if trial.state is TrialState.COMPLETED]
    worst = dict.fromkeys([*failed[:_N_FAILED], *low[:_N_LOWEST], *completed[:_N_COMPLETED]])
    worst.pop(facts.winner, None)
    text = f"{len(failed)} of {len(facts.trained)} trials failed." if failed else "No trial failed."
    points = tuple(what_is_wrong(trial, facts) for trial in worst)
    note = "The worst of all, then the worst of those that ran to their end." if low else ""
    note = note or f"No other trial scored below trial {facts.winner.number}, the winner."
    return Section(title="What is wrong with the worst", text=(f"{text} {note}",), points=points)


def verdicts_section(facts: StudyFacts) -> Section:
    """How many curves had which verdict."""
    counts = Counter(trial.reading.words for trial in facts.trained)
    most, n = counts.most_common(1)[0]
    text = f"Of {len(facts.trained)} learning curves, {n} are {most}."
    chart = as_html(counts_chart(dict(counts.most_common())), "verdicts")
    return Section(title="What the learning curves say", text=(text,), charts=(chart,))


def rounds_section(facts: StudyFacts) -> Section | None:
    """What each round changed in the space; nothing for a search without rounds."""
    if not facts.rounds:
        return None
    ends = [*(one.first_trial for one in facts.rounds[1:]), max(trial.number for trial in facts.trials) + 1]
    rows = []
    for number, (part, end) in enumerate(zip(facts.rounds, ends, strict=True), 1):
        inside = [trial for trial in facts.scored if part.first_trial <= trial.number < end]
        best = max((trial.score or 0.0 for trial in inside), default=None)
        changes = "\n".join(part.changes) or "nothing"
        rows.append((str(number), f"{part.first_trial} to {end - 1}", _figure(best), changes))
    header = ("round", "trials", "best score", "what it changed, and why")
    table = Table(header=header, rows=tuple(rows), numbers=False)
    return Section(title="Rounds, and what they changed", tables=(table,))


def settings_section(facts: StudyFacts) -> Section:
    """The space and the budget."""
    space = tuple((path, _range(dimension)) for path, dimension in facts.params.space.items())
    budget = facts.params.budget
    bounds = {"trials": budget.trials, "minutes": budget.minutes, "minutes of processor time": budget.cpu_minutes}
    bound = listed([f"{value:g} {name}" for name, value in bounds.items() if value is not None])
    text = f"At most {bound}, and {budget.epochs} epochs a trial; {facts.engine}, seed {facts.params.seed}."
    objective = f"Objective {facts.params.objective.of}: the winner is chosen by {rule(facts.params.objective)}."
    table = Table(header=("hyperparameter", "values"), rows=space, numbers=False)
    return Section(title="How it was searched", text=(text, objective), tables=(table,))


def _range(dimension: Dimension) -> str:
    if isinstance(dimension, Choice):
        said = ", ".join(map(shown, dimension.values))
    else:
        said = f"{shown(dimension.low)} to {shown(dimension.high)}"
        said += f" in steps of {dimension.step}" if isinstance(dimension, Int) and dimension.step > 1 else ""
        said += ", on a logarithmic scale" if dimension.log else ""
    parents = " and ".join(f"{path} is {' or '.join(map(shown, values))}" for path, values in dimension.when.items())
    return f"{said}, where {parents}" if parents else said


def _figure(value: float | None, form: str = ".4f") -> str:
    return "" if value is None else format(value, form)

"""Sections of a study's report that are charts, each with what it shows in a sentence."""

import statistics
from collections.abc import Sequence

from cnn.records import TrialState
from cnn.reports.charts import (
    Point,
    as_html,
    front_chart,
    groups_chart,
    importance_chart,
    limit_chart,
    restyled,
    scores_chart,
)
from cnn.reports.page import Section, listed
from cnn.reports.study_facts import StudyFacts, Trial, label
from cnn.reports.study_words import Group, groups, settings
from cnn.search import limits
from cnn.search.engines.optuna_study import MIN_TRIALS
from cnn.search.results import rule

_SCORE = "best validation score"
_N_OVER = 8
_THEIRS = {False: "its", True: "their"}
_STOPPED = "Trials that were stopped early count with the best score they had by then."


def compute_section(facts: StudyFacts) -> Section:
    """The best so far, over trials and over compute."""
    by_number = [_point(trial, float(trial.number)) for trial in facts.scored]
    spent, by_compute = 0.0, []
    for trial in facts.trials:
        spent += trial.cpu_s
        if trial.score is not None:
            by_compute.append(_point(trial, spent / 60))
    best = max(facts.scored, key=lambda trial: (trial.score or 0.0, -trial.number))
    until = sum(trial.cpu_s for trial in facts.trials if trial.number <= best.number)
    total = sum(trial.cpu_s for trial in facts.trials)
    text = (
        f"The best score, {best.score:.4f}, came with trial {best.number}, after {until / 60:.1f} of {total / 60:.1f} "
        "minutes of processor time."
    )
    if best in facts.out_of_race:
        first = facts.contenders[0]
        text += (
            f" It could not win, for it did not run to its end ({best.reason}); the best that did is trial "
            f"{first.number}, {first.score:.4f}."
        )
    return Section(
        title="How the search went",
        text=(text,),
        charts=(
            as_html(scores_chart(by_number, across="trial", up=_SCORE), "score-by-trial"),
            as_html(scores_chart(by_compute, across="minutes of processor time", up=_SCORE), "score-by-compute"),
        ),
        notes=("Compute is added up in the order of the trials' numbers; several may have run at once.",),
    )


def importance_section(facts: StudyFacts) -> Section:
    """Which hyperparameters decide."""
    title = "What mattered"
    if not facts.importances:
        return Section(title=title, text=(f"Fewer than {MIN_TRIALS} trials with a score: too few to tell.",))
    (first, most), *_ = facts.importances.items()
    little = [label(path) for path, importance in facts.importances.items() if importance < 0.05]
    text = f"Most of what sets the best trials apart is {label(first)} ({most:.2f} of 1)."
    if little:
        text += f" Within the ranges searched, {listed(little)} hardly mattered."
    named = {label(path): importance for path, importance in facts.importances.items()}
    conditional = [label(path) for path in facts.params.space if any(path not in one.values for one in facts.scored)]
    left_out = f" Not every trial has {listed(conditional)}, which are not ranked." if conditional else ""
    return Section(
        title=title,
        text=(text,),
        charts=(as_html(importance_chart(named), "importances"),),
        notes=(
            f"PED-ANOVA: how much the best tenth of the trials differs from all in this hyperparameter. {_STOPPED}"
            f"{left_out} Watanabe, Bansal and Hutter, “PED-ANOVA”, IJCAI 2023.",
        ),
    )


def effects_section(facts: StudyFacts) -> Section | None:
    """What BatchNorm's place, dropout and every choice did."""
    paths = [path for path, dimension in facts.params.space.items() if dimension.type == "choice"]
    paths += [path for path in facts.params.space if "dropout" in path and path not in paths]
    made = {path: groups(facts, path) for path in paths}
    made = {path: found for path, found in made.items() if len(found) > 1}
    if not made:
        return None
    told = {
        path: [group for group in found if len(group.trials) > 1] for path, found in made.items()
    }  # one may be luck
    charts = tuple(
        as_html(
            groups_chart({f"{g.name} ({len(g.trials)})": g.scores for g in found}, across=label(path), up=_SCORE),
            f"effect-{index}",
        )
        for index, (path, found) in enumerate(made.items())
    )
    return Section(
        title="What each choice did",
        points=tuple(_best_and_worst(path, found) for path, found in told.items() if len(found) > 1),
        charts=charts,
        notes=(
            f"Number of trials in brackets. A search looks where it is good: groups are not fair samples. {_STOPPED}",
        ),
    )


def _best_and_worst(path: str, found: Sequence[Group]) -> str:
    best, *_, worst = sorted(found, key=lambda group: statistics.median(group.scores), reverse=True)
    of_best, of_worst = statistics.median(best.scores), statistics.median(worst.scores)
    return (
        f"{label(path)}: {best.name} has the best median, {of_best:.4f} over {len(best.trials)} trials; "
        f"{worst.name} the worst, {of_worst:.4f} over {len(worst.trials)}."
    )


def front_section(facts: StudyFacts) -> Section:
    """Accuracy against the gap, with the trials that no other beats in both."""
    shown = [trial for trial in facts.scored if trial.gap is not None]
    front = facts.front
    points = [_point(trial, trial.gap or 0.0) for trial in shown]
    line = [(trial.gap or 0.0, trial.score or 0.0) for trial in front]  # where they are, for a negative gap is shown
    of_all = "trial that ran to its end" if facts.params.objective.weighs_gap else "trial"
    text = [
        f"No {of_all} is both better and less overfitted than these {len(front)}: trials "
        f"{listed([str(trial.number) for trial in front])}. A negative gap, which is chance, counts as 0."
    ]
    if outside := [str(trial.number) for trial in front if trial in facts.out_of_race]:
        several = len(outside) > 1
        who = f"trial{'s' * several} {listed(outside)}"
        text.append(f"Of these, {who} did not run to {_THEIRS[several]} end and could not win.")
    if facts.params.objective.weighs_gap:
        text.append(f"They are what this search was after. Of them, trial {facts.winner.number} won {_choice(facts)}.")
    chart = front_chart(points, line, across="overfitting gap at the best epoch (accuracy)", up=_SCORE)
    return Section(title="Accuracy against overfitting", text=tuple(text), charts=(as_html(chart, "front"),))


def _choice(facts: StudyFacts) -> str:
    return f"by {rule(facts.params.objective)}"


def limits_section(facts: StudyFacts) -> Section | None:
    """Score against each limited measure with its limit, and what was over it."""
    given = facts.params.objective.limits
    if not given:
        return None
    charts = []
    for measure, most in given.items():
        points = [_point(trial, figure) for trial, figure in facts.measured(measure) if trial.score is not None]
        beyond = [figure for trial, figure in facts.measured(measure) if trial.state is TrialState.INFEASIBLE]
        across = limits.measure_words(measure)
        charts.append(as_html(limit_chart(points, beyond, most, across=across, up=_SCORE), f"limit-{measure}"))
    winner = [f"{limits.shown(figure)} {limits.measure_words(measure)}" for measure, figure in _winners(facts).items()]
    bounds = [f"{limits.shown(most)} {limits.measure_words(measure)}" for measure, most in given.items()]
    text = f"At most {' and '.join(bounds)} were allowed; the winner has {' and '.join(winner)}."
    return Section(
        title="Within the limits",
        text=(text, _over(facts)),
        points=tuple(f"Trial {trial.number}: {trial.reason}." for trial in facts.infeasible[:_N_OVER]),
        charts=tuple(charts),
        notes=("The dashed line is the limit; what is over it was not trained and has no score: a mark at the foot.",),
    )


def _winners(facts: StudyFacts) -> dict[str, float]:
    figures = limits.figures(facts.winner.size)
    return {measure: figures[measure] for measure in facts.params.objective.limits if measure in figures}


def _over(facts: StudyFacts) -> str:
    n = len(facts.infeasible)
    if not n:
        return "No trial was over them."
    first = f" The first {_N_OVER}:" if n > _N_OVER else ""
    said = f"{n} of {len(facts.trials)} proposals were over a limit and not trained"
    return f"{said}; they took no trial from the budget.{first}"


def parallel_section(facts: StudyFacts) -> Section | None:
    """A line a trial through all its hyperparameters."""
    if len(facts.scored) < 2 or not facts.study.common:
        return None
    chart = as_html(restyled(facts.study.parallel_coordinates(), height=460), "parallel")
    how = "A line a trial, through each of its hyperparameters; the darker, the better."
    return Section(title="All trials at a glance", text=(how,), charts=(chart,), notes=(_STOPPED,))


def slices_section(facts: StudyFacts) -> Section | None:
    """The score over each numeric hyperparameter."""
    slices = facts.study.slices() if len(facts.scored) > 1 else None
    if slices is None:
        return None
    chart = as_html(restyled(slices, height=380), "slices")
    how = "A point a trial; the darker, the later it ran."
    return Section(title="Each number by itself", text=(how,), charts=(chart,), notes=(_STOPPED,))


def _point(trial: Trial, place: float) -> Point:
    gap = "" if trial.gap is None else f", gap {trial.gap:+.4f}"
    text = f"trial {trial.number}: {trial.score:.4f}{gap}<br>{settings(trial.values).replace(', ', '<br>')}"
    return place, trial.score or 0.0, trial.state.value, text

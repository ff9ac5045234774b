"""A study's report: what won and why, what mattered, and what is wrong with the worst."""

import logging
from pathlib import Path

from cnn.records import TrialState
from cnn.reports.charts import script
from cnn.reports.page import Report, listed, write_report_page
from cnn.reports.study_charts import (
    compute_section,
    effects_section,
    front_section,
    importance_section,
    limits_section,
    parallel_section,
    slices_section,
)
from cnn.reports.study_facts import StudyFacts
from cnn.reports.study_tables import best_section, rounds_section, settings_section, verdicts_section, worst_section
from cnn.reports.study_words import why_it_won

log = logging.getLogger(__name__)

_SECTIONS = (
    best_section,
    worst_section,
    importance_section,
    effects_section,
    rounds_section,
    compute_section,
    front_section,
    limits_section,
    verdicts_section,
    parallel_section,
    slices_section,
    settings_section,
)


def write_study_report(path: Path, facts: StudyFacts) -> Path:
    """Write the report of a search that has a winner: one HTML file of about 5 MB, most of it plotly.js.

    Whatever goes wrong with it is logged and stands in the file: a report is never a reason to lose a search.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        report = study_report(facts)
    except Exception as error:
        log.exception("no report of study %s", facts.name)
        report = _apology(facts, error)
    return write_report_page(path, report)


def study_report(facts: StudyFacts) -> Report:
    """What a search found, as a report."""
    made = (section(facts) for section in _SECTIONS)
    winner = facts.winner
    return Report(
        title=f"Search on {facts.source}: trial {winner.number} won",
        subtitle=f"{facts.engine}, {len(facts.trained)} trials on {facts.n_train:,} training and {facts.n_val:,} "
        f"validation images; study {facts.name}",
        figures=_figures(facts),
        verdict=f"Why trial {winner.number}",
        tone=winner.reading.tone,
        findings=why_it_won(facts),
        remedies=winner.reading.remedies,
        sections=tuple(section for section in made if section is not None),
        script=script(),
    )


def _apology(facts: StudyFacts, error: Exception) -> Report:
    return Report(
        title=f"Search on {facts.source}",
        subtitle=f"study {facts.name}",
        figures=(),
        verdict="The report could not be made",
        tone="bad",
        findings=(
            f"{type(error).__name__}: {error}",
            "The winner stands in winner.yaml, the trials in leaderboard.csv.",
        ),
        remedies=(),
        sections=(),
    )


def _figures(facts: StudyFacts) -> tuple[tuple[str, str, str], ...]:
    winner, standing = facts.winner, facts.standings[0]
    counts = [
        f"{sum(one.state is state for one in facts.trials)} {state.value}"
        for state in TrialState
        if state is not TrialState.RUNNING and (state is not TrialState.INFEASIBLE or facts.infeasible)
    ]
    n_seeds, alone = len(standing.fresh_scores), "its own: not trained again to its end"
    fresh = f"mean of {n_seeds} fresh seed{'s' * (n_seeds != 1)}" if n_seeds else alone
    return (
        ("Winner's validation score", f"{standing.mean:.4f}", fresh),
        _gap(facts),
        ("Its verdict", winner.reading.words, "of its learning curve"),
        ("Trials", str(len(facts.trials)), listed(counts)),
        ("Processor time", _minutes(sum(row.cost.cpu_s for row in facts.rows)), "of all trials and finalists' runs"),
    )


def _gap(facts: StudyFacts) -> tuple[str, str, str]:
    standing = facts.standings[0]
    if facts.params.objective.weighs_gap:
        n = len(standing.fresh_gaps)
        of = f"mean of {n} fresh seed{'s' * (n != 1)}; a negative one counts as 0" if n else "its own"
        return "Its overfitting gap", f"{standing.mean_gap:.4f}", of
    return "Its overfitting gap", f"{facts.winner.gap or 0.0:+.4f}", "clean training minus validation accuracy"


def _minutes(seconds: float) -> str:
    if seconds < 600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"

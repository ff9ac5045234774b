"""A night's morning page: is there a new champion, is anything wrong, what was learnt, what comes next."""

import logging
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from cnn.evaluation.plots import nights as plot
from cnn.nights import Night
from cnn.records import TrialState
from cnn.reports.night_facts import FAILED, UNDER_WAY, NightFacts, score_of
from cnn.reports.night_words import (
    HEADLINES,
    accuracy_of_champion,
    became,
    data_sentences,
    findings,
    headline,
    learnt,
    minutes,
    next_night,
    tone,
    tried,
)
from cnn.reports.page import Picture, Report, Section, Table, write_report_page
from cnn.reports.study_tables import best_section

log = logging.getLogger(__name__)

_MOST_NIGHTS = 14


def write_night_page(path: Path, facts: NightFacts) -> Path:
    """Write the page: one HTML file that needs nothing else.

    Whatever goes wrong with it is logged and stands in the file: the page of a bad night matters most.

    Raises:
        StorageError: The file cannot be written.
    """
    try:
        report = night_report(facts)
    except Exception as error:
        log.exception("no whole page of %s", facts.night.name)
        report = _apology(facts, error)
    return write_report_page(path, report)


def night_report(facts: NightFacts) -> Report:
    """A night as a report."""
    made = (section(facts) for section in _SECTIONS)
    return Report(
        title=f"{headline(facts)}: {facts.night.name}",
        subtitle=_subtitle(facts),
        figures=_figures(facts),
        verdict=headline(facts),
        tone=tone(facts),
        findings=findings(facts),
        remedies=(),
        sections=tuple(section for section in made if section is not None),
    )


def _apology(facts: NightFacts, error: Exception) -> Report:
    night = facts.night
    said = [night.verdict, f"{night.part} stopped: {night.reason}" if night.reason else ""]
    return Report(
        title=f"{headline(facts)}: {night.name}",
        subtitle=night.checkout,
        figures=(),
        verdict=headline(facts),
        tone=HEADLINES[facts.state][1],
        findings=(*filter(None, said), f"The rest of this page could not be made: {type(error).__name__}: {error}"),
        remedies=(),
        sections=(),
    )


def _subtitle(facts: NightFacts) -> str:
    night = facts.night
    began = f"began {datetime.fromisoformat(night.began):%A, %d %B %Y, %H:%M}"
    return "; ".join(filter(None, (began, night.version, night.checkout)))


def _figures(facts: NightFacts) -> tuple[tuple[str, str, str], ...]:
    figures = []
    if facts.score:
        value, low, high = facts.score
        interval = f"{low:.4f} to {high:.4f} at {facts.confidence:.0%}"
        figures.append((f"Test {facts.task.score_words}", f"{value:.4f}", interval))
    if facts.against:
        points, low, high = (100 * float(facts.against[name]) for name in ("difference", "low", "high"))
        remark = f"{low:+.2f} to {high:+.2f}; p = {facts.against['p_value']:.2g}"
        figures.append(("Against the champion, points", f"{points:+.2f}", remark))
    if "gap_at_best" in facts.night.figures:
        gap = facts.night.figures["gap_at_best"]
        figures.append(("Overfitting gap", f"{gap:+.4f}", "clean training minus validation accuracy"))
    outcomes = [row.outcome for row in facts.rows if row.id.repeat == 0 and row.outcome]
    if outcomes:
        completed = sum(outcome.state is TrialState.COMPLETED for outcome in outcomes)
        figures.append(("Trials", str(len(outcomes)), f"{completed} ran to their end"))
    if facts.night.seconds:
        spent = f"{sum(facts.night.cpu_s.values()) / 60:,.1f} CPU-minutes" if facts.night.cpu_s else ""
        figures.append(("It took", minutes(sum(facts.night.seconds.values())), spent))
    if finding := facts.night.data.get("finding"):
        compared = facts.night.data.get("against")
        remark = "since the champion and the last night" if compared else "nothing earlier to compare with"
        figures.append(("Data", str(finding), remark))
    return tuple(figures)


def _champion_section(facts: NightFacts) -> Section | None:
    """The candidate against the champion, and what each rule of the gate said."""
    decision = facts.night.decision
    if not decision:
        return None
    text = []
    if facts.against and (champion := accuracy_of_champion(facts)) is not None and facts.score:
        wins, losses, n = (facts.against.get(name) for name in ("wins", "losses", "n"))
        text.append(
            f"On the same {n:,.0f} test images the candidate has {facts.score[0]:.4f}, "
            f"{'its predecessor' if decision.get('promoted') else 'the champion'} (version {decision['champion']}) "
            f"{champion:.4f}. Only the candidate is right on {wins:,.0f} of them, only the other on {losses:,.0f}."
        )
    elif decision.get("champion") is None:
        text.append("There was no champion to compare with.")
    else:
        text.append("The two were not compared on the test images: a rule that needs no look at them decided.")
    rows = tuple(
        (
            str(rule.get("rule", "")),
            "passed" if rule["passed"] else "failed",
            _figure(rule.get("figure")),
            _figure(rule.get("limit")),
            str(rule.get("sentence", "")),
        )
        for rule in facts.rules
    )
    tables = (Table(header=("rule", "result", "figure", "limit", "what was found"), rows=rows, numbers=False),)
    title = "Best against champion" if decision.get("champion") is not None else "The rules"
    return Section(title=title, text=tuple(text), tables=tables if rows else ())


def _tried_section(facts: NightFacts) -> Section:
    tables = []
    if facts.study is not None:
        (table,) = best_section(facts.study).tables
        rows = table.rows[:5]
        caption = f"The best {len(rows)}; the rest in the study's own report."
        tables.append(Table(header=table.header, rows=rows, numbers=False, caption=caption))
    if facts.before and facts.changed_settings:
        caption = f"Settings that {facts.before.name} had otherwise"
        header = ("setting", "then", "now")
        tables.append(Table(header=header, rows=facts.changed_settings, numbers=False, caption=caption))
    return Section(title="What was tried", text=tried(facts), tables=tuple(tables))


def _learnt_section(facts: NightFacts) -> Section | None:
    said = learnt(facts)
    return Section(title="What was learnt", points=said) if said else None


def _data_section(facts: NightFacts) -> Section | None:
    said = data_sentences(facts.night.data)
    return Section(title="The data", points=said) if said else None


def _next_section(facts: NightFacts) -> Section | None:
    said = next_night(facts)
    return Section(title="What the next night does differently", points=said) if said else None


def _time_section(facts: NightFacts) -> Section | None:
    night = facts.night
    if not night.seconds:
        return None
    parts = {**night.seconds, "together": sum(night.seconds.values())}
    spent = {**night.cpu_s, "together": sum(night.cpu_s.values())}
    rows = tuple((part, minutes(seconds), f"{spent.get(part, 0.0) / 60:,.1f}") for part, seconds in parts.items())
    note = "Parts done by an earlier start of the night are counted. Processes that were killed are not."
    table = Table(header=("part", "time", "CPU-minutes"), rows=rows)
    return Section(title="Where the time went", tables=(table,), notes=(note,))


def _history_section(facts: NightFacts) -> Section | None:
    nights = [*facts.earlier, facts.night][-_MOST_NIGHTS:]
    if len(nights) < 2:
        return None
    with TemporaryDirectory() as folder:
        path = Path(folder) / "nights.png"
        over = nights[:-1] if facts.state == UNDER_WAY else nights  # what is not over has not failed
        plot.nights_picture([_point(night, facts) for night in over], path, up=f"test {facts.task.score_words}")
        alt = f"Test {facts.task.score_words} of the last {len(nights)} nights"
        picture = Picture(png=path.read_bytes(), alt=alt, broad=True)
    rows = tuple(_row(night, facts) for night in reversed(nights))
    table = Table(header=("night", facts.task.score_words, "what became of it"), rows=rows, numbers=False)
    return Section(title=f"The last {len(nights)} nights", pictures=(picture,), tables=(table,))


def _point(night: Night, facts: NightFacts) -> plot.NightPoint:
    score = score_of(night, facts.task)
    word = plot.FAILED
    if night.decision:
        word = plot.PROMOTED if night.decision.get("promoted") else plot.REFUSED
    value, low, high = score or (None, None, None)
    return plot.NightPoint(name=night.name, became=word, score=value, low=low, high=high)


def _row(night: Night, facts: NightFacts) -> tuple[str, str, str]:
    score = score_of(night, facts.task)
    return night.name, f"{score[0]:.4f}" if score else "", became(night)


def _places_section(facts: NightFacts) -> Section | None:
    points = [f"{what}: {where}" for what, where in facts.places.items()]
    again = f"cnn reproduce {facts.night.name}" if facts.state != FAILED and facts.night.saved else ""
    points += [facts.night.saved, f"made again by: {again}"] if again else []
    return Section(title="Where to look", points=tuple(points)) if points else None


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else ""


_SECTIONS = (
    _champion_section,
    _history_section,
    _tried_section,
    _learnt_section,
    _data_section,
    _next_section,
    _time_section,
    _places_section,
)

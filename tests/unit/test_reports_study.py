"""The report of a search: what it says is what the ledger holds; it loads nothing and takes any name as text."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from studied import HOSTILE, PARAMS, facts_of, ledger, row, titled

from cnn.config.objective import ObjectiveParams
from cnn.durable import sha256_of
from cnn.records import Outcome, Size, TrialState
from cnn.reports import study_charts
from cnn.reports.study import study_report, write_study_report
from cnn.reports.study_charts import effects_section
from cnn.reports.study_facts import Round, label, pareto_front
from cnn.reports.study_words import groups, noise
from cnn.search import limits


@pytest.fixture(scope="module")
def facts():
    return facts_of(ledger())


BOTH = PARAMS.model_copy(update={"objective": ObjectiveParams(of="accuracy_and_gap", score_slack=0.05)})
UNDER = PARAMS.model_copy(update={"objective": ObjectiveParams(of="accuracy_under", parameters=24_000, latency_ms=5)})


def within_limits():
    """The same search where filters cost parameters: networks of 32 were not trained."""
    rows = []
    for one in ledger():
        size = Size(parameters=1000 * one.proposal.values["model.filters"], multiply_adds=1, latency_ms=2.5)
        outcome = replace(one.outcome, size=size)
        if reason := limits.reason(size, UNDER.objective.limits):
            size = replace(size, latency_ms=None)
            outcome = Outcome(number=one.id.number, state=TrialState.INFEASIBLE, reason=reason, size=size)
        if one.id.repeat == 0 or outcome.state is not TrialState.INFEASIBLE:
            rows.append(replace(one, outcome=outcome, size=size))
    return rows


@pytest.fixture(scope="module")
def page(facts, tmp_path_factory):
    path = write_study_report(tmp_path_factory.mktemp("study") / "study.html", facts)
    return path, path.read_text(encoding="utf-8")


def test_the_winner_is_the_one_the_finals_chose_and_the_report_says_why(facts):
    first, second = facts.standings
    report = study_report(facts)
    # Not the best of the search: its fresh seed was worse.
    assert facts.winner.number == first.row.id.number and first.score < second.score
    assert f"trial {facts.winner.number} won" in report.title
    why = " ".join(report.findings)
    # Its place in the search, both means, and how much of the lead is luck.
    assert (
        f"rank 2 of the {len(facts.contenders)} that ran to their end" in why
        and f"{first.mean:.4f}" in why
        and f"{second.mean:.4f}" in why
    )
    assert f"±{noise(first.mean, 5000):.4f}" in why
    # What it has that others lack is the one thing that matters here.
    assert "learning_rate" in why and "It has filters" not in why


def test_a_winner_whose_fresh_run_was_cut_off_is_said_to_be_unconfirmed():
    *rows, of_best, of_second = ledger()
    cut = row(*of_best.id, of_best.proposal.values, 0.3, state=TrialState.PRUNED, reason="the budget ended at epoch 2")
    facts = facts_of([*rows, cut, of_second])
    first, second = facts.standings
    assert second.fresh_scores and not first.fresh_scores
    why = " ".join(study_report(facts).findings)
    # The winner was not confirmed, though another finalist was; like is compared with like.
    assert "not trained again to its end before the budget was spent" in why
    assert f"is {first.score - second.score:+.4f}" in why


def test_what_matters_is_found(facts):
    # The score was made from the learning rate alone: no other comes near.
    path, importance = next(iter(facts.importances.items()))
    assert path == "optimizer.learning_rate" and importance > 0.5
    assert sum(facts.importances.values()) == pytest.approx(1)
    # From a handful of trials nothing is claimed.
    assert facts_of(ledger()[:8]).importances == {}


def test_the_worst_are_named_with_what_is_wrong(facts):
    section = titled(facts, "What is wrong with the worst")
    lowest = min(facts.scored, key=lambda one: one.score)
    # The one that failed, with its reason; the lowest of all, with its score and what others had by then.
    assert section.points[0].startswith("Trial 7 has no score") and HOSTILE in section.points[0]
    (said,) = [point for point in section.points if point.startswith(f"Trial {lowest.number} ")]
    assert f"scored {lowest.score:.4f}" in said and f"After {len(lowest.curve)} epochs the median trial had" in said


def test_no_trial_beats_one_of_the_front(facts):
    front = pareto_front(facts.scored)
    for one in front:
        # Nowhere is a trial that is better in both respects.
        assert not any(other.score > one.score and other.gap < one.gap for other in facts.scored)
    # And whoever is left out is beaten by one of the front.
    for other in set(facts.scored) - set(front):
        assert any(one.score >= other.score and one.gap <= other.gap for one in front)


def test_a_search_after_both_says_what_the_front_is_and_by_what_the_winner_was_chosen(facts):
    both = facts_of(facts.rows, params=BOTH)
    report, section = study_report(both), titled(facts_of(facts.rows, params=BOTH), "Accuracy against overfitting")
    # The front is that of the trials that ran to their end: no others can be finalists.
    assert {trial.state for trial in both.front} == {TrialState.COMPLETED}
    assert both.winner in both.front
    said, why = " ".join(section.text), " ".join(report.findings)
    # Its trials by number, and the rule with its figure, here and where the winner is explained.
    assert all(str(trial.number) in said for trial in both.front)
    for text in (said, why, " ".join(titled(both, "How it was searched").text)):
        assert "smallest mean gap" in text and "at most 0.05 below" in text
    # The head of the page has the gap that counted.
    assert ("Its overfitting gap", f"{both.standings[0].mean_gap:.4f}") == report.figures[1][:2]
    # Nothing of this is said of a search after the score alone.
    assert "smallest mean gap" not in " ".join(study_report(facts).findings)


def test_a_search_with_limits_shows_them_and_names_what_was_over(tmp_path):
    facts = facts_of(within_limits(), params=UNDER)
    over = [row.id.number for row in facts.rows if row.outcome.state is TrialState.INFEASIBLE]
    section = titled(facts, "Within the limits")
    # Some were over the limit, or this would show nothing; each by its number, with its reason.
    assert over and section.points[0] == f"Trial {over[0]}: 32,000 parameters, over 24,000."
    assert f"{len(over)} of {len(facts.trials)} proposals were over a limit" in section.text[1]
    # What the winner has of each limited measure.
    assert "24,000 parameters and 5 ms an image were allowed; the winner has" in section.text[0]
    assert f"{facts.winner.size.parameters:,} parameters and 2.5 ms an image" in section.text[0]
    # They are no trials with a curve: not counted as tried, nor among the worst or the verdicts.
    report = study_report(facts)
    assert f"{len(facts.trials) - len(over)} trials on" in report.subtitle
    assert f"{len(over)} infeasible" in {name: note for name, _, note in report.figures}["Trials"]
    html = write_study_report(tmp_path / "study.html", facts).read_text(encoding="utf-8")
    # A chart a limit.
    assert all(f'<div id="limit-{measure}"' in html for measure in ("parameters", "latency_ms"))


def test_groups_hold_every_trial_once(facts):
    for path in PARAMS.space:
        numbers = [trial.number for group in groups(facts, path) for trial in group.trials]
        # By value or by range, no trial is lost or counted twice.
        assert sorted(numbers) == [trial.number for trial in facts.scored]
    # A choice keeps its words; a real number comes in four ranges.
    assert [group.name for group in groups(facts, "model.batch_norm")] == ["none", "after_activation"]
    assert len(groups(facts, "model.dropout")) == 4


def test_rounds_are_shown_when_there_are_any(facts):
    change = "dropout 0 to 0.5 became 0.2 to 0.5: 3 of the best 4 overfit."
    rounds = (Round(first_trial=0, changes=()), Round(first_trial=15, changes=(change,)))
    table = titled(facts_of(facts.rows, rounds=rounds), "Rounds").tables[0]
    best = max(trial.score for trial in facts.scored if trial.number >= 15)
    # Each with its trials, its best, and what it changed.
    assert table.rows[1] == ("2", "15 to 29", f"{best:.4f}", change)
    # A plain search has no such section.
    assert not any(section.title.startswith("Rounds") for section in study_report(facts).sections)


def test_all_charts_are_in_the_page(page):
    _, html = page
    drawn = set(re.findall(r'<div id="([\w-]+)" class="plotly-graph-div"', html))
    # Over trials and compute, importances, effects of each choice and of dropout, front, verdicts, Optuna's own two.
    assert {"score-by-trial", "score-by-compute", "importances", "front", "verdicts", "parallel", "slices"} <= drawn
    assert {"effect-0", "effect-1"} <= drawn
    # Nobody has to scroll for what happened: it fits a mail.
    assert len(html) < 6_000_000


def test_nothing_is_loaded_from_anywhere(page):
    _, html = page
    # A browser is forbidden to ask anybody, whatever plotly.js might want to.
    assert "default-src 'none'" in html and "connect-src" not in html and "unsafe-eval" not in html[:2000]
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", html)


def test_reasons_are_text(page):
    _, html = page
    # What a trial died of is shown, and no element of the page.
    assert HOSTILE not in html and "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_equal_ledgers_give_equal_bytes(facts, page, tmp_path):
    again = write_study_report(tmp_path / "study.html", facts_of(ledger()))
    # No date and no number that is drawn anew.
    assert sha256_of(again) == sha256_of(page[0])


@pytest.mark.parametrize("n", [1, 2])
def test_a_search_of_one_or_two_trials_has_a_report(n):
    rows = ledger()[:n]
    report = study_report(facts_of(rows))
    # With nothing to compare, it says what there is.
    best = max(rows, key=lambda one: one.outcome.score).id.number
    assert f"trial {best} won" in report.title
    assert "too few to tell" in " ".join(titled(facts_of(rows), "What mattered").text)


def test_a_report_that_cannot_be_made_loses_no_search(tmp_path, caplog):
    path = write_study_report(tmp_path / "study.html", facts_of([]))
    # The file is there and says so, and the log has the traceback.
    assert "The report could not be made" in path.read_text(encoding="utf-8")
    assert "no report of study study-1" in caplog.text


def test_labels_are_short():
    assert (label("model.filters"), label("optimizer.name")) == ("filters", "optimizer")


def test_a_choice_that_a_single_trial_made_is_not_judged(facts, monkeypatch):
    def grouped(*sizes):
        found = [SimpleNamespace(name=f"choice-{n}", trials=range(n), scores=[0.1 * n] * n) for n in sizes]
        monkeypatch.setattr(study_charts, "groups", lambda *_: found)
        return effects_section(facts).points

    # One trial a choice says nothing of the choice; drawn it is all the same.
    assert grouped(1, 1) == () and grouped(1, 3) == ()
    assert "choice-3 has the best median" in grouped(1, 2, 3)[0] and "choice-2 the worst" in grouped(1, 2, 3)[0]

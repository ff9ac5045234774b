"""The report of a search: what it says is what the ledger holds; it loads nothing and takes any name as text."""

import math
import re

import numpy as np
import pytest
from making import epoch_row

from cnn.config.params import SearchParams
from cnn.durable import sha256_of
from cnn.records import Cost, Head, Outcome, Proposal, TrialState
from cnn.reports.study import study_report, write_study_report
from cnn.reports.study_facts import Round, StudyFacts, label, pareto_front
from cnn.reports.study_words import groups, noise
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow

HOSTILE = "<script>alert(1)</script>"
PARAMS = SearchParams.model_validate(
    {
        "space": {
            "model.batch_norm": {"type": "choice", "values": ["none", "after_activation"]},
            "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "model.filters": {"type": "int", "low": 8, "high": 32, "step": 8},
            "optimizer.learning_rate": {"type": "float", "low": 0.0001, "high": 0.1, "log": True},
        },
        "budget": {"trials": 30, "epochs": 6},
        "finalists": 2,
        "finalist_seeds": 1,
    }
)


def quality(values):
    """Only the learning rate matters: best at 0.01."""
    return 0.8 - 0.2 * abs(math.log10(values["optimizer.learning_rate"]) + 2)


def curve(score, n, gap=0.05):
    rising = [score * (0.5 + 0.5 * (epoch + 1) / n) for epoch in range(n)]
    return tuple(
        epoch_row(epoch, value, clean_train_accuracy=value + gap, val_loss=2 - value, clean_train_loss=1.9 - value)
        for epoch, value in enumerate(rising)
    )


def row(number, repeat, values, score, *, state=TrialState.COMPLETED, reason="all epochs"):
    n = {TrialState.COMPLETED: 6, TrialState.PRUNED: 2, TrialState.FAILED: 0}[state]
    cost = Cost(wall_s=10.0, cpu_s=60.0, epochs=n)
    outcome = Outcome(number=number, state=state, reason=reason, curve=curve(score, n, 0.01 * number), cost=cost)
    return LedgerRow(
        id=JobId(number, repeat),
        proposal=Proposal(number=number, values=values, epochs=6),
        seed=0,
        cost=cost,
        deaths=0,
        outcome=outcome,
    )


def ledger(n=30):
    rng, rows = np.random.default_rng(0), []
    for number in range(n):
        values = {
            "model.batch_norm": ["none", "after_activation"][number % 2],
            "model.dropout": float(rng.uniform(0, 0.5)),
            "model.filters": int(rng.choice([8, 16, 24, 32])),
            "optimizer.learning_rate": float(10 ** rng.uniform(-4, -1)),
        }
        if number == 7:
            rows.append(row(number, 0, values, 0.0, state=TrialState.FAILED, reason=HOSTILE))
        elif number % 3 == 2:
            rows.append(row(number, 0, values, quality(values), state=TrialState.PRUNED, reason="pruned at epoch 2"))
        else:
            rows.append(row(number, 0, values, quality(values)))
    completed = [one for one in rows if one.outcome.state is TrialState.COMPLETED]
    best, second = sorted(completed, key=lambda one: -one.outcome.score)[:2]
    # The second of the search is the better one when trained again.
    rows.append(row(best.id.number, 1, best.proposal.values, best.outcome.score - 0.1))
    rows.append(row(second.id.number, 1, second.proposal.values, second.outcome.score - 0.01))
    return rows


def facts_of(rows, **changes):
    ordinary = {
        "name": "study-1",
        "source": "digits",
        "head": Head(class_names=tuple("0123456789")),
        "engine": "optuna/tpe",
        "params": PARAMS,
        "rows": rows,
        "n_train": 6000,
        "n_val": 5000,
    }
    return StudyFacts(**ordinary | changes)


@pytest.fixture(scope="module")
def facts():
    return facts_of(ledger())


@pytest.fixture(scope="module")
def page(facts, tmp_path_factory):
    path = write_study_report(tmp_path_factory.mktemp("study") / "study.html", facts)
    return path, path.read_text(encoding="utf-8")


def titled(facts, title):
    return next(section for section in study_report(facts).sections if section.title.startswith(title))


def test_the_winner_is_the_one_the_finals_chose_and_the_report_says_why(facts):
    first, second = facts.standings
    report = study_report(facts)
    # Not the best of the search: its fresh seed was worse.
    assert facts.winner.number == first.row.id.number and first.score < second.score
    assert f"trial {facts.winner.number} won" in report.title
    why = " ".join(report.findings)
    # Its place in the search, both means, and how much of the lead is luck.
    assert f"rank 2 of {len(facts.ranked)}" in why and f"{first.mean:.4f}" in why and f"{second.mean:.4f}" in why
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

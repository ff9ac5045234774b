"""The morning page: what its first screen says of good and bad nights, and that names from outside are text."""

import re
from dataclasses import replace

import pytest
from mornings import decision, earlier, facts, night
from studied import HOSTILE

from cnn.records import TrialState
from cnn.reports import night as page
from cnn.reports.night import night_report, write_night_page
from cnn.reports.night_words import essentials, minutes

BAD = {"finished": False, "decision": {}, "figures": {}, "verdict": "", "version": "", "saved": ""}


def titled(facts, title):
    return next(section for section in night_report(facts).sections if section.title.startswith(title))


@pytest.fixture(scope="module")
def whole():
    """A good night with all that a page can have."""
    return facts()


@pytest.mark.parametrize(
    ("changes", "verdict", "tone"),
    [
        ({}, "New champion", "good"),
        ({"decision": decision(champion=None)}, "There is a champion now", "good"),
        ({"decision": decision(promoted=False)}, "The champion stays", "neutral"),
        (BAD | {"part": "train", "reason": "no space left"}, "The night failed", "bad"),
        (BAD | {"finished": True, "verdict": "no trial brought a model"}, "The night failed", "bad"),
        (BAD | {"part": "search"}, "The night was interrupted", "warning"),
    ],
)
def test_the_first_screen_answers_whether_there_is_a_new_champion(changes, verdict, tone):
    report = night_report(facts(night=night(**changes), study=None, earlier=()))
    # In the title too, which is what a tab of the browser shows.
    assert (report.verdict, report.tone) == (verdict, tone)
    assert report.title.startswith(verdict)


def test_a_calm_night_says_so_and_another_does_not():
    report = night_report(facts(study=None))
    calm = report.findings
    drifted = {"finding": "drifted", "against": [{"whose": "the champion", "said": ["brightness moved"]}], "notes": []}
    other = night_report(facts(study=None, night=night(data=drifted, saved="not pushed to store: refused")))
    stirred = other.findings
    # Nothing to look at is said in words; whatever is wrong stands there instead.
    assert "Nothing went wrong." in calm
    assert "Nothing went wrong." not in stirred
    assert any("brightness moved" in said for said in stirred)
    assert any("Not pushed to store: refused" in said for said in stirred)
    # The colour of the first screen says it too.
    assert (report.tone, other.tone, other.verdict) == ("good", "warning", "New champion")


def test_a_night_whose_budget_cut_every_trial_says_what_to_raise():
    good = facts(study=None)
    cut = [replace(row, outcome=replace(row.outcome, state=TrialState.PRUNED)) for row in good.rows if row.outcome]
    page = night_report(replace(good, rows=cut))
    # A winner came out of it, which says little: that is something to look at.
    assert any("raise search.budget" in said for said in page.findings) and page.tone == "warning"
    assert not any("search.budget" in said for said in night_report(good).findings)


def test_a_failed_night_says_what_failed_why_and_what_was_kept():
    failed = night(**BAD, part="train", reason="no space left")
    said = " ".join(night_report(facts(night=failed, study=None, resumable=True)).findings)
    # The part, the reason, the finished trials, and that they are not lost.
    for words in ("Train stopped: no space left", "30 finished trials", "goes on with it", "no new champion"):
        assert words in said
    closed = " ".join(night_report(facts(night=failed, study=None, resumable=False)).findings)
    # A night that nothing goes on with does not promise that.
    assert "goes on with it" not in closed


def test_a_night_that_failed_after_its_promotion_does_not_deny_the_champion():
    failed = night(finished=False, saved="", part="save", reason="no space left")
    report = night_report(facts(night=failed, study=None, resumable=True))
    # What has happened stands in the title, with what is wrong.
    assert (report.verdict, report.tone) == ("New champion, but the night failed", "bad")
    assert "Version 7 is champion now: better beyond luck." in report.findings
    assert not [said for said in report.findings if "no new champion" in said]


def test_a_night_that_stopped_while_it_promoted_sends_to_the_history():
    failed = night(**BAD, part="register and promote", reason="the server is gone")
    said = " ".join(night_report(facts(night=failed, study=None)).findings)
    # The champion may have moved before the answer was lost.
    assert "cnn history" in said and "no new champion" not in said


@pytest.mark.parametrize("rule", ["digest", "signature", "smoke"])
def test_damage_that_the_gate_has_found_is_no_calm_night(rule):
    refused = decision(promoted=False, rules=[{"rule": rule, "passed": False, "sentence": "other bytes"}])
    said = night_report(facts(night=night(decision=refused), study=None)).findings
    assert "The gate found damage: other bytes." in said


def test_what_a_data_check_has_found_is_said_once_and_of_the_right_data():
    against = [
        {"whose": "the champion", "finding": "ok", "said": ["the same data"]},
        {"whose": "night-1", "finding": "failed", "said": ["a third is left"]},
    ]
    data = {"finding": "failed", "against": against, "notes": []}
    kept = night_report(facts(night=night(data=data), study=None)).findings
    # Not what is as it was, but what is not.
    assert "The data failed their check: a third is left." in kept
    stopped = night(**BAD, data=data, part="data check", reason="data check: received a third is left; expected more")
    said = [one for one in night_report(facts(night=stopped, study=None)).findings if "a third is left" in one]
    # A night that it stopped says it in its reason.
    assert said == ["Data check stopped: received a third is left; expected more."]


def test_a_check_without_anything_to_compare_with_does_not_claim_a_comparison():
    first = night(data={"finding": "ok", "against": [], "notes": []})
    figures = {name: remark for name, _, remark in night_report(facts(night=first, study=None)).figures}
    assert figures["Data"] == "nothing earlier to compare with"


def test_the_test_figures_stand_beside_the_champions(whole):
    figures = {name: (value, remark) for name, value, remark in night_report(whole).figures}
    # The score with its interval; the difference in points with its own, and p.
    assert figures["Test accuracy"] == ("0.8712", "0.8646 to 0.8778 at 95%")
    assert figures["Against the champion, points"] == ("+0.80", "+0.34 to +1.26; p = 0.00041")
    section = titled(whole, "Best against champion")
    # The champion's accuracy on the same images is the candidate's less the difference.
    assert "0.8632" in section.text[0]
    # Rules that were tried, each with its result; the one that was not is left out.
    assert [row[:2] for row in section.tables[0].rows] == [
        ("digest", "passed"),
        ("gap", "passed"),
        ("better", "passed"),
    ]


def test_a_refusal_names_its_rule():
    refused = facts(night=night(decision=decision(promoted=False)), study=None)
    # The rule that held it back.
    assert ("better", "failed") in [row[:2] for row in titled(refused, "Best against champion").tables[0].rows]


def test_a_decision_without_rules_or_figures_is_no_hindrance():
    bare = {"promoted": False, "reason": "the champion was registered by others", "challenger": 2, "champion": 1}
    # As earlier versions wrote it.
    assert "not compared" in titled(facts(night=night(decision=bare), study=None), "Best against").text[0]


def test_what_was_learnt_is_said_in_sentences(whole):
    said = " ".join(titled(whole, "What was learnt").points)
    # Who won and why, what mattered, what choices did, what a round changed, what a remedy did.
    for words in (
        "Trial 9",
        "learning_rate (0.99 of 1)",
        "batch_norm: none has the best median",
        "Round 2",
        "Dropout against",
    ):
        assert words in said
    tried = " ".join(titled(whole, "What was tried").text)
    # All trials, and how many curves have which verdict.
    assert "30 trials" in tried
    assert "24 overfitting" in tried


def test_an_early_end_and_a_memory_are_said():
    settings = {"search.seed": 4, "search.memory": "best"}
    found = facts(night=night(settings=settings), study=None, ended_early="ended early: little more is to be gained")
    # The first night of a home had nothing to remember.
    assert not any("search.memory" in said for said in titled(found, "What was tried").text)
    found = replace(found, n_remembered=2)
    tried = titled(found, "What was tried").text
    # Why it ended, what it knew at its beginning, and what the next one will know.
    assert "Ended early: little more is to be gained." in tried
    assert any("search.memory best" in said for said in tried)
    assert any("search.memory best" in said for said in titled(found, "What the next").points)


def test_the_next_night_is_told_from_this_one(whole):
    section = titled(whole, "What the next night")
    said = " ".join(section.points)
    # The seed, the ranges it begins with, the pairs it knows, and what is left of the error.
    for words in ("search.seed 5 in the place of 4", "learning_rate 0.002 to 0.02", "9 pairs", "look 4", "31 %"):
        assert words in said
    # Settings that differ from the night before, and only these, stand with what was tried.
    assert titled(whole, "What was tried").tables[1].rows == (("search.seed", "5", "4"), ("train.epochs", "20", "30"))


def test_a_night_that_can_be_gone_on_with_says_where():
    failed = facts(night=night(**BAD, part="train", reason="no space left"), study=None, resumable=True)
    # What is done is not done again.
    assert "in train; reconcile, prepare, data check, search and evaluate" in titled(failed, "What the next").points[0]


def test_time_and_processor_time_are_given_by_part_and_together(whole):
    rows = {row[0]: row[1:] for row in titled(whole, "Where the time went").tables[0].rows}
    # Minutes of the clock, and of the processors.
    assert rows["search"] == ("1:00 h", "108.0")
    assert rows["together"] == ("1:09 h", "125.6")
    assert minutes(61) == "1:01 min"


def test_the_last_nights_are_drawn_and_listed(whole):
    section = titled(whole, "The last 7 nights")
    # The newest first, the failed one with its reason and no score.
    assert [row[0] for row in section.tables[0].rows] == [whole.night.name, *(one.name for one in reversed(earlier()))]
    assert section.tables[0].rows[2][1:] == ("", "no space left")
    assert section.pictures[0].png.startswith(b"\x89PNG")
    # There is nothing to draw of a first night.
    assert [one.title for one in night_report(facts(earlier=(), study=None)).sections if "nights" in one.title] == []


def test_a_night_under_way_is_not_drawn_as_a_failed_one(monkeypatch):
    drawn, picture = [], page.plot.nights_picture

    def seen(points, path, **words):
        drawn.extend(points)
        picture(points, path, **words)

    monkeypatch.setattr(page.plot, "nights_picture", seen)
    night_report(facts(night=night(**BAD, part="search"), study=None, runs=True))
    # The nights before it, and it is in the table.
    assert [one.name for one in drawn] == [one.name for one in earlier()]


def test_names_from_outside_are_text(tmp_path):
    hostile = night(
        checkout=f"/data/{HOSTILE}",
        verdict=HOSTILE,
        data={"finding": "drifted", "against": [{"whose": HOSTILE, "said": [HOSTILE]}]},
    )
    html = write_night_page(tmp_path / "night.html", facts(night=hostile)).read_text(encoding="utf-8")
    # No element but those of the template comes of it, and there is nothing to run.
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    # Nothing is loaded from anywhere: addresses are data in the file itself.
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', html) == []
    # Nor does Markdown take it for an element or a link.
    assert "<script" not in essentials(facts(night=hostile, study=None), "page.html").replace(r"\<", "")


def test_the_same_night_gives_the_same_page(tmp_path):
    pages = [write_night_page(tmp_path / name, facts(study=None)).read_bytes() for name in ("one.html", "two.html")]
    # It depends on what is known of the night alone.
    assert pages[0] == pages[1]


def test_a_page_that_cannot_be_made_says_why(tmp_path, monkeypatch, caplog):
    failed = night(**BAD, part="train", reason="no space left")
    monkeypatch.setattr(page, "_figures", lambda facts: 1 / 0)
    html = write_night_page(tmp_path / "night.html", facts(night=failed, study=None)).read_text(encoding="utf-8")
    # The night's own news matter more than the rest of the page.
    assert "no space left" in html
    assert "ZeroDivisionError" in html
    assert "no whole page" in caplog.text

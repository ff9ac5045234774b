"""The flow behind the deployment `reproduce`: its form, and what it leaves for a reader."""

import pytest

from cnn.commands.reproduce import Reproduction, document
from cnn.reproduction.conditions import Change
from cnn.reproduction.outcome import FigureChange, Outcome, Sameness
from flows.reproduce import page, reproduce


def made(sameness, changes=()):
    figures = (FigureChange(name="test accuracy", then=0.5, now=0.75),)
    outcome = Outcome(sameness=sameness, reason="because", figures=figures)
    return Reproduction(
        subject="cats version 1", revision="abc", data_from="the cache", outcome=outcome, changes=changes, folder=None
    )


@pytest.mark.parametrize(("sameness", "code"), [(Sameness.IDENTICAL, 0), (Sameness.ALIKE, 0), (Sameness.DIFFERENT, 1)])
def test_only_another_model_is_a_failure(sameness, code):
    assert made(sameness).exit_code == code


def test_the_form_has_typed_and_described_fields():
    form = reproduce.parameters
    # One thing must be said, the others have an answer; each says what it is for.
    assert form.required == ["what"]
    assert {name: field["type"] for name, field in form.properties.items()} == {
        "what": "string", "search": "boolean", "keep": "boolean",
    }  # fmt: skip
    assert all(field["description"] for field in form.properties.values())


def test_the_page_shows_verdict_figures_and_conditions():
    text = page(made(Sameness.ALIKE, [Change(what="threads", then="2", now="4")]))
    for part in ("cats version 1: within the spread of seeds", "because", "| test accuracy | 0.5 | 0.75 | +0.25 |"):
        assert part in text
    assert "- threads: 2, now 4" in text


def test_the_record_says_the_same_as_the_screen():
    kept = document(made(Sameness.DIFFERENT, None))
    assert kept["verdict"] == "different" and kept["figures"] == {"test accuracy": [0.5, 0.75]}
    # Conditions that were not kept are unknown, which is not the same as unchanged.
    assert kept["conditions"] is None

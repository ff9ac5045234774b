"""The flow `data-check`: what it prepares, what it leaves, and when it fails."""

import pytest

from cnn.commands.data_check import Against, DataCheck, Finding
from cnn.config.environment import Event
from cnn.errors import DataError
from flows import data_check as flow
from flows.stages import StageError


@pytest.fixture
def left(prepared, monkeypatch):
    """The stages that the flow runs, its artifacts and its notices; Prefect has no part in it."""
    left = {"stages": [], "artifacts": [], "notices": []}
    monkeypatch.setattr(flow.stages, "run_stage", lambda name, *, force: left["stages"].append((name, force)))
    monkeypatch.setattr(flow, "create_markdown_artifact", lambda **words: left["artifacts"].append(words))
    monkeypatch.setattr(flow.notices, "notify", lambda _, event, *said: left["notices"].append((event, *said)))
    return left


def found(finding, monkeypatch, said="a [third](http://elsewhere) is left"):
    one = Against(whose="the champion", data_hash="b" * 64, finding=finding, said=(said,))
    made = DataCheck(finding=finding, data_hash="a" * 64, against=(one,), champion={}, notes=())
    monkeypatch.setattr(flow, "check", lambda *_, **__: made)


def test_without_a_registry_it_looks_and_makes_none(left, tmp_path):
    assert flow.data_check.fn() == "data ok"
    # The source was read, the check made, and there is nothing to tell anybody of.
    assert left == {"stages": [("prepare", False)], "artifacts": [], "notices": []}
    assert not (tmp_path / "home" / "mlflow.db").exists()


def test_data_can_be_taken_as_they_are(left):
    flow.data_check.fn(prepare=False)
    assert left["stages"] == []


def test_a_failed_check_fails_the_flow_and_sends_a_notice(left, monkeypatch):
    found(Finding.FAILED, monkeypatch)
    with pytest.raises(DataError, match="is left"):
        flow.data_check.fn()
    ((event, subject, body),) = left["notices"]
    # What it is about, and what has changed.
    assert event is Event.DATA_CHECK_FAILED
    assert "data check failed" in subject and "is left" in body
    # Words from outside are no links in the UI.
    assert r"a \[third\](http://elsewhere) is left" in left["artifacts"][0]["markdown"]


def test_data_that_cannot_be_prepared_are_told_of(left, monkeypatch):
    def refuse(name, *, force):
        raise StageError(name, 2, "prepare.path: received no folder")

    monkeypatch.setattr(flow.stages, "run_stage", refuse)
    with pytest.raises(StageError):
        flow.data_check.fn()
    # As whoever wants notices of a failed check would expect: what cannot be read was not found sound.
    assert left["notices"] == [(Event.DATA_CHECK_FAILED, "the data check failed", "prepare.path: received no folder")]


def test_who_only_wants_to_know_gets_a_line(left, monkeypatch):
    found(Finding.FAILED, monkeypatch)
    assert flow.data_check.fn(strict=False).startswith("data failed: a [third]")


def test_a_drift_is_shown_and_no_failure(left, monkeypatch):
    found(Finding.DRIFTED, monkeypatch, "brightness moved")
    assert flow.data_check.fn() == "data drifted: brightness moved"
    assert left["notices"] == [] and "brightness moved" in left["artifacts"][0]["markdown"]


def test_a_drift_that_ends_nights_is_told_of(left, checkout, monkeypatch):
    params = checkout / "params.yaml"
    params.write_text(params.read_text().replace("stops: failed ", "stops: drifted "))
    found(Finding.DRIFTED, monkeypatch, "brightness moved")
    with pytest.raises(DataError, match="brightness moved"):
        flow.data_check.fn()
    assert [event for event, *_ in left["notices"]] == [Event.DATA_CHECK_FAILED]


def test_its_parameters_are_a_form():
    properties = flow.data_check.parameters.properties
    # Typed, with words beside them, for the Prefect UI.
    assert {name: one["type"] for name, one in properties.items()} == {"prepare": "boolean", "strict": "boolean"}
    assert all(one["description"] for one in properties.values())

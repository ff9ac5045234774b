"""Which stages a night runs, in which order, and which of them in any case; and how a start of a night ends."""

from contextlib import nullcontext
from datetime import datetime, timedelta

import pytest

from cnn.commands.data_check import Against, DataCheck, Finding
from cnn.errors import ConfigError, DataError, SpaceError
from cnn.nights import Nights
from cnn.search.study import open_study
from cnn.steps.promote import Verdict
from flows import nightly, stages

FOUND = DataCheck(finding=Finding.OK, data_hash="a" * 64, against=(), champion={}, notes=())
TASKS = ("reconcile", "prepare", "search", "train", "evaluate", "register", "promote", "save")


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path / "home" / "nights")


# ---- the flow


@pytest.fixture
def calls(checkout, monkeypatch):
    """What the flow has DVC do; nothing runs, and Prefect has no part in it."""
    calls = []
    verdict = Verdict(promoted=True, challenger=1, champion=None, reason="the first")
    for name in TASKS:
        monkeypatch.setattr(nightly, name, getattr(nightly, name).fn)
    monkeypatch.setattr(nightly, "reconcile_all", lambda *, flow_run: [])
    monkeypatch.setattr(nightly, "check_data", lambda night, params, environment: FOUND)
    monkeypatch.setattr(nightly, "register", lambda params, environment: None)
    monkeypatch.setattr(nightly, "promote", lambda params, environment: verdict)
    monkeypatch.setattr(nightly.artifacts, "morning_page", lambda night, params, environment: nullcontext())
    monkeypatch.setattr(nightly.artifacts, "leaderboard", lambda night: None)
    monkeypatch.setattr(nightly.artifacts, "verdict", lambda night, verdict: None)
    monkeypatch.setattr(stages, "run_stage", lambda name, *, force=False: calls.append((name, force)))
    monkeypatch.setattr(stages, "pull", lambda remote: calls.append(("pull", remote)))
    monkeypatch.setattr(stages, "push", lambda remote: calls.append(("push", remote)) or f"pushed to {remote}")
    monkeypatch.setattr(stages, "save", lambda night: f"saved as {night}")
    return calls


def run_flow(checkout, nights, *overrides):
    params = checkout / "params.yaml"
    if overrides:
        params.write_text(nightly.write_overrides(params, overrides))
    nightly.nightly.fn(nights.open(checkout, "digest").name)


def test_a_night_always_searches_and_else_does_what_has_changed(calls, checkout, nights):
    run_flow(checkout, nights)
    # Yesterday's search says nothing about tonight's; the other stages are DVC's to judge.
    assert calls == [("prepare", False), ("search", True), ("train", False), ("evaluate", False)]


def test_a_users_own_data_are_read_anew_each_night(calls, checkout, nights, monkeypatch):
    monkeypatch.setenv("CNN_DVC_REMOTE", "store")
    run_flow(checkout, nights, "prepare.source=npz", "prepare.path=mine.npz")
    # DVC knows the path and not what is in it, so the stage is forced; the remote's data may be of another day.
    assert calls[0] == ("prepare", True)
    assert ("pull", "store") not in calls


def test_data_that_cannot_have_changed_come_from_the_remote(calls, checkout, nights, monkeypatch):
    monkeypatch.setenv("CNN_DVC_REMOTE", "store")
    run_flow(checkout, nights)
    # Pulled before they would be prepared, and all is pushed at the end.
    assert calls[:2] == [("pull", "store"), ("prepare", False)]
    assert calls[-1] == ("push", "store")


def test_a_users_own_recipe_is_read_anew_each_night(calls, checkout, nights):
    run_flow(checkout, nights, "train.recipe=mine.yaml")
    # As with data: DVC knows the name of the file only.
    assert ("train", True) in calls


def test_data_that_failed_their_check_end_a_night_before_it_trains(calls, checkout, nights, monkeypatch):
    fewer = Against(whose="the champion", data_hash="b" * 64, finding=Finding.FAILED, said=("a third is left",))
    found = DataCheck(finding=Finding.FAILED, data_hash="a" * 64, against=(fewer,), champion={}, notes=())
    monkeypatch.setattr(nightly, "check_data", lambda night, params, environment: found)
    night = nights.open(checkout, "digest")
    with pytest.raises(DataError, match="a third is left"):
        nightly.nightly.fn(night.name)
    stopped = nights.read(night.name)
    # Nothing was searched; the record has what was found, and where it ended.
    assert calls == [("prepare", False)]
    assert (stopped.part, stopped.data["finding"], stopped.data_hash) == ("data check", "failed", "a" * 64)


def test_the_record_has_what_the_morning_page_needs(calls, checkout, nights):
    night = nights.open(checkout, "digest")
    nightly.nightly.fn(night.name)
    ended = nights.read(night.name)
    # The settings, what became of the challenger, and processor time of each part.
    assert ended.settings["search.seed"] == 0
    assert ended.decision["kind"] == "promoted"
    assert ended.cpu_s.keys() == ended.seconds.keys()
    assert all(seconds >= 0 for seconds in ended.cpu_s.values())


# ---- the start


def test_a_night_with_an_unknown_remote_does_not_begin(checkout, nights, monkeypatch):
    monkeypatch.setenv("CNN_DVC_REMOTE", "stroe")
    monkeypatch.setattr(nightly, "_run", lambda night, environment, console: 1)
    before = (checkout / "params.yaml").read_text()
    with pytest.raises(ConfigError, match="CNN_DVC_REMOTE"):
        nightly.run_night(["train.epochs=3"])
    # There is no record to go on with, and the settings are as they were.
    assert nights.all() == []
    assert (checkout / "params.yaml").read_text() == before


@pytest.mark.parametrize(
    "word",
    [
        "search.recipe=nope",
        "train.recipe=nope",
        "search.space={model.filterz: {type: int, low: 1, high: 2}}",
        "search.space={model.depth: {type: int, low: 11, high: 13}}",
    ],
)
def test_a_refused_setting_is_not_written(checkout, nights, monkeypatch, word):
    monkeypatch.setattr(nightly, "_run", lambda night, environment, console: 1)
    before = (checkout / "params.yaml").read_text()
    with pytest.raises((ConfigError, SpaceError)):
        nightly.run_night([word])
    # Nor has a night begun that only the next settings could close.
    assert (checkout / "params.yaml").read_text() == before
    assert nights.all() == []


def test_a_part_that_fails_is_not_done_and_its_reason_is_kept(calls, checkout, nights, monkeypatch):
    def refused(name, *, force=False):
        raise stages.StageError(name, 2, "data/pictures: received none; expected pictures; name a folder")

    night = nights.open(checkout, "digest")
    sound = stages.run_stage
    monkeypatch.setattr(stages, "run_stage", refused)
    with pytest.raises(stages.StageError):
        nightly.nightly.fn(night.name)
    stopped = nights.read(night.name)
    # The time it took is kept, and so are its name and what the stage has said.
    assert list(stopped.seconds) == ["reconcile", "prepare"]
    assert (stopped.part, stopped.reason) == (
        "prepare",
        "data/pictures: received none; expected pictures; name a folder",
    )
    monkeypatch.setattr(stages, "run_stage", sound)
    nightly.nightly.fn(night.name)
    # A night that comes to its end has nothing of it left.
    ended = nights.read(night.name)
    assert ended.finished and (ended.part, ended.reason) == ("", "")


def test_a_new_champion_is_in_the_record_though_the_night_fails_later(calls, checkout, nights, monkeypatch):
    def full(night):
        raise OSError("no space left")

    monkeypatch.setattr(stages, "save", full)
    night = nights.open(checkout, "digest")
    with pytest.raises(OSError, match="no space left"):
        nightly.nightly.fn(night.name)
    stopped = nights.read(night.name)
    # Its page says so; the night can be gone on with.
    assert (stopped.decision["promoted"], stopped.part, stopped.finished) == (True, "save", False)
    assert stopped.verdict == "version 1 is champion now: the first"


@pytest.mark.parametrize(("stage", "code", "kept"), [("prepare", 2, False), ("prepare", 1, True), ("search", 2, True)])
def test_settings_that_prepare_refuses_are_put_back(checkout, monkeypatch, stage, code, kept):
    def flow(night, environment, console):
        assert nightly.read_params().prepare.path == "nowhere"  # a stage reads the file
        raise stages.StageError(stage, code)

    monkeypatch.setattr(nightly, "_run", flow)
    before = (checkout / "params.yaml").read_text()
    # A folder that is not there; any other failure leaves the settings, with which the next start goes on.
    assert nightly.run_night(["prepare.source=folder", "prepare.path=nowhere"]) == code
    assert ((checkout / "params.yaml").read_text() != before) is kept


def test_settings_that_were_edited_meanwhile_stay(checkout, monkeypatch):
    def flow(night, environment, console):
        (checkout / "params.yaml").write_text("edited")
        raise stages.StageError("prepare", 2)

    monkeypatch.setattr(nightly, "_run", flow)
    nightly.run_night(["prepare.source=folder", "prepare.path=nowhere"])
    assert (checkout / "params.yaml").read_text() == "edited"


def test_a_night_without_a_winner_is_over(checkout, nights, monkeypatch):
    def flow(night, environment, console):
        with open_study(environment.studies, "digest", night=night.name) as study:
            study.finish(winner=False)
        return 2

    monkeypatch.setattr(nightly, "_run", flow)
    # The search's own exit code, and the reason in the night's record.
    assert nightly.run_night([]) == 2
    (night,) = nights.all()
    assert night.finished and night.verdict == "no trial brought a model"
    # The next start is a new night: going on with this one would only fail again.
    nightly.run_night([])
    assert len(nights.all()) == 2


def test_a_night_whose_stage_failed_otherwise_can_be_gone_on_with(checkout, nights, monkeypatch):
    monkeypatch.setattr(nightly, "_run", lambda night, environment, console: 1)
    assert [nightly.run_night([]), nightly.run_night([])] == [1, 1]
    # One record, open.
    assert [night.finished for night in nights.all()] == [False]


def test_each_night_searches_with_a_seed_of_its_own(checkout, nights, monkeypatch):
    seeds = []

    def flow(night, environment, console):
        seeds.append(nightly.read_params().search.seed)
        nights.write(night, finished=True)
        return 1  # no morning to show

    monkeypatch.setattr(nightly, "_run", flow)
    shipped = (checkout / "params.yaml").read_text()
    for overrides in ([], [], ["train.epochs=3"], []):
        nightly.run_night(overrides)
    # The next one where these settings have been searched before, the same where they haven't.
    assert seeds == [0, 1, 1, 2]
    # A reset file is no reason to repeat a search.
    (checkout / "params.yaml").write_text(shipped)
    nightly.run_night([])
    assert seeds[-1] == 2
    # Unless the user says so.
    nightly.run_night(["search.seed=0"])
    assert seeds[-1] == 0


def test_a_night_that_failed_after_its_search_is_not_searched_again(checkout, nights, monkeypatch):
    began = (datetime.now().astimezone() - timedelta(days=1)).isoformat()

    def flow(night, environment, console):
        nights.write(night, searched=True, began=began)
        return 1

    monkeypatch.setattr(nightly, "_run", flow)
    nightly.run_night([])
    nightly.run_night([])
    # The next night gives it up, and another seed finds what it did not.
    assert {night.verdict for night in nights.all()} == {"", "given up: it failed after its search"}
    assert nightly.read_params().search.seed == 1


def test_a_night_that_goes_on_keeps_its_seed(checkout, nights, monkeypatch):
    monkeypatch.setattr(nightly, "_run", lambda night, environment, console: 1)
    before = (checkout / "params.yaml").read_text()
    nightly.run_night([])
    nightly.run_night([])
    assert (checkout / "params.yaml").read_text() == before

"""What a person may force, with a reason that is kept, and what nothing forces."""

import json

import pytest
from promoted import NAME, Gatehouse

from cnn.errors import ConfigError, IntegrityError, ServiceError
from cnn.promotion.log import DecisionLog
from cnn.steps import promote as step


@pytest.fixture
def house(tmp_path):
    return Gatehouse(tmp_path)


def test_force_keeps_its_reason_and_the_rules_it_passed_over(house):
    house.reign(300)
    house.register(100)
    assert not house.promote().promoted
    verdict = house.promote(force="the old one is too large")
    assert (verdict.promoted, verdict.forced, house.champion()) == (True, "the old one is too large", 2)
    # The reason, what it passed over, and the figures of both.
    assert verdict.reason.startswith("forced: the old one is too large; past better, classes, calibration: not better")
    line = house.log().lines()[-1]
    assert (line["kind"], line["forced"]) == ("forced", "the old one is too large")
    assert [rule["rule"] for rule in line["rules"] if rule["passed"] is False] == ["better", "classes", "calibration"]
    tags = house.registry.version(NAME, 2).tags
    assert tags["promotion"] == "forced" and tags["gate.better"].startswith("failed: not better")
    assert house.tracker.read_run("night/candidate").tags["promotion"] == "forced"
    # The rules lie with the run as a file.
    gate = json.loads(house.tracker.read_file("night/candidate", "promotion/gate.json"))
    assert gate["rules"][0]["rule"] == "digest"


REASONS = {
    "none": ("", "received no reason"),
    "blank": ("  ", "received no reason"),
    "too long": ("why " * 300, "received a reason of 1,199 characters; expected at most 1,000"),
    "a terminal's words": ("\x1b[31mred", "letters that can be shown"),
    "no Unicode": ("caf\udce9", "letters that can be shown"),
}


@pytest.mark.parametrize("case", REASONS)
def test_a_reason_that_cannot_be_kept_is_a_mistake(house, case):
    reason, words = REASONS[case]
    house.reign(100, 300)
    with pytest.raises(ConfigError, match=f"--force: .*{words}"):
        house.promote(number=1, force=reason)
    if reason.strip():
        with pytest.raises(ConfigError, match=f"--reason: .*{words}"):
            house.rollback(reason=reason)
    assert house.kinds() == ["promoted", "promoted"]


def test_nothing_forces_a_forged_model(house, tmp_path):
    house.reign(100)
    house.register(300, gap=0.9)
    path = tmp_path / "registry" / NAME / "2" / "model.keras"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match=r"received model\.keras is not what was registered"):
        house.promote(force="I know what I do")
    # The attempt is in the history, the champion where it was.
    assert (house.kinds()[-1], house.champion()) == ("refused", 1)


def test_a_challenger_that_fails_alone_costs_no_look(house):
    house.reign(100)
    house.register(300, gap=0.9)
    verdict = house.promote()
    assert not verdict.promoted and verdict.reason == "the overfitting gap is 0.9000, above 0.2"
    # The test images were not looked at, and the rules that would have looked are told as not tried.
    assert verdict.look is None
    assert {rule.rule for rule in verdict.rules if rule.passed is None} >= {"better", "classes", "calibration"}
    assert house.registry.version(NAME, 2).tags["gate.better"] == "not tried"
    house.register(301)
    assert house.promote().look == 1


def test_a_version_bears_no_result_of_an_earlier_decision(house):
    house.reign(200)
    house.register(100)
    house.promote()
    assert house.registry.version(NAME, 2).tags["gate.better"].startswith("failed: not better")
    narrow = house.params.promote.model_copy(update={"max_gap": 0.001})
    house.params = house.params.model_copy(update={"promote": narrow})
    house.promote()
    tags = house.registry.version(NAME, 2).tags
    # This time the images were not looked at.
    assert tags["gate.gap"].startswith("failed: ") and tags["gate.better"] == "not tried"


def test_a_version_can_be_named(house):
    house.reign(100)
    house.register(300)
    house.register(50)
    assert house.promote(number=2).promoted and house.champion() == 2
    with pytest.raises(ConfigError, match="received no version 9"):
        house.promote(number=9)


def test_the_step_gives_up_when_others_never_rest(house, monkeypatch):
    house.reign(100)
    house.register(300)
    monkeypatch.setattr(DecisionLog, "append", lambda self, document, head: False)
    with pytest.raises(ServiceError, match="a decision of somebody else meanwhile"):
        house.promote()
    assert step._ATTEMPTS > 1

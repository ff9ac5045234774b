"""Champions go back one after another, and the history shows who, when, why and with what figures."""

from io import StringIO

import pytest
from promoted import NAME, Gatehouse
from rich.console import Console

from cnn.commands.verdict import show_verdict
from cnn.errors import ConfigError, IntegrityError


@pytest.fixture
def house(tmp_path):
    return Gatehouse(tmp_path)


def test_rollback_goes_back_one_champion_after_another(house):
    house.reign(100, 200, 300)
    line = house.rollback(reason="it is slow")
    assert (line["challenger"], line["champion"], line["reason"]) == (2, 3, "it is slow")
    # Once more is one further, not forth again to what was left.
    assert house.rollback()["challenger"] == 1 == house.champion()
    with pytest.raises(ConfigError, match="no champion before version 1, the present one; expected one to"):
        house.rollback()
    assert house.registry.version(NAME, 1).tags["promotion"] == "rolled back"


def test_a_version_that_was_rolled_back_from_does_not_return_by_itself(house):
    house.reign(100, 300)
    house.rollback(reason="wrong at night")
    verdict = house.promote()
    # The same challenger, which is better still: a person took it out of office.
    assert not verdict.promoted and "it was rolled back from: wrong at night" in verdict.reason
    # No look was spent on it.
    assert verdict.look is None
    assert house.promote(force="mended the camera").promoted and house.champion() == 2


MISTAKES = {
    "never champion": (2, "received 2; expected a version that was champion: 1"),
    "not there": (9, "received 9; expected a version that was champion"),
    "champion now": (3, "received 3, the present champion"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_rollback_that_cannot_be_is_one_line(house, case):
    to, words = MISTAKES[case]
    house.reign(100)
    house.register(99)
    house.promote()
    house.reign(300)
    with pytest.raises(ConfigError, match=words):
        house.rollback(to=to)
    assert house.champion() == 3


def test_a_rollback_to_a_forged_model_is_refused(house, tmp_path):
    house.reign(100, 300)
    path = tmp_path / "registry" / NAME / "1" / "model.keras"
    whole = path.read_bytes()
    path.write_bytes(whole + b"x")
    with pytest.raises(IntegrityError, match=r"model\.keras"):
        house.rollback()
    path.write_bytes(whole)
    house.registry.set_tags(house.registry.version(NAME, 1), {"sha256": "0" * 64})
    # A digest rewritten together with its file is another than the history has.
    with pytest.raises(IntegrityError, match="expected that of the model that became champion"):
        house.rollback()
    assert house.champion() == 2


def test_the_history_shows_who_when_why_and_the_figures(house):
    assert "nothing was decided about cnn-overnight yet" in house.history()
    house.reign(100, 200)
    house.register(201)
    house.promote()
    house.promote(force="the demo is at noon")
    house.rollback(reason="the demo is over")
    text = house.history()
    lines = text.splitlines()
    # The latest comes first, each kind by its name.
    found = [text.index(word) for word in ("rolled back", "forced", "refused", "champion 1 -> 2", "champion none -> 1")]
    assert found == sorted(found)
    for words in ("by ", "the demo is over", "the demo is at noon", "+25.00 points", "look 2", "looked at 2 times"):
        assert words in text
    # It can be read in an ordinary terminal.
    assert max(map(len, lines)) <= 80
    assert "4 earlier ones: cnn history -n 5" in house.history(n=1)


def test_what_a_lost_registry_knew_is_still_in_this_homes_history(house, tmp_path):
    house.reign(100, 200)
    anew = Gatehouse(tmp_path / "anew")
    anew.environment = house.environment
    assert anew.history().count("promoted") == 2
    anew.register(100)
    anew.promote()
    anew.register(300)
    # Its looks at the test images are not forgotten either.
    assert anew.promote().look == 2


def test_the_history_is_in_the_order_of_the_log_whatever_the_clocks_say(house, tmp_path, monkeypatch):
    house.reign(100)
    late = {"at": "2026-01-01T00:00:00+00:00", "by": "somebody whose clock is slow"}
    monkeypatch.setattr("cnn.promotion.log.signed_now", lambda: late)
    elsewhere = Gatehouse(tmp_path, house.registry, "elsewhere")
    elsewhere.reign(200)
    text = house.history()
    # The latest first, as the champions followed one another.
    assert text.index("champion 1 -> 2") < text.index("champion none -> 1")


def test_who_is_in_office_is_told_nothing_new(house):
    house.reign(100, 300)
    # A rerun says again what the gate has said.
    assert house.promote().reason.startswith("better by")
    house.rollback(reason="wrong at night")
    tags = house.tracker.read_run("night/candidate").tags
    verdict = house.promote(number=1)
    # What a person did is no verdict of the gate, and leaves its words alone.
    assert (verdict.promoted, verdict.reason) == (False, "it is the champion already")
    assert house.promote(number=1, force="it is mine") == verdict
    assert house.tracker.read_run("night/candidate").tags == tags
    assert house.kinds() == ["promoted", "promoted", "rolled back"]


def test_the_table_of_the_rules_can_be_read_in_an_ordinary_terminal(house):
    house.reign(200)
    house.register(100)
    console = Console(width=80, file=StringIO())
    show_verdict(house.promote(), console)
    text = console.file.getvalue()
    print(text)
    # Each rule that was tried with its result, what is left of alpha, and the verdict last.
    for word in ("digest", "gap", "better", "failed", "classes", "looked at once; 62 % of promote.alpha is left"):
        assert word in text
    assert "not tried" not in text and max(map(len, text.splitlines())) <= 80

"""What others do to the registry: moved aliases, forged and deleted lines, damaged files."""

import pytest
from promoted import NAME, Gatehouse

from cnn.errors import IntegrityError
from cnn.steps.promote import LEDGER
from cnn.tracking.registry import CHAMPION


@pytest.fixture
def house(tmp_path):
    return Gatehouse(tmp_path)


def test_an_alias_moved_in_mlflow_is_taken_as_it_is_and_noted(house):
    house.reign(100, 200)
    house.registry.set_alias(house.registry.version(NAME, 1), CHAMPION)
    house.register(399)
    verdict = house.promote()
    # Who stands in office is who the alias says.
    assert (verdict.promoted, verdict.champion) == (True, 1)
    assert house.kinds() == ["promoted", "promoted", "set by hand", "promoted"]


def test_an_alias_removed_in_mlflow_leaves_the_way_open(house):
    house.reign(300)
    house.registry._aliases.pop((NAME, CHAMPION))
    house.register(100)
    verdict = house.promote()
    assert (verdict.promoted, verdict.champion, verdict.reason) == (True, None, "there was no champion")


def test_a_forged_line_of_the_log_is_named(house):
    house.reign(100, 200)
    log = house.registry._logs[NAME]
    log[0] = log[0].replace('"challenger": 1', '"challenger": 2')
    with pytest.raises(IntegrityError, match="decision 1 about cnn-overnight: received a damaged line"):
        house.promote()
    with pytest.raises(IntegrityError, match="decision 1 about"):
        house.rollback()
    # Nothing moved because of it.
    assert house.champion() == 2


def test_a_line_that_was_deleted_is_missed(house, monkeypatch):
    house.reign(100, 200)
    entries = house.registry.entries
    monkeypatch.setattr(house.registry, "entries", lambda name, after=0: entries(name, after)[1:])
    with pytest.raises(IntegrityError, match="decision 1 about cnn-overnight: received none: it was deleted"):
        house.promote()


def test_a_forged_line_of_this_homes_ledger_is_named(house):
    house.reign(100)
    path = house.environment.home / LEDGER
    path.write_text(path.read_text().replace('"challenger": 1', '"challenger": 7'))
    house.register(300)
    with pytest.raises(IntegrityError, match=r"promotions\.jsonl:1: received a damaged line"):
        house.promote()
    assert house.champion() == 1


def test_a_digest_that_was_forged_and_is_put_back_bars_nobody(house):
    house.reign(100)
    version = house.register(300)
    digest = version.tags["sha256"]
    house.registry.set_tags(version, {"sha256": "0" * 64})
    assert "digest" in [ruling.rule for ruling in house.promote().failed]
    house.registry.set_tags(version, {"sha256": digest})
    # The refusal tells of the damage; the model is what it was.
    assert house.promote().promoted
    house.reign(399)
    assert house.rollback()["challenger"] == version.number


def test_a_champion_whose_files_are_damaged_does_not_stay_in_office_for_that(house, tmp_path):
    house.reign(100)
    (tmp_path / "registry" / NAME / "1" / "predictions.npz").write_bytes(b"torn")
    house.register(300)
    verdict = house.promote()
    # Nothing can be compared: it stays, the reason is clear, and a person can decide.
    assert (verdict.promoted, verdict.look, house.champion()) == (False, None, 1)
    assert "the champion's files are not as they were registered (predictions.npz: " in verdict.reason
    assert house.promote(force="its files are lost").promoted and house.champion() == 2

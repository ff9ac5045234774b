"""A decision whose process is killed before any of its writes: it has happened once, or not at all."""

from contextlib import suppress

import pytest
from promoted import NAME, Gatehouse, Killed, dies_before

from cnn.steps.promote import LEDGER
from cnn.tracking.promotions import read_promotions


@pytest.fixture
def house(tmp_path):
    return Gatehouse(tmp_path)


@pytest.mark.parametrize("n", range(6))
def test_a_promotion_killed_at_any_write_is_done_once(house, monkeypatch, n):
    house.reign(100)
    house.register(300)
    with monkeypatch.context() as patch:
        dies_before(house, patch, n)
        try:
            house.promote()
            died = False
        except Killed:
            died = True
    # Five writes, each of which was cut off once.
    assert died == (n < 5)
    # A reader sees the old champion or the new one, never none.
    assert house.champion() in (1, 2)
    verdict = house.promote()
    # The next start ends what was begun: one champion, one line in each history, and the version says why.
    assert (verdict.promoted, verdict.challenger, house.champion()) == (True, 2, 2)
    assert house.kinds() == ["promoted", "promoted"]
    assert [line["challenger"] for line in read_promotions(house.environment.home / LEDGER)] == [1, 2]
    assert house.registry.version(NAME, 2).tags["promotion"] == "promoted"


@pytest.mark.parametrize("n", range(4))
def test_a_refusal_killed_at_any_write_is_said_once(house, monkeypatch, n):
    house.reign(200)
    house.register(201)
    with monkeypatch.context() as patch:
        dies_before(house, patch, n)
        with suppress(Killed):
            house.promote()
    assert not house.promote().promoted
    # Said once in both histories, however far the killed process had come.
    assert house.kinds() == ["promoted", "refused"]
    assert len(read_promotions(house.environment.home / LEDGER)) == 2
    assert house.registry.version(NAME, 2).tags["promotion"] == "refused"


@pytest.mark.parametrize("n", range(5))
def test_a_rollback_killed_at_any_write_has_happened_or_has_not(house, monkeypatch, n):
    house.reign(100, 300)
    with monkeypatch.context() as patch:
        dies_before(house, patch, n)
        with pytest.raises(Killed):
            house.rollback()
    standing = house.log().standing()
    # What was written down is done by whoever comes next; what was not has not happened.
    assert standing.champion.number == (2 if n == 0 else 1)
    assert [line["kind"] for line in standing.lines].count("rolled back") == int(n > 0)


def test_a_look_whose_record_was_killed_is_spent_by_whoever_decides_next(house, monkeypatch):
    house.reign(200)
    first, second = house.register(100), house.register(101)
    with monkeypatch.context() as patch:
        dies_before(house, patch, 0)
        with pytest.raises(Killed):
            house.promote(number=first.number)
    # What was not written down moved nothing and was told to nobody; each verdict that counts has a look of its own.
    assert house.champion() == 1
    assert (house.promote(number=second.number).look, house.promote(number=first.number).look) == (1, 2)

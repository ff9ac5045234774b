"""Several decide at once: one order of decisions, and nobody takes back what another one did."""

import threading

import pytest
from promoted import NAME, Gatehouse

from cnn.errors import ServiceError
from cnn.steps.promote import LEDGER
from cnn.tracking.promotions import read_promotions
from cnn.tracking.registry import CHAMPION


@pytest.fixture
def house(tmp_path):
    return Gatehouse(tmp_path)


def interleaved(house, other, monkeypatch):
    """`other` decides after `house` has looked and before it writes, once."""
    append = house.registry.append_entry

    def append_late(name, text, summary):
        monkeypatch.setattr(house.registry, "append_entry", append)
        other()
        append(name, text, summary)

    monkeypatch.setattr(house.registry, "append_entry", append_late)


def test_of_two_promotions_at_once_exactly_one_wins_and_the_other_says_so(house, tmp_path, monkeypatch):
    elsewhere = Gatehouse(tmp_path, house.registry, "elsewhere")
    house.reign(100)
    first, second = house.register(300), house.register(301)
    won = []
    interleaved(house, lambda: won.append(elsewhere.promote(number=first.number)), monkeypatch)
    verdict = house.promote(number=second.number)
    assert won[0].promoted and not verdict.promoted
    # It was judged anew, against the champion of now.
    assert verdict.champion == first.number and "the champion moved meanwhile, to version 2; " in verdict.reason
    assert house.champion() == first.number
    # The decision that was made about the old champion is in nobody's history.
    assert house.kinds() == ["promoted", "promoted", "refused"]
    assert [line["challenger"] for line in read_promotions(house.environment.home / LEDGER)] == [1, 3]


@pytest.mark.parametrize("act", ["force", "rollback"])
def test_what_a_person_decides_meets_the_champion_they_saw_or_nothing(house, tmp_path, monkeypatch, act):
    elsewhere = Gatehouse(tmp_path, house.registry, "elsewhere")
    house.reign(100, 200)
    house.register(300)
    interleaved(house, elsewhere.promote, monkeypatch)
    with pytest.raises(ServiceError, match="somebody else meanwhile"):
        house.promote(number=1, force="I like it") if act == "force" else house.rollback(to=1)
    # Another is champion than the one they decided over: it is for them to decide again.
    assert (house.champion(), house.kinds()) == (3, ["promoted"] * 3)


def test_many_threads_and_homes_leave_one_history(house, tmp_path):
    house.reign(100)
    numbers = [house.register(300 + index).number for index in range(6)]
    verdicts, seen, stop = [], set(), threading.Event()

    def decide(number):
        verdicts.append(Gatehouse(tmp_path, house.registry, f"home-{number}").promote(number=number))

    def read():
        while not stop.is_set():
            seen.add(house.champion())

    reader = threading.Thread(target=read)
    threads = [threading.Thread(target=decide, args=(number,)) for number in numbers]
    reader.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    # Six models that differ by an image or so: one of them beats the champion, none of the others beats that.
    assert sum(verdict.promoted for verdict in verdicts) == 1
    (winner,) = [verdict.challenger for verdict in verdicts if verdict.promoted]
    assert house.champion() == winner
    # A reader saw the old champion and the new one, and never nobody.
    assert seen <= {1, winner}
    looks = [line["look"] for line in house.log().lines() if line["look"]]
    # Each home's look at the one test set was counted, none twice.
    assert sorted(looks) == list(range(1, len(looks) + 1)) and len(looks) == 6


def test_a_process_that_is_overtaken_before_its_alias_does_not_take_the_champion_back(house, tmp_path, monkeypatch):
    elsewhere = Gatehouse(tmp_path, house.registry, "elsewhere")
    house.reign(100)
    house.register(200)
    set_alias, latest = house.registry.set_alias, []

    def set_alias_late(version, alias):
        monkeypatch.setattr(house.registry, "set_alias", set_alias)
        latest.append(elsewhere.register(300))
        assert elsewhere.promote().promoted
        set_alias(version, alias)

    monkeypatch.setattr(house.registry, "set_alias", set_alias_late)
    house.promote()
    # What the log has last is champion, whoever set the alias last; and nobody is said to have moved it by hand.
    assert house.champion() == latest[0].number == 3
    assert house.log().standing().champion.number == 3
    assert house.kinds() == ["promoted"] * 3


def test_an_alias_that_is_about_to_be_set_right_is_not_taken_for_a_move_by_hand(house, monkeypatch):
    house.reign(100, 200)
    house.registry.set_alias(house.registry.version(NAME, 1), CHAMPION)

    def overtaken_process_looks_again(seconds):
        house.registry.set_alias(house.registry.version(NAME, 2), CHAMPION)

    monkeypatch.setattr("cnn.promotion.log.time.sleep", overtaken_process_looks_again)
    # Only an alias that stays elsewhere was moved by a person.
    assert house.log().standing().champion.number == 2
    assert house.kinds() == ["promoted", "promoted"]


def test_a_refusal_in_between_does_not_turn_a_forced_promotion_away(house, tmp_path, monkeypatch):
    elsewhere = Gatehouse(tmp_path, house.registry, "elsewhere")
    house.reign(200)
    first, second = house.register(100), house.register(101)
    interleaved(house, lambda: elsewhere.promote(number=second.number), monkeypatch)
    # The champion is still the one it was decided over.
    assert house.promote(number=first.number, force="I like it").promoted
    assert house.kinds() == ["promoted", "refused", "forced"]

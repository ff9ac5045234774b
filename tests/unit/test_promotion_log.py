"""How the champion moves: one order of decisions, whoever decides and whoever is killed."""

import json
import threading
from contextlib import suppress
from io import StringIO

import pytest
from promoted import NAME, Gatehouse
from rich.console import Console

from cnn.commands.verdict import show_verdict
from cnn.errors import ConfigError, IntegrityError, ServiceError
from cnn.promotion.log import DecisionLog
from cnn.steps import promote as step
from cnn.steps.promote import LEDGER
from cnn.tracking import promotions
from cnn.tracking.promotions import read_promotions
from cnn.tracking.registry import CHAMPION


@pytest.fixture
def house(tmp_path):
    return Gatehouse(tmp_path)


def log_of(house):
    return DecisionLog(house.registry, NAME, house.environment)


def kinds(house):
    return [line["kind"] for line in log_of(house).lines()]


# ---- kills


class Killed(BaseException):
    """What no `except Exception` stops, as kill -9."""


WRITES = ("append_entry", "set_tags", "set_alias", "settle_entry")


def dies_before(house, monkeypatch, n):
    """The n-th write of a process, counted from 0, does not take place any more, and nothing after it."""
    left = [n]

    def guarded(write):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return write(*args, **kwargs)

        return call

    for name in WRITES:
        monkeypatch.setattr(house.registry, name, guarded(getattr(house.registry, name)))
    monkeypatch.setattr("cnn.promotion.log.append_promotion", guarded(promotions.append_promotion))


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
    assert kinds(house) == ["promoted", "promoted"]
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
    assert kinds(house) == ["promoted", "refused"]
    assert len(read_promotions(house.environment.home / LEDGER)) == 2
    assert house.registry.version(NAME, 2).tags["promotion"] == "refused"


@pytest.mark.parametrize("n", range(5))
def test_a_rollback_killed_at_any_write_has_happened_or_has_not(house, monkeypatch, n):
    house.reign(100, 300)
    with monkeypatch.context() as patch:
        dies_before(house, patch, n)
        with pytest.raises(Killed):
            house.rollback()
    standing = log_of(house).standing()
    # What was written down is done by whoever comes next; what was not has not happened.
    assert standing.champion.number == (2 if n == 0 else 1)
    assert [line["kind"] for line in standing.lines].count("rolled back") == int(n > 0)


# ---- two at once


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
    assert kinds(house) == ["promoted", "promoted", "refused"]
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
    assert (house.champion(), kinds(house)) == (3, ["promoted"] * 3)


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
    looks = [line["look"] for line in log_of(house).lines() if line["look"]]
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
    assert log_of(house).standing().champion.number == 3
    assert kinds(house) == ["promoted"] * 3


def test_an_alias_that_is_about_to_be_set_right_is_not_taken_for_a_move_by_hand(house, monkeypatch):
    house.reign(100, 200)
    house.registry.set_alias(house.registry.version(NAME, 1), CHAMPION)

    def overtaken_process_looks_again(seconds):
        house.registry.set_alias(house.registry.version(NAME, 2), CHAMPION)

    monkeypatch.setattr("cnn.promotion.log.time.sleep", overtaken_process_looks_again)
    # Only an alias that stays elsewhere was moved by a person.
    assert log_of(house).standing().champion.number == 2
    assert kinds(house) == ["promoted", "promoted"]


def test_a_refusal_in_between_does_not_turn_a_forced_promotion_away(house, tmp_path, monkeypatch):
    elsewhere = Gatehouse(tmp_path, house.registry, "elsewhere")
    house.reign(200)
    first, second = house.register(100), house.register(101)
    interleaved(house, lambda: elsewhere.promote(number=second.number), monkeypatch)
    # The champion is still the one it was decided over.
    assert house.promote(number=first.number, force="I like it").promoted
    assert kinds(house) == ["promoted", "refused", "forced"]


# ---- what others do to the registry


def test_an_alias_moved_in_mlflow_is_taken_as_it_is_and_noted(house):
    house.reign(100, 200)
    house.registry.set_alias(house.registry.version(NAME, 1), CHAMPION)
    house.register(399)
    verdict = house.promote()
    # Who stands in office is who the alias says.
    assert (verdict.promoted, verdict.champion) == (True, 1)
    assert kinds(house) == ["promoted", "promoted", "set by hand", "promoted"]


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


# ---- rollback and history


def test_rollback_goes_back_one_champion_after_another(house):
    house.reign(100, 200, 300)
    line = house.rollback(reason="it is slow")
    assert (line["challenger"], line["champion"], line["reason"]) == (2, 3, "it is slow")
    # Once more is one further, not forth again to what was left.
    assert house.rollback()["challenger"] == 1 == house.champion()
    with pytest.raises(ConfigError, match="received no champion before the present one"):
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
    assert kinds(house) == ["promoted", "promoted", "rolled back"]


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


# ---- force


def test_force_keeps_its_reason_and_the_rules_it_passed_over(house):
    house.reign(300)
    house.register(100)
    assert not house.promote().promoted
    verdict = house.promote(force="the old one is too large")
    assert (verdict.promoted, verdict.forced, house.champion()) == (True, "the old one is too large", 2)
    # The reason, what it passed over, and the figures of both.
    assert verdict.reason.startswith("forced: the old one is too large; past better, classes, calibration: not better")
    line = log_of(house).lines()[-1]
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
    assert kinds(house) == ["promoted", "promoted"]


def test_nothing_forces_a_forged_model(house, tmp_path):
    house.reign(100)
    house.register(300, gap=0.9)
    path = tmp_path / "registry" / NAME / "2" / "model.keras"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match=r"received model\.keras is not what was registered"):
        house.promote(force="I know what I do")
    # The attempt is in the history, the champion where it was.
    assert (kinds(house)[-1], house.champion()) == ("refused", 1)


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


# ---- looks at the test images


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

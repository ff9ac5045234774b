"""Notices: to whom, about what, once each, and what becomes of one that cannot be sent."""

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock  # noqa: TID251
from servers import webhook

from cnn.config.environment import Environment, Event
from cnn.errors import DataError
from cnn.promotion.ruling import Ruling
from cnn.promotion.verdict import Verdict
from flows import notices
from flows.stages import StageError

# apprise asks for a module that Python 3.13 has no more, and does without it
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


@pytest.fixture
def hook():
    """A local webhook as an address of apprise, and what it was sent."""
    with webhook() as (place, received):
        yield f"json://{place}", received


def test_a_notice_arrives_at_a_webhook(hook):
    address, received = hook
    assert notices.notify(Environment(notify=address), Event.NIGHT_FAILED, "the night failed", "no disk") == 1
    # Once, with its subject and its reason.
    (notice,) = received
    assert "the night failed" in notice["title"] and notice["message"] == "no disk"


def test_notices_are_off_by_default_and_can_be_chosen(hook):
    address, received = hook
    assert notices.notify(Environment(), Event.NIGHT_FAILED, "subject", "body") == 0
    chosen = Environment(notify=address, notify_about="champion-changed")
    assert notices.notify(chosen, Event.NIGHT_FAILED, "subject", "body") == 0
    assert notices.notify(chosen, Event.CHAMPION_CHANGED, "subject", "body") == 1
    # Only what was asked for.
    assert len(received) == 1


def test_a_notice_that_cannot_be_sent_is_a_warning_without_its_secret(caplog):
    notices.log.propagate = True
    environment = Environment(notify="json://anna:secret@127.0.0.1:9/hook")
    assert notices.notify(environment, Event.NIGHT_FAILED, "subject", "body") == 0
    # The night goes on; the address may hold a password.
    assert "no notice to json://" in caplog.text and "secret" not in caplog.text


@pytest.fixture
def kept(monkeypatch):
    """Blocks that Prefect keeps, by TYPE/NAME."""
    kept = {}
    monkeypatch.setattr(notices.Block, "load", kept.__getitem__)
    return kept


def test_a_notice_goes_through_a_block_of_prefect(hook, kept):
    address, received = hook
    said = {"text": "{{subject}}: {{body}}"}
    url = address.replace("json://", "http://")
    kept["custom-webhook/mine"] = CustomWebhookNotificationBlock(name="mine", url=url, json_data=said)
    environment = Environment(notify="custom-webhook/mine")
    assert notices.notify(environment, Event.NIGHT_FAILED, "the night failed", "no disk") == 1
    # In the words that the block was given.
    assert received == [{"text": "cnn-overnight: the night failed: no disk"}]


def test_what_a_webhook_answers_does_not_show_its_address(hook, kept, caplog):
    notices.log.propagate = True
    url = hook[0].replace("json://", "http://").replace("/hook", "/services/secret")
    kept["custom-webhook/mine"] = CustomWebhookNotificationBlock(name="mine", url=url, json_data={})
    assert notices.notify(Environment(notify="custom-webhook/mine"), Event.NIGHT_FAILED, "subject", "body") == 0
    # Why, and by which block; the address of a webhook is its password.
    assert "no notice to custom-webhook/mine: " in caplog.text and "404" in caplog.text
    assert "secret" not in caplog.text


def test_each_event_is_told_as_what_it_is(hook):
    address, received = hook
    environment = Environment(notify=address)
    gap = Ruling(rule="gap", passed=False, sentence="the overfitting gap is 0.3000, above 0.2")
    notices.about(Verdict(promoted=True, reason="better", challenger=2, champion=1), "digits", environment)
    notices.about(Verdict(promoted=False, reason="gap", challenger=3, champion=2, rules=(gap,)), "digits", environment)
    for error in (StageError("prepare", 2, "labels.csv: no such class"), StageError("train", 1, "no memory")):
        with pytest.raises(StageError), notices.failures_noticed(environment):
            raise error
    # Four events, each with what a person needs to know of it.
    assert [notice["title"].removeprefix("cnn-overnight: ") for notice in received] == [
        "the champion has changed",
        "the successor's gap is too wide",
        "the data check failed",
        "the night failed",
    ]
    assert [notice["message"] for notice in received][1:] == [gap.sentence, "labels.csv: no such class", "no memory"]


def test_a_night_that_its_data_end_is_told_of_once(hook):
    address, received = hook
    with pytest.raises(DataError), notices.failures_noticed(Environment(notify=address)):
        raise DataError("data check", received="fewer images", expected="more", change="mend the data")
    # The check itself has told of it.
    assert received == []

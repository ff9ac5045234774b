"""Notices by Prefect's notification blocks: mail, Slack, a webhook; off unless `CNN_NOTIFY` names one.

A notice that cannot be sent is a warning: the night matters more.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.blocks.abstract import NotificationBlock  # noqa: TID251
from prefect.blocks.core import Block  # noqa: TID251
from prefect.blocks.notifications import AppriseNotificationBlock  # noqa: TID251
from pydantic import SecretStr  # noqa: TID251

from cnn.config.environment import Environment, Event
from cnn.errors import DataError
from cnn.promotion.ruling import failed
from cnn.promotion.verdict import Verdict
from flows.stages import StageError

log = logging.getLogger(__name__)

_PREPARE_MISTAKE = 2


def notify(environment: Environment, event: Event, subject: str, body: str) -> int:
    """Send a notice to everybody who wants one about such an event; how many took it."""
    about = environment.notify_about.split() or [*Event]
    if event not in about:
        return 0
    sent = 0
    for word in environment.notify.split():
        try:
            block = _block(word)
            with block.raise_on_failure():
                block.notify(body=body, subject=f"cnn-overnight: {subject}")  # type: ignore[unused-coroutine]
            sent += 1
        except Exception as error:  # whatever a mail server or a webhook has against it
            log.warning("no notice to %s: %s", _shown(word), _shown(str(error)) or type(error).__name__)
    return sent


def about(verdict: Verdict, name: str, environment: Environment) -> None:
    """Tells of a champion that has changed, and of a successor that its overfitting gap has held back."""
    sentence = f"{name} {verdict.sentence()}"
    if verdict.promoted:
        notify(environment, Event.CHAMPION_CHANGED, "the champion has changed", sentence)
    for ruling in failed(verdict.rules):
        if ruling.rule == "gap":
            notify(environment, Event.GAP_TOO_WIDE, "the successor's gap is too wide", ruling.sentence)


def _block(word: str) -> NotificationBlock:
    if "://" in word:
        return AppriseNotificationBlock(url=SecretStr(word))
    block = Block.load(word)
    if not isinstance(block, NotificationBlock):
        raise TypeError(f"{word} is no notification block")
    return block


def _shown(text: str) -> str:
    """A text as it may be shown: an address of apprise or of a webhook is a secret as a whole, but for its kind.

    Example:
        >>> _shown("404 for url 'https://hooks.example/T0/SECRET'"), _shown("custom-webhook/mine")
        ("404 for url 'https://…", 'custom-webhook/mine')
    """
    return re.sub(r"://\S+", "://…", text)


@contextmanager
def failures_noticed(environment: Environment) -> Iterator[None]:
    """Tells of a night that fails; what Ctrl-C or SIGTERM ends does not fail."""
    try:
        yield
    except (DataError, httpx.TransportError):
        raise  # the data check has told of it; a night that lost Prefect is started again
    except Exception as error:
        reason = error.reason if isinstance(error, StageError) else str(error) or type(error).__name__
        if _is_about_data(error):
            notify(environment, Event.DATA_CHECK_FAILED, "the data check failed", reason)
        else:
            notify(environment, Event.NIGHT_FAILED, "the night failed", reason)
        raise


def _is_about_data(error: Exception) -> bool:
    """Whether the images or their labels are to blame, as `cnn prepare` has said."""
    return isinstance(error, StageError) and error.code == _PREPARE_MISTAKE and error.stage == "prepare"

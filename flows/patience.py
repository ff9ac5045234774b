"""Prefect while it is being started anew: what is to be said to it waits."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

T = TypeVar("T")

_PATIENCE_S, _PAUSE_S = 180.0, 1.0


def outlasting(say: Callable[[], T], *, patience_s: float = _PATIENCE_S) -> T:
    """What Prefect answers, asked again while it is not there: a client that was never connected asks only once.

    Raises:
        httpx.TransportError: It does not come back.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return say()
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)

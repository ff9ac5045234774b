"""Delivery is in order, patient, and stopped by nothing but its owner."""

import threading
import time
from contextlib import closing

import pytest

from cnn.tracking.delivery import Delivery, Refused, UnknownRun
from cnn.tracking.spool import Kind, Spool

HERE = "memory://here"


class Server:
    """A backend that notes what it takes, and can be away, forgetful or refusing."""

    def __init__(self):
        self.taken, self.known = [], set()
        self.away = threading.Event()
        self.refuses = None
        self.parents = {}

    def deliver(self, run, events):
        if self.away.is_set():
            raise ConnectionError("nobody there")
        if events[0].kind is Kind.START:
            parent = self.parents.get(run, run)
            if parent not in self.known | {run}:
                raise UnknownRun(parent)
            self.known.add(run)
        elif run not in self.known:
            raise UnknownRun(run)
        if any(event.body == self.refuses for event in events):
            raise Refused("never")
        self.taken += [(run, event.kind, event.body) for event in events]


@pytest.fixture
def spool(tmp_path):
    with closing(Spool(tmp_path)) as spool:
        yield spool


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def delivery(spool, server):
    delivery = Delivery(spool, HERE, lambda: server)
    yield delivery
    assert delivery.close()


def say(spool, run, step):
    spool.append(HERE, run, Kind.FIGURES, {"step": step})


# Each run's events arrive once, in the order they were said; a run's start before its figures.
def test_order_is_kept(spool, server, delivery):
    for run in ("a", "b"):
        spool.append(HERE, run, Kind.START, {})
    for step in range(20):
        say(spool, "ab"[step % 2], step)
    assert delivery.flush(10.0)
    for run, first in (("a", 0), ("b", 1)):
        steps = [body.get("step") for taker, _, body in server.taken if taker == run]
        assert steps == [None, *range(first, 20, 2)]


# While the server is away all waits and it is said once; when it is back all arrives.
def test_an_absent_server_is_waited_for(spool, server, delivery, caplog):
    server.away.set()
    spool.append(HERE, "a", Kind.START, {})
    say(spool, "a", 0)
    assert not delivery.flush(1.0)
    assert spool.n_waiting(HERE) == 2
    server.away.clear()
    assert delivery.flush(10.0)
    assert len(server.taken) == 2
    assert caplog.text.count("delivered later") == 1
    assert "nobody there" in caplog.text


# What is logged names the address without its password, also where an error or a refusal quotes it.
def test_no_password_is_logged(tmp_path, caplog):
    class Quoting(Server):
        def deliver(self, run, events):
            if self.away.is_set():
                raise ConnectionError(f"{'x' * 150} {address} is away")  # its line is cut within the password
            raise Refused(f"{address} says no")

    address, server = "http://me:secret@host:5000", Quoting()
    server.away.set()
    with closing(Spool(tmp_path)) as spool:
        delivery = Delivery(spool, address, lambda: server)
        spool.append(address, "a", Kind.START, {})
        assert not delivery.flush(1.0)
        server.away.clear()
        assert delivery.flush(10.0)
        assert delivery.close()
    # All three lines name it.
    assert caplog.text.count("http://host:5000") == 4
    assert "secret" not in caplog.text


# One event that the server never takes is set aside and named; those around it arrive.
def test_a_refused_event_holds_nobody_up(spool, server, delivery, caplog):
    server.refuses = {"step": 1}
    spool.append(HERE, "a", Kind.START, {})
    for step in range(3):
        say(spool, "a", step)
    assert delivery.flush(10.0)
    assert [body for _, kind, body in server.taken if kind is Kind.FIGURES] == [{"step": 0}, {"step": 2}]
    assert "refused: never" in caplog.text


# A server that lost a run, as after a new database, is told its start again.
def test_a_forgotten_run_is_begun_again(spool, server, delivery):
    spool.append(HERE, "a", Kind.START, {"name": "one"})
    assert delivery.flush(10.0)
    server.known.clear()
    say(spool, "a", 0)
    assert delivery.flush(10.0)
    assert [kind for _, kind, _ in server.taken] == [Kind.START, Kind.START, Kind.FIGURES]


# A server that lost a run and those above it is told all their starts, from the top.
def test_forgotten_parents_are_begun_first(spool, server, delivery):
    server.parents = {"s/0": "s", "s/0/1": "s/0"}
    for run in ("s", "s/0", "s/0/1"):
        spool.append(HERE, run, Kind.START, {})
    assert delivery.flush(10.0)
    server.known.clear()
    server.taken.clear()
    say(spool, "s/0/1", 0)
    assert delivery.flush(10.0)
    assert [(run, kind) for run, kind, _ in server.taken] == [
        ("s", Kind.START), ("s/0", Kind.START), ("s/0/1", Kind.START), ("s/0/1", Kind.FIGURES)
    ]  # fmt: skip


# A run that nobody can begin holds only its own words up: they are set aside and named, others arrive.
def test_a_run_nobody_began_holds_nobody_up(spool, server, delivery, caplog):
    say(spool, "lost", 0)
    spool.append(HERE, "a", Kind.START, {})
    assert delivery.flush(10.0)
    assert [run for run, _, _ in server.taken] == ["a"]
    assert "run lost was never started" in caplog.text


# Two trackers on one spool: what either says arrives, and once.
def test_two_deliveries_on_one_spool(spool, server, delivery):
    second = Delivery(spool, HERE, lambda: server)
    spool.append(HERE, "a", Kind.START, {})
    for step in range(10):
        say(spool, "a", step)
    assert second.flush(10.0)
    assert len(server.taken) == 11
    assert second.close()


# Closing does not wait for a server that is away, and the next delivery goes on.
def test_closing_is_quick_and_loses_nothing(spool, server):
    server.away.set()
    first = Delivery(spool, HERE, lambda: server)
    spool.append(HERE, "a", Kind.START, {})
    begun = time.monotonic()
    assert first.close()
    assert time.monotonic() - begun < 5.0
    server.away.clear()
    second = Delivery(spool, HERE, lambda: server)
    assert second.flush(10.0)
    assert second.close()

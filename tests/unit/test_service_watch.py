"""Which nights are made up for, which are started again, and which are left alone."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, StateType  # noqa: TID251
from prefect.states import AwaitingConcurrencySlot, Cancelled, Completed, Crashed, Scheduled  # noqa: TID251

from cnn.config.environment import Environment
from cnn.nights import Nights
from cnn.service.plans import POOL
from flows import watch
from flows.runs import NIGHTLY, runs

NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


# ---- missed nights


def run(*, hours_ago=0.0, offered_hours_ago=0.0, state=None, tags=(), by_schedule=True, **parameters):
    return FlowRun(
        flow_id=uuid4(),
        name=f"{hours_ago} hours ago",
        expected_start_time=NOW - timedelta(hours=hours_ago),
        auto_scheduled=by_schedule,
        next_scheduled_start_time=NOW - timedelta(hours=offered_hours_ago if state else hours_ago),
        state=state or Scheduled(scheduled_time=NOW - timedelta(hours=hours_ago)),
        tags=list(tags),
        parameters=parameters,
    )


def dropped(*runs):
    return [found.name for found, _ in watch.missed(runs, NOW)]


def test_of_several_missed_nights_the_last_one_runs():
    # Wednesday's makes up for Monday's and Tuesday's too.
    assert dropped(run(hours_ago=6), run(hours_ago=30), run(hours_ago=54)) == ["30 hours ago", "54 hours ago"]


def test_a_missed_night_that_is_too_old_does_not_run():
    # 12 hours, unless its own parameter says otherwise.
    assert dropped(run(hours_ago=13)) == ["13 hours ago"]
    assert dropped(run(hours_ago=11)) == []
    assert dropped(run(hours_ago=13, missed_within_hours=24)) == []
    assert dropped(run(hours_ago=1, missed_within_hours=0)) == ["1 hours ago"]


def test_what_was_not_missed_is_left_alone():
    # Due this moment; started by a person; waiting for the night under way, in which case it was taken in time.
    waiting = AwaitingConcurrencySlot(scheduled_time=NOW)
    assert dropped(run(), run(hours_ago=20, by_schedule=False), run(hours_ago=20, state=waiting)) == []


def test_a_night_that_waited_for_its_turn_when_the_machine_went_down_was_missed():
    # Nobody has offered it for a day.
    waiting = run(hours_ago=26, offered_hours_ago=24, state=AwaitingConcurrencySlot(scheduled_time=NOW))
    assert dropped(waiting, run(hours_ago=1)) == ["26 hours ago"]


# ---- crashed nights


def crashed(hours_ago, **values):
    state = Crashed()
    state.timestamp = NOW - timedelta(hours=hours_ago)
    return run(state=state, **values)


def test_a_crashed_night_is_resumed_within_its_bound():
    assert watch.is_to_be_resumed(crashed(1), NOW)
    # Not when the next night is nearer than the last one.
    assert not watch.is_to_be_resumed(crashed(13), NOW)
    # Not when it was given up after so many times.
    assert not watch.is_to_be_resumed(crashed(1, tags=[watch.GIVEN_UP]), NOW)


@pytest.mark.parametrize("state", [Completed(), Cancelled(), Scheduled()])
def test_what_did_not_crash_is_not_resumed(state):
    # Least of all what a person has cancelled.
    assert not watch.is_to_be_resumed(run(state=state), NOW)


class Server:
    """Prefect's server as far as a watch asks it: runs, the latest first, a page at a time."""

    def __init__(self, *known):
        self.known, self.started, self.asked = list(known), [], []

    def read_flow_runs(self, *, flow_run_filter, limit, offset, **_):
        wanted = flow_run_filter.state.type.any_
        self.asked.append(limit)
        return [one for one in self.known if one.state.type in wanted][offset : offset + limit]

    def create_flow_run_from_deployment(self, deployment, *, tags, **_):
        self.started.append(tags)


def resumed(server, home):
    """What a watch does about the latest night."""
    list(watch.Watch(Environment(home=home))._resume(server, POOL))
    return server.started


def just_crashed(**values):
    return run(state=Crashed(), **values).model_copy(update={"deployment_id": uuid4()})


def test_a_night_that_was_asked_to_end_is_started_again_without_counting_as_dead(tmp_path):
    # The second start of one that has died once.
    assert resumed(Server(just_crashed(tags=["home-1", "resumed-1"])), tmp_path) == [["home-1", "resumed-2"]]
    # `cnn down` is no death, however often a person says it.
    asked = just_crashed(tags=["home-1", "resumed-1", watch.ASKED], resumes=1)
    assert resumed(Server(asked), tmp_path) == [["home-1", "resumed-1"]]


def test_a_night_that_came_to_its_end_is_not_begun_anew(tmp_path):
    nights = Nights(tmp_path / "nights")
    night = nights.open(tmp_path, "settings")
    crash = just_crashed().model_copy(update={"name": night.name})
    assert len(resumed(Server(crash), tmp_path)) == 1
    nights.write(night, finished=True)
    # Its run could not say so: the server was away, or somebody has gone on with it by hand.
    assert resumed(Server(crash), tmp_path) == []


def test_all_runs_are_seen_however_many_there_are():
    server = Server(*(run(hours_ago=hours) for hours in range(1, 451)))
    # More than the server gives at once: the latest alone runs, and all others are dropped.
    assert len(watch.missed(runs(server, POOL, {StateType.SCHEDULED}, deployment=NIGHTLY), NOW)) == 449
    server.asked.clear()
    # Whoever wants the latest asks for no other.
    next(runs(server, POOL, {StateType.SCHEDULED}, page=1))
    assert server.asked == [1]

"""What the deployments are, which nights are made up for and which are started again, the time limit, and notices."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun  # noqa: TID251
from prefect.states import AwaitingConcurrencySlot, Cancelled, Completed, Crashed, Scheduled  # noqa: TID251
from ruamel.yaml import YAML

from cnn.config.environment import Environment, Event, read_environment
from cnn.errors import ConfigError
from cnn.promotion.ruling import Ruling
from cnn.promotion.verdict import Verdict
from cnn.service import plans
from flows import deployments, nightly, notices, scheduled, watch
from flows.stages import StageError

# apprise asks for a module that Python 3.13 has no more, and does without it
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 24, 9, tzinfo=UTC)


# ---- the deployments


@pytest.fixture(scope="module")
def shipped():
    return {deployment.name: deployment for deployment in deployments.deployments(ROOT / "infra/prefect.yaml")}


def test_every_deployment_can_be_imported_and_has_a_form(shipped):
    for name, deployment in shipped.items():
        # Each is a flow of its own name, with typed parameters, in our pool.
        assert deployment.flow_name == name
        assert deployment.work_pool_name == plans.POOL
        assert all("type" in field or "anyOf" in field for field in properties(deployment).values())


def properties(deployment):
    return deployment._parameter_openapi_schema.properties


def test_the_night_runs_on_schedule_one_at_a_time(shipped):
    night = shipped["nightly"]
    (schedule,) = night.schedules
    # A cron with a time zone, and a limit of one.
    assert schedule.schedule.cron and schedule.schedule.timezone
    assert (night.concurrency_limit, night.concurrency_options.collision_strategy.value) == (1, "ENQUEUE")
    # The parameters of the file are those of the flow: a word that it does not know is a mistake of ours.
    assert set(night.parameters) == set(properties(night))


def test_nights_run_in_the_folder_of_the_deployment(monkeypatch):
    monkeypatch.setenv("PWD", "/some/checkout")
    (night, *_) = deployments.deployments(ROOT / "infra/prefect.yaml")
    assert night.job_variables["working_dir"] == "/some/checkout"


def test_homes_that_share_a_prefect_have_pools_and_deployments_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:4200/api")
    homes = [Environment(home=tmp_path / name) for name in ("a", "b")]
    named = [
        {(deployment.name, deployment.work_pool_name) for deployment in deployed}
        for deployed in (deployments.deployments(ROOT / "infra/prefect.yaml", plans.work_pool(home)) for home in homes)
    ]
    # None of the one is taken for one of the other: no worker ends, resumes or overwrites what runs elsewhere.
    assert not named[0] & named[1] and len(named[0]) == len(named[1]) == 4
    # Each bears its home's id, in the pool as in the name.
    assert (f"nightly@{homes[0].home_id()}", f"{plans.POOL}@{homes[0].home_id()}") in named[0]


@pytest.mark.parametrize("change", [{"entrypoint": "flows.nope.nightly"}, {"schedules": [{"cron": "every night"}]}])
def test_a_wrong_deployment_is_one_line(tmp_path, change):
    document = YAML(typ="safe", pure=True).load((ROOT / "infra/prefect.yaml").read_text())
    document["deployments"][0] |= change
    with (tmp_path / "prefect.yaml").open("w") as file:
        YAML().dump(document, file)
    # It names the file.
    with pytest.raises(ConfigError, match=r"prefect\.yaml"):
        deployments.deployments(tmp_path / "prefect.yaml")


# ---- missed nights


def run(*, hours_ago=0.0, state=None, tags=(), by_schedule=True, **parameters):
    return FlowRun(
        flow_id=uuid4(),
        name=f"{hours_ago} hours ago",
        expected_start_time=NOW - timedelta(hours=hours_ago),
        auto_scheduled=by_schedule,
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


# ---- the time limit


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CNN_NIGHT", "")
    monkeypatch.setattr(scheduled, "_waits", lambda: True)
    monkeypatch.setattr(scheduled, "_name_run", lambda night, environment: None)


def test_a_night_that_takes_too_long_is_ended(checkout, monkeypatch):
    monkeypatch.setattr(nightly.nightly, "fn", lambda night: time.sleep(60))
    began = time.monotonic()
    with pytest.raises(scheduled.NightTooLong):
        scheduled.nightly.fn(time_limit_hours=1 / 3600)
    # In the middle of what it does, long before that would have ended.
    assert time.monotonic() - began < 30


def test_a_night_within_its_limit_ends_by_itself(checkout, monkeypatch):
    done = []
    monkeypatch.setattr(nightly.nightly, "fn", done.append)
    scheduled.nightly.fn(["train.epochs=7"])
    # It ran under its own name, with its settings written down.
    assert len(done) == 1 and "epochs: 7" in Path("params.yaml").read_text()


# ---- notices


@pytest.fixture
def webhook():
    """A local webhook: where it listens, and what it was sent."""
    received = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Webhook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/hook", received
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_notice_arrives_at_a_webhook(webhook):
    address, received = webhook
    assert notices.notify(Environment(notify=address), Event.NIGHT_FAILED, "the night failed", "no disk") == 1
    # Once, with its subject and its reason.
    (notice,) = received
    assert "the night failed" in notice["title"] and notice["message"] == "no disk"


def test_notices_are_off_by_default_and_can_be_chosen(webhook):
    address, received = webhook
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


def test_each_event_is_told_as_what_it_is(webhook):
    address, received = webhook
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


@pytest.mark.parametrize(
    ("name", "value"), [("CNN_PREFECT_PORT", "70000"), ("CNN_MLFLOW_PORT", "x"), ("CNN_NOTIFY_ABOUT", "everything")]
)
def test_a_wrong_setting_names_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        read_environment()

"""Nights that nobody starts: by their schedule, made up for, one at a time, and given up in the end."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from served import serving, wait_for
from servers import rows_of, webhook

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(3000)]

SEARCH = {
    "engine": "random",
    "budget": {"trials": 1, "minutes": None, "cpu_minutes": None, "epochs": 1},
    "finalists": 1,
    "finalist_seeds": 0,
    "remedies": "off",
    "workers": 1,
}
BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
said = {"title": "{{subject}}", "message": "{{body}}"}
CustomWebhookNotificationBlock(name="hook", url=sys.argv[1], json_data=said).save("hook")
"""
DUE = "UPDATE flow_run SET expected_start_time = ?, next_scheduled_start_time = ? WHERE id = ?"
DUE_BY_ITS_STATE = (
    "UPDATE flow_run_state SET state_details = json_set(state_details, '$.scheduled_time', ?)"
    " WHERE id = (SELECT state_id FROM flow_run WHERE id = ?)"
)


@pytest.fixture(scope="module")
def hook():
    with webhook() as made:
        yield made


@pytest.fixture(scope="module")
def service(new_project, tmp_path_factory, hook):
    """With its nights at three moments of a day far ahead, and notices through a block of Prefect."""
    folder = tmp_path_factory.mktemp("schedule")
    project = new_project(folder / "project", folder / "home", SEARCH)
    with serving(project, deployed={"cron": '"0 1 1 1 *"'}, CNN_NOTIFY="custom-webhook/hook") as service:
        settings = project.settings(PREFECT_API_URL=service.api, PREFECT_HOME=str(project.home / "prefect"))
        subprocess.run([sys.executable, "-c", BLOCK, f"http://{hook[0]}"], env=settings, check=True)
        yield service


def ended(service, *runs):
    """How flow runs stand, once they have ended."""
    open_states = ("SCHEDULED", "PENDING", "RUNNING")
    wait_for(lambda: all(service.state(run) not in open_states for run in runs), "they did not end")
    return [service.state(run) for run in runs]


def scheduled(service):
    """Flow runs that the schedule has made, the next one first."""
    query = "SELECT id FROM flow_run WHERE auto_scheduled AND state_type = 'SCHEDULED' ORDER BY expected_start_time"
    return [run for (run,) in rows_of(service.prefect_db, query)]


def test_a_night_starts_by_its_schedule(service, hook):
    before = len(service.nights())
    # a minute ahead, and what the machine may take to deploy it: less than to start everything
    moment = datetime.now(UTC) + timedelta(seconds=120 + service.deployed_in_s)
    service.deploy(cron=f'"{moment:%M %H} * * *"')
    wait_for(lambda: scheduled(service), "nothing was scheduled")
    run = scheduled(service)[0]
    assert ended(service, run) == ["COMPLETED"]
    # It began when it was due, to a moment, under the name of its night, which came to its end with a version.
    said = service.flow_run(run)
    late = datetime.fromisoformat(said["start_time"]) - datetime.fromisoformat(said["expected_start_time"])
    assert timedelta(seconds=-10) <= late < timedelta(minutes=10)
    (night,) = service.nights()[before:]
    assert said["name"] == night.name and night.finished and night.version
    # The first champion was told of, once, by the block.
    assert [notice["title"] for notice in hook[1]] == ["cnn-overnight: the champion has changed"]


def test_of_nights_missed_while_the_service_was_down_the_last_one_runs_once(service):
    service.deploy(cron='"0 1 * * *"')
    wait_for(lambda: len(scheduled(service)) >= 3, "nothing was scheduled")
    code, said = service.run("down")
    assert code == 0, said
    missed, before = scheduled(service)[:3], len(service.nights())
    with closing(sqlite3.connect(service.prefect_db)) as db, db:
        # As if they had been due two days ago, a day ago and an hour ago.
        for run, hours in zip(missed, (49, 25, 1), strict=True):
            due = datetime.now(UTC) - timedelta(hours=hours)
            at = f"{due:%Y-%m-%d %H:%M:%S.%f}"
            db.execute(DUE, (at, at, run))
            db.execute(DUE_BY_ITS_STATE, (due.isoformat(), run))
    code, said = service.run("up")
    assert code == 0, said
    assert ended(service, *missed) == ["CANCELLED", "CANCELLED", "COMPLETED"]
    # Those that were dropped say why.
    assert all("missed" in service.flow_run(run)["state"]["message"] for run in missed[:2])
    assert len(service.nights()) == before + 1


def test_a_second_night_waits_for_the_first(service):
    first = service.start_night()
    wait_for(lambda: service.state(first) == "RUNNING", "no night began")
    second = service.start_night()
    wait_for(lambda: service.flow_run(second)["state_name"] == "AwaitingConcurrencySlot", "it did not wait")
    assert ended(service, first, second) == ["COMPLETED", "COMPLETED"]
    # One after the other.
    assert service.flow_run(second)["start_time"] >= service.flow_run(first)["end_time"]


def test_a_second_night_is_skipped_where_that_is_set(service, hook):
    service.deploy(collision_strategy="CANCEL_NEW")
    hook[1].clear()
    before = len(service.nights())
    first = service.start_night()
    wait_for(lambda: service.state(first) == "RUNNING", "no night began")
    second = service.start_night()
    assert ended(service, first, second) == ["COMPLETED", "CANCELLED"]
    # That is no failure that anybody is told of.
    assert len(service.nights()) == before + 1
    assert not any("failed" in notice["title"] for notice in hook[1])


def test_a_night_whose_process_dies_again_and_again_is_given_up_and_told_of(service, hook):
    hook[1].clear()
    # What the fourth start of a night leaves that has died each time.
    run = service.start_night(state="CRASHED", tags=("resumed-3",))
    wait_for(lambda: "given-up" in service.flow_run(run)["tags"], "it was not given up")
    wait_for(lambda: hook[1], "nobody was told")
    # Once, through the block, and no further start was made.
    (notice,) = hook[1]
    assert notice["title"] == "cnn-overnight: the night failed" and "died 4 times" in notice["message"]
    query = "SELECT COUNT(*) FROM flow_run WHERE state_type IN ('PENDING', 'RUNNING')"
    assert rows_of(service.prefect_db, query) == [(0,)]


def test_a_deployment_that_the_file_names_no_longer_is_removed(service):
    file = service.project.folder / "infra/prefect.yaml"
    whole = file.read_text()
    file.write_text(whole[: whole.index("  - name: data-check")])
    code, said = service.run("up")
    # A person sees it, and Prefect starts nothing of that name any more.
    assert code == 0 and "deployment data-check is removed" in said, said
    assert {found["name"] for found in service.ask("/deployments/filter")} == {"nightly", "promote", "reproduce"}

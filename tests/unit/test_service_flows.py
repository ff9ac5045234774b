"""What the deployments are, the time limit of a night, a night without Prefect, and one that waits or is skipped."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from ruamel.yaml import YAML

from cnn.config.environment import Environment, read_environment
from cnn.errors import ConfigError
from cnn.nights import Nights
from cnn.service import plans
from flows import __main__ as commands
from flows import deployments, nightly, notices, scheduled
from flows.patience import outlasting
from flows.stages import NightTooLong

ROOT = Path(__file__).resolve().parents[2]


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


def test_what_the_file_names_no_longer_is_removed_from_its_own_pool(monkeypatch, caplog):
    there = [SimpleNamespace(id=name, name=f"{name}@a") for name in ("nightly", "weekly")]
    asked, removed, applied = [], [], []

    def read_deployments(*, work_pool_filter, limit, sort):  # both are needed: the server takes no null for them
        asked.append(work_pool_filter.name.any_)
        return there if limit and sort else []

    client = SimpleNamespace(
        create_work_pool=lambda pool: None, read_deployments=read_deployments, delete_deployment=removed.append
    )
    monkeypatch.setattr(deployments, "get_client", lambda **_: nullcontext(client))
    monkeypatch.setattr(deployments.RunnerDeployment, "apply", lambda deployment: applied.append(deployment.name))
    assert deployments.deploy(ROOT / "infra/prefect.yaml", f"{plans.POOL}@a") == 0
    # A weekly night of an earlier file would go on by its schedule; what other homes have is not asked for.
    assert removed == ["weekly"] and "weekly@a is removed" in caplog.text
    assert asked == [[f"{plans.POOL}@a"]] and "nightly@a" in applied


@pytest.mark.parametrize("change", [{"entrypoint": "flows.nope.nightly"}, {"schedules": [{"cron": "every night"}]}])
def test_a_wrong_deployment_is_one_line(tmp_path, change):
    document = YAML(typ="safe", pure=True).load((ROOT / "infra/prefect.yaml").read_text())
    document["deployments"][0] |= change
    with (tmp_path / "prefect.yaml").open("w") as file:
        YAML().dump(document, file)
    # It names the file.
    with pytest.raises(ConfigError, match=r"prefect\.yaml"):
        deployments.deployments(tmp_path / "prefect.yaml")


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
    with pytest.raises(NightTooLong):
        scheduled.nightly.fn(time_limit_hours=1 / 3600)
    # In the middle of what it does, long before that would have ended.
    assert time.monotonic() - began < 30


def test_the_limit_is_not_taken_for_a_file_that_cannot_be_read(checkout, monkeypatch):
    def read(*_, **__):
        time.sleep(60)

    monkeypatch.setattr(Path, "read_text", read)
    # Wherever it comes, the night says what it was.
    with pytest.raises(NightTooLong):
        scheduled.nightly.fn(time_limit_hours=1 / 3600)


def test_a_night_within_its_limit_ends_by_itself(checkout, monkeypatch):
    done = []
    monkeypatch.setattr(nightly.nightly, "fn", done.append)
    scheduled.nightly.fn(["train.epochs=7"])
    # It ran under its own name, with its settings written down.
    assert len(done) == 1 and "epochs: 7" in Path("params.yaml").read_text()


# ---- Prefect away


def test_a_night_that_lost_prefect_has_crashed_and_not_failed(checkout, monkeypatch):
    def lost(night):
        raise httpx.ConnectError("refused")

    told = []
    monkeypatch.setattr(nightly.nightly, "fn", lost)
    monkeypatch.setattr(notices, "notify", lambda *words: told.append(words))
    # So the worker starts it again where it was; nobody has to do anything.
    assert scheduled.nightly.fn().is_crashed() and told == []


def test_what_is_to_be_said_to_prefect_waits_until_it_is_there():
    answers = iter([httpx.ConnectError("refused"), httpx.ReadError("reset"), "heard"])

    def say():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert outlasting(say) == "heard"
    answers = iter([httpx.ConnectError("refused"), "too late"])
    # Not for ever.
    with pytest.raises(httpx.ConnectError):
        outlasting(say, patience_s=0.0)


# ---- one night at a time


@pytest.mark.parametrize("waits", [True, False])
def test_beside_a_night_by_hand_the_next_waits_or_is_skipped_as_set(checkout, monkeypatch, waits):
    done = []
    monkeypatch.setattr(scheduled, "_waits", lambda: waits)
    monkeypatch.setattr(nightly.nightly, "fn", done.append)
    nights = Nights(read_environment().home / "nights")
    with nights.in_checkout(Path.cwd()):
        if waits:
            # It waits as long as it may take itself.
            with pytest.raises(NightTooLong):
                scheduled.nightly.fn(time_limit_hours=1 / 3600)
        else:
            # Its run is shown as what it is, and nobody is told of a failure.
            assert scheduled.nightly.fn().is_cancelled()
    assert done == []
    # Alone it runs.
    assert scheduled.nightly.fn() is None and len(done) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("CNN_PREFECT_PORT", "70000"), ("CNN_MLFLOW_PORT", "x"), ("CNN_NOTIFY_ABOUT", "everything")]
)
def test_a_wrong_setting_names_its_variable(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        read_environment()


def test_a_prefect_server_that_does_not_start_in_time_is_one_line(monkeypatch, capsys, tmp_path):
    def too_slow(words):
        raise RuntimeError("Timed out while attempting to connect to ephemeral Prefect API server.")

    monkeypatch.setenv("CNN_HOME", str(tmp_path))
    monkeypatch.setitem(commands._FLOWS, "nightly", too_slow)
    monkeypatch.setattr(sys, "argv", ["flows", "nightly"])
    for name in ("PREFECT_HOME", commands._START_SETTING, "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"):
        monkeypatch.setenv(name, "60")  # what is set here is taken back afterwards
    assert commands.main() == 2
    assert capsys.readouterr().err == (
        "cnn: Prefect's server: received no answer; expected one of its own within 60 s; end what keeps this machine "
        "busy, or raise PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS\n"
    )

"""What the service starts: nothing that runs elsewhere, in the pool of its home, and no password in a command line."""

import os
import subprocess

import pytest
from servers import free_port

from cnn.config.environment import Environment
from cnn.service import plans

SECRET = "postgresql://me:secret@127.0.0.1:1"


@pytest.fixture(autouse=True)
def no_prefect_elsewhere(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


def test_what_runs_elsewhere_is_not_started(tmp_path, monkeypatch):
    here = plans.service_plans(Environment(home=tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere:4200/api")
    rest = plans.service_plans(Environment(home=tmp_path, tracking_uri="http://elsewhere:5000"))
    assert [plan.name for plan in here] == [plans.MLFLOW, plans.PREFECT, plans.OPTUNA, plans.WORKER]
    # Nobody waits for a server that this machine does not start.
    assert [(plan.name, plan.needs) for plan in rest] == [(plans.OPTUNA, ()), (plans.WORKER, [])]


def test_what_the_service_starts_has_the_pool_of_the_service(tmp_path, monkeypatch):
    environment = Environment(home=tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for name, value in plans.prefect_settings(environment).items():
        monkeypatch.setenv(name, value)
    # Though it knows the service's own Prefect by its address, as one elsewhere.
    assert plans.work_pool(environment) == plans.POOL


def test_no_password_stands_in_a_command_line(tmp_path):
    environment = Environment(home=tmp_path, tracking_uri=f"{SECRET}/mlflow", study_storage=f"{SECRET}/optuna")
    for plan in plans.service_plans(environment):
        assert "secret" not in " ".join(plan.command)


def test_optuna_dashboard_takes_its_storage_from_its_environment(tmp_path):
    environment = Environment(home=tmp_path, study_storage="postgresql+none://me:secret@127.0.0.1:1/optuna")
    plan = plans.optuna_plan(environment, tmp_path, port=free_port(), change="")
    answer = subprocess.run(plan.command, env=os.environ | plan.settings, capture_output=True, text=True, check=False)
    # It is this storage's driver that it finds missing.
    assert "NoSuchModuleError" in answer.stderr and "postgresql.none" in answer.stderr

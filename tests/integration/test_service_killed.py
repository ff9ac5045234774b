"""The service with all its servers: a night survives kill -9 of its own process and of each part, one at a time."""

import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests
from servers import free_port, rows_of

from cnn.nights import Nights
from cnn.search.ledger import Ledger
from cnn.service import ports
from cnn.service.state import is_night, last_state, marked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
SEARCH = {
    "engine": "optuna",
    "pruner": "none",
    "budget": {"trials": 4, "minutes": None, "cpu_minutes": None, "epochs": 12},
    "finalists": 1,
    "finalist_seeds": 0,
    "remedies": "off",
    "workers": 1,
}
PATIENCE_S = 600


class Service:
    """A checkout whose nights a service runs, on ports of its own."""

    def __init__(self, project):
        self.project = project
        names = ("CNN_MLFLOW_PORT", "CNN_PREFECT_PORT", "CNN_OPTUNA_PORT")
        self.ports = {name: str(free_port()) for name in names}

    def run(self, *words):
        return self.project.run(*words, **self.ports)

    def ask(self, path, **body):
        answer = requests.post(f"http://127.0.0.1:{self.ports['CNN_PREFECT_PORT']}/api{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def start_night(self):
        """As a click in the Prefect UI does."""
        (deployment,) = self.ask("/deployments/filter", deployments={"name": {"any_": ["nightly"]}})
        self.ask(f"/deployments/{deployment['id']}/create_flow_run", state={"type": "SCHEDULED"})

    def states(self):
        """How each flow run that has begun stands, in their order."""
        query = "SELECT state_type FROM flow_run WHERE start_time IS NOT NULL ORDER BY start_time"
        return [state for (state,) in rows_of(self.project.home / "prefect/prefect.db", query)]

    def nights(self):
        return Nights(self.project.home / "nights").all()

    def finished_trials(self, night):
        path = self.project.environment.studies / night.name / "ledger.db"
        with suppress(Exception):  # not there yet, or without its tables
            return rows_of(path, "SELECT COUNT(*) FROM runs WHERE outcome IS NOT NULL")[0][0]
        return 0

    def process(self, part):
        """The process that is to be killed."""
        ours = marked(self.project.environment)
        if part == "night":
            return next(found for found in ours if is_night(found))
        words = {"worker": ["flows", "worker"], "Prefect": ["prefect", "server"], "MLflow": ["mlflow", "server"]}[part]
        return next(found for found in ours if found.cmdline()[2:4] == words)

    def restarts(self):
        return {unit.name: unit.restarts for unit in last_state(self.project.environment).units}


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


@pytest.fixture(scope="module")
def service(new_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    project = new_project(folder / "project", folder / "home", SEARCH)
    (project.folder / "infra").mkdir()
    text = (ROOT / "infra/prefect.yaml").read_text()
    assert "active: true" in text
    (project.folder / "infra/prefect.yaml").write_text(text.replace("active: true", "active: false"))
    (project.folder / ".gitignore").write_text("/data/prepared/\n/outputs/\n")
    for words in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"], ["git", "add", "."]):
        subprocess.run(words, cwd=project.folder, env=project.settings(), check=True)
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", "begin"],
        cwd=project.folder,
        check=True,
    )
    made = Service(project)
    code, said = made.run("up")
    try:
        assert code == 0, said
        made.said = said
        yield made
    finally:
        code, said = made.run("down")
    # Neither a process nor a port is left.
    assert code == 0, said
    assert marked(project.environment) == []
    assert [ports.refusal(int(port)) for port in made.ports.values()] == ["", "", ""]


def check_whole(service, night):
    """The night came to its end with all its trials, and nothing is shown as running anywhere."""
    with Ledger(service.project.environment.studies / night.name / "ledger.db") as ledger:
        assert [row.id.number for row in ledger.trials()] == list(range(SEARCH["budget"]["trials"]))
    assert night.finished and night.version, night
    # No run is left RUNNING, in MLflow as in Prefect.
    assert rows_of(service.project.mlflow, "SELECT COUNT(*) FROM runs WHERE status = 'RUNNING'") == [(0,)]
    assert set(service.states()) <= {"COMPLETED", "CRASHED"}


@pytest.mark.parametrize(
    "part",
    [
        "night",
        pytest.param("worker", marks=pytest.mark.faults),
        pytest.param("Prefect", marks=pytest.mark.faults),
        pytest.param("MLflow", marks=pytest.mark.faults),
    ],
)
def test_a_night_survives_the_death_of(part, service):
    before, runs_before, restarts_before = service.nights(), len(service.states()), service.restarts()
    service.start_night()
    wait_for(lambda: len(service.nights()) > len(before), "no night began")
    wait_for(lambda: service.finished_trials(service.nights()[-1]) >= 1, "no trial came to its end")
    name, kept = service.nights()[-1].name, service.finished_trials(service.nights()[-1])
    assert kept < SEARCH["budget"]["trials"], "the search was over before the kill"
    service.process(part).kill()
    wait_for(lambda: service.nights()[-1].finished, "the night did not come to its end")
    wait_for(lambda: service.states()[-1] not in ("RUNNING", "PENDING"), "its flow run did not end")
    # One night, the same one.
    assert [night.name for night in service.nights()][len(before) :] == [name]
    check_whole(service, service.nights()[-1])
    # A killed flow run is shown as what it is, and another one went on. One that wanted to say something to Prefect
    # while that was away may have ended so too; the others finish by themselves.
    crashed, whole = ["CRASHED", "COMPLETED"], ["COMPLETED"]
    allowed = {"night": [crashed], "Prefect": [crashed, whole]}.get(part, [whole])
    assert service.states()[runs_before:] in allowed
    if part != "night":
        # The part was started again, and no other.
        wait_for(lambda: service.restarts()[part] == restarts_before[part] + 1, "it was not started again")
        assert {**service.restarts(), part: 0} == {**restarts_before, part: 0}


def test_up_twice_says_so_and_status_shows_each_part(service):
    code, said = service.run("up")
    # It is no mistake, and nothing was started anew.
    assert code == 0 and "was up already" in said
    code, shown = service.run("status")
    assert code == 0
    for port in service.ports.values():
        assert f"http://127.0.0.1:{port}" in said and f"127.0.0.1:{port}" in shown
    # `cnn ui` shows where the same is to be seen, instead of failing on ports.
    code, said = service.run("ui")
    assert code == 0 and f"http://127.0.0.1:{service.ports['CNN_MLFLOW_PORT']}" in said


@pytest.mark.faults
def test_the_next_up_mends_a_service_that_was_killed_as_a_whole(service):
    runs = service.states()
    for process in marked(service.project.environment):
        with suppress(psutil.Error):
            process.kill()
    code, shown = service.run("status")
    assert code == 0 and "cnn up" in shown
    code, said = service.run("up")
    # All of it is up again, with what it knew.
    assert code == 0, said
    assert service.states() == runs
    assert service.ask("/deployments/filter", deployments={"name": {"any_": ["nightly"]}})

"""A small project on the digits whose nights the service runs, with all its servers, on ports of its own."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import requests
from servers import free_port, rows_of

from cnn.nights import Night, Nights
from cnn.service import ports
from cnn.service.state import is_night, last_state, marked

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 900.0
PORTS = ("CNN_MLFLOW_PORT", "CNN_PREFECT_PORT", "CNN_OPTUNA_PORT")


class Service:
    """A checkout and the service that runs its nights.

    Args:
        project: With the files of a checkout, in git and DVC.
        settings: Environment variables of whoever says `cnn up`.
    """

    def __init__(self, project, **settings: str) -> None:
        self.project = project
        self.settings = {name: str(free_port()) for name in PORTS} | settings
        self.deployed_in_s = 0.0

    def run(self, *words: str) -> tuple[int, str]:
        return self.project.run(*words, **self.settings)

    def deploy(self, **changes: str) -> None:
        """The shipped deployments, with some of their words changed, handed to Prefect as a person would.

        Afterwards `deployed_in_s` says how long that took, the first time with the start of all servers.
        """
        text = (ROOT / "infra/prefect.yaml").read_text()
        for word, change in changes.items():
            text, n_found = re.subn(rf"(?m)(?<=\b{word}: ).*$", change, text)
            assert n_found == 1, f"{word} is said {n_found} times"
        (self.project.folder / "infra").mkdir(exist_ok=True)
        (self.project.folder / "infra/prefect.yaml").write_text(text)
        began = time.monotonic()
        code, said = self.run("up")
        assert code == 0, said
        self.deployed_in_s = time.monotonic() - began

    # ---- what Prefect knows

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.settings['CNN_PREFECT_PORT']}/api"

    def ask(self, path: str, **body):
        """What Prefect answers; while its database is busy that is 503, and is asked again, as its client does."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            answer = requests.post(f"{self.api}{path}", json=body, timeout=120)
            if answer.status_code != requests.codes.unavailable or time.monotonic() > deadline:
                break
            time.sleep(1.0)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def start_night(self, *, state: str = "SCHEDULED", tags: tuple[str, ...] = ()) -> str:
        """As a click in the Prefect UI does; the id of its run."""
        (deployment,) = self.ask("/deployments/filter", deployments={"name": {"any_": ["nightly"]}})
        path = f"/deployments/{deployment['id']}/create_flow_run"
        return self.ask(path, state={"type": state}, tags=list(tags))["id"]

    def flow_run(self, run: str) -> dict:
        answer = requests.get(f"{self.api}/flow_runs/{run}", timeout=120)
        answer.raise_for_status()
        return answer.json()

    def state(self, run: str) -> str:
        """How a flow run stands: RUNNING, COMPLETED, ..."""
        return self.flow_run(run)["state_type"]

    def states(self) -> list[str]:
        """How each flow run that has begun stands, in their order."""
        query = "SELECT state_type FROM flow_run WHERE start_time IS NOT NULL ORDER BY start_time"
        return [state for (state,) in rows_of(self.prefect_db, query)]

    @property
    def prefect_db(self) -> Path:
        return self.project.home / "prefect/prefect.db"

    # ---- what this machine knows

    def nights(self) -> list[Night]:
        return Nights(self.project.home / "nights").all()

    def finished_trials(self, night: Night) -> int:
        path = self.project.environment.studies / night.name / "ledger.db"
        with suppress(Exception):  # not there yet, or without its tables
            return rows_of(path, "SELECT COUNT(*) FROM runs WHERE outcome IS NOT NULL")[0][0]
        return 0

    def process(self, part: str) -> psutil.Process:
        """The process that is to be killed."""
        ours = marked(self.project.environment)
        if part == "night":
            return next(found for found in ours if is_night(found))
        modules = {
            "worker": ["flows", "worker"],
            "Prefect": ["prefect", "server"],
            "MLflow": ["mlflow", "server"],
            "supervisor": ["cnn.service.supervisor"],
        }
        words = modules[part]
        return next(found for found in ours if words_of(found)[2 : 2 + len(words)] == words)

    def restarts(self) -> dict[str, int]:
        return {unit.name: unit.restarts for unit in last_state(self.project.environment).units}

    def searching(self, n_before: int, *, trials: int = 1) -> Night:
        """The night after so many others, once so many of its trials are over."""
        wait_for(lambda: len(self.nights()) > n_before, "no night began")
        wait_for(lambda: self.finished_trials(self.nights()[-1]) >= trials, "no trial came to its end")
        return self.nights()[-1]


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} ({datetime.now(UTC):%H:%M:%S})"
        time.sleep(0.5)


@contextmanager
def serving(project, *, deployed: dict[str, str], **settings: str) -> Iterator[Service]:
    """The service of a project, up; afterwards neither a process nor a port of it is left.

    Args:
        deployed: Words of infra/prefect.yaml that are changed.
        settings: Environment variables.
    """
    (project.folder / ".gitignore").write_text("/data/prepared/\n/outputs/\n")
    for words in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"], ["git", "add", "."]):
        subprocess.run(words, cwd=project.folder, env=project.settings(), check=True)
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--message", "begin"],
        cwd=project.folder,
        check=True,
    )
    service = Service(project, **settings)
    try:
        service.deploy(**deployed)
        yield service
    finally:
        code, said = service.run("down")
    assert code == 0, said
    assert marked(project.environment) == []
    assert [ports.refusal(int(service.settings[name])) for name in PORTS] == ["", "", ""]


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; empty when it has just ended."""
    with suppress(psutil.Error):
        return process.cmdline()
    return []

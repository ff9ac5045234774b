"""`cnn up` and `cnn down`: refused before anything starts, and harmless when there is nothing to end."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from servers import free_port

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    (folder / "infra").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copy(ROOT / "infra/prefect.yaml", folder / "infra")
    return folder


def cnn(checkout, *words, **settings):
    ports = {name: str(free_port()) for name in ("CNN_MLFLOW_PORT", "CNN_PREFECT_PORT", "CNN_OPTUNA_PORT")}
    return subprocess.run(
        [sys.executable, "-m", "cnn", *words],
        cwd=checkout,
        env=os.environ | {"CNN_HOME": str(checkout.parent / "home")} | ports | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def refusal(answer):
    """The one line of a refused command."""
    assert (answer.returncode, answer.stderr.count("\n"), answer.stdout) == (2, 1, ""), answer
    return answer.stderr


@pytest.mark.parametrize("name", ["CNN_MLFLOW_PORT", "CNN_PREFECT_PORT", "CNN_OPTUNA_PORT"])
def test_a_port_in_use_is_named_before_anything_starts(checkout, name):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refusal(cnn(checkout, "up", **{name: str(port)}))
    # Which port, who holds it, and the setting that chooses another.
    assert f"port {port}: " in line and f"process {os.getpid()}" in line and f"set {name}" in line
    # Nothing was started: there is no log, and no database.
    assert not (checkout.parent / "home/service").exists()
    assert list((checkout.parent / "home").glob("*.db")) == []


@pytest.mark.parametrize("words", [["up"], ["nightly"]])
def test_a_prefect_elsewhere_that_does_not_answer_is_one_line(checkout, words):
    address = f"http://127.0.0.1:{free_port()}/api"
    line = refusal(cnn(checkout, *words, PREFECT_API_URL=address))
    # Which address, and which setting names it.
    assert line.startswith(f"cnn: {address}: ") and "PREFECT_API_URL" in line


def test_up_wants_a_checkout(checkout):
    shutil.rmtree(checkout / "infra")
    assert "infra/prefect.yaml" in refusal(cnn(checkout, "up"))


def test_down_without_a_service_is_no_mistake(checkout):
    answer = cnn(checkout, "down")
    assert (answer.returncode, answer.stdout) == (0, "no service was up\n")


def test_status_says_that_the_service_is_down(checkout):
    answer = cnn(checkout, "status")
    assert answer.returncode == 0, answer
    # And how it is started.
    assert re.search("down; cnn up starts it", answer.stdout)

"""The service with all its servers: a night survives kill -9 of its own process and of each part, one at a time."""

import shutil
from contextlib import suppress

import psutil
import pytest
from served import PORTS, serving, wait_for, words_of
from servers import rows_of

from cnn.search.ledger import Ledger
from cnn.service.state import last_state, marked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

SEARCH = {
    "engine": "optuna",
    "pruner": "none",
    "budget": {"trials": 4, "minutes": None, "cpu_minutes": None, "epochs": 12},
    "finalists": 1,
    "finalist_seeds": 0,
    "remedies": "off",
    "workers": 1,
}


@pytest.fixture(scope="module")
def service(new_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("the service")  # with a space, as people's folders have
    with serving(new_project(folder / "project", folder / "home", SEARCH), deployed={"active": "false"}) as service:
        yield service


def check_whole(service, night):
    """The night came to its end with all its trials, and nothing is shown as running anywhere."""
    with Ledger(service.project.environment.studies / night.name / "ledger.db") as ledger:
        assert [row.id.number for row in ledger.trials()] == list(range(SEARCH["budget"]["trials"]))
    assert night.finished and night.version, night
    # No run is left RUNNING, in MLflow as in Prefect.
    assert rows_of(service.project.mlflow, "SELECT COUNT(*) FROM runs WHERE status = 'RUNNING'") == [(0,)]
    assert set(service.states()) <= {"COMPLETED", "CRASHED"}


def killed_while_searching(service, part):
    """A night that has begun, some of whose trials are over, after a part was killed; its flow run."""
    before = len(service.nights())
    run = service.start_night()
    night = service.searching(before)
    assert service.finished_trials(night) < SEARCH["budget"]["trials"], "the search was over before the kill"
    service.process(part).kill()
    return night, run


def ended(service, before, runs_before, name):
    """How its flow runs stand, once the night has come to its end."""
    wait_for(lambda: service.nights()[-1].finished, "the night did not come to its end")
    wait_for(lambda: service.states()[-1] not in ("RUNNING", "PENDING"), "its flow run did not end")
    # One night, the same one.
    assert [night.name for night in service.nights()][before:] == [name]
    check_whole(service, service.nights()[-1])
    return service.states()[runs_before:]


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
    before, runs_before, restarts_before = len(service.nights()), len(service.states()), service.restarts()
    night, run = killed_while_searching(service, part)
    if part == "Prefect":
        wait_for(lambda: service.restarts()[part] == restarts_before[part] + 1, "it was not started again")
        wait_for(lambda: last_state(service.project.environment).ready, "it did not come up")
        # The night's place among the nights was not lost with the server: without it Prefect would end the night.
        lease = service.flow_run(run)["state"]["state_details"]["deployment_concurrency_lease_id"]
        service.ask(f"/v2/concurrency_limits/leases/{lease}/renew", lease_duration=300)
    states = ended(service, before, runs_before, night.name)
    # A killed flow run is shown as what it is, and another one went on; the others finish by themselves.
    assert states == (["CRASHED", "COMPLETED"] if part == "night" else ["COMPLETED"])
    if part != "night":
        # The part was started again, and no other.
        wait_for(lambda: service.restarts()[part] == restarts_before[part] + 1, "it was not started again")
        assert {**service.restarts(), part: 0} == {**restarts_before, part: 0}


@pytest.mark.faults
def test_a_night_goes_on_without_a_supervisor_and_under_the_next(service):
    before, runs_before = len(service.nights()), len(service.states())
    night, _ = killed_while_searching(service, "supervisor")
    left = [process for process in marked(service.project.environment) if "cnn.search.worker" in words_of(process)]
    code, said = service.run("up")
    # All is up again, and no process of the night was taken for a server that was left.
    assert code == 0 and "the service is up" in said, said
    assert left and service.nights()[-1].name == night.name
    assert ended(service, before, runs_before, night.name) == ["COMPLETED"]


@pytest.mark.faults
def test_a_night_that_down_has_ended_goes_on_after_the_next_up(service):
    before, runs_before = len(service.nights()), len(service.states())
    run = service.start_night()
    night = service.searching(before)
    code, said = service.run("down")
    # It had kept its trials, and nothing was left running.
    assert (code, said.strip()) == (0, "the service is down")
    assert marked(service.project.environment) == []
    assert service.finished_trials(night) >= 1
    code, said = service.run("up")
    assert code == 0, said
    assert ended(service, before, runs_before, night.name) == ["CRASHED", "COMPLETED"]
    # Being asked to end is no death: it may still die as often as is set.
    assert "asked-to-end" in service.flow_run(run)["tags"]


def test_up_twice_says_so_and_status_shows_each_part(service):
    code, said = service.run("up")
    # It is no mistake, and nothing was started anew.
    assert code == 0 and "was up already" in said
    code, shown = service.run("status")
    assert code == 0
    for name in PORTS:
        assert f"http://127.0.0.1:{service.settings[name]}" in said and f"127.0.0.1:{service.settings[name]}" in shown
    # `cnn ui` shows where the same is to be seen, instead of failing on ports.
    code, said = service.run("ui")
    assert code == 0 and f"http://127.0.0.1:{service.settings['CNN_MLFLOW_PORT']}" in said


@pytest.mark.faults
def test_another_checkout_is_told_whose_nights_the_service_runs(service, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(service.project.folder, other, ignore=shutil.ignore_patterns("data", "outputs", ".dvc", ".git"))
    process = service.project.start("up", folder=other, **service.settings)
    said, _ = process.communicate(timeout=600)
    # One line, with the folder and the way out; the service goes on as it was.
    assert process.returncode == 2 and said.count("\n") == 1, said
    assert f"runs the nights of {service.project.folder}" in said and "cnn down first, or set CNN_HOME" in said
    assert last_state(service.project.environment).checkout == str(service.project.folder)


@pytest.mark.faults
def test_the_next_up_mends_a_service_that_was_killed_as_a_whole(service):
    runs = service.states()
    for process in marked(service.project.environment):
        with suppress(psutil.Error):
            process.kill()
    # What it said last is torn, too.
    state = service.project.environment.service / "state.json"
    state.write_bytes(state.read_bytes()[:100])
    code, shown = service.run("status")
    assert code == 0 and "cnn up" in shown
    first, second = (service.project.start("up", **service.settings) for _ in range(2))
    said = [process.communicate(timeout=1200)[0] for process in (first, second)]
    # Of two at once one starts it, and the other finds it up.
    assert (first.returncode, second.returncode) == (0, 0), said
    assert sorted("was up already" in words for words in said) == [False, True], said
    # All of it is up again, with what it knew.
    assert service.states() == runs
    assert service.ask("/deployments/filter", deployments={"name": {"any_": ["nightly"]}})

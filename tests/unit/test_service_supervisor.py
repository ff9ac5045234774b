"""The supervisor: real processes on real ports, small ones, are started, watched, started again and ended."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from servers import free_port

from cnn.commands.service import end_all
from cnn.config.environment import Environment
from cnn.errors import ConfigError, ServiceError
from cnn.runtime import is_alive
from cnn.service import ports
from cnn.service.servers import ServerPlan, check_ports
from cnn.service.state import MARK, flow_run_of, is_up, last_state, marked, present_state, supervisor
from cnn.service.supervisor import Unit, bound_log

ROOT = Path(__file__).resolve().parents[2]
SMALL = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Small(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer.allow_reuse_address = True
child = subprocess.Popen(["sleep", "600"])
HTTPServer(("127.0.0.1", int(sys.argv[1])), Small).serve_forever()
"""
SUPERVISOR = """
import sys
from pathlib import Path
from cnn.config.environment import Environment
from cnn.service import supervisor
from cnn.service.servers import ServerPlan
small, home, *ports = sys.argv[1:]
plans = [
    ServerPlan(name=f"server {port}", command=(sys.executable, "-c", small, port), port=int(port), change="",
               health="/", log=Path(home) / "service" / f"{port}.log", settings={}, needs=needs)
    for port, needs in zip(ports, ([], [f"server {ports[0]}"]))
]
environment = Environment(home=Path(home))
environment.service.mkdir(parents=True, exist_ok=True)
supervisor.supervise(environment, plans, Path.cwd())
"""


def plan(port, name="MLflow"):
    log, change = Path("log"), "set CNN_MLFLOW_PORT"
    return ServerPlan(name=name, command=("true",), port=port, change=change, health="/", log=log, settings={})


@pytest.fixture
def environment(tmp_path):
    return Environment(home=tmp_path / "home")


@pytest.fixture
def service(environment):
    """Two small servers, the second of which needs the first, and their supervisor; all is ended in any case."""
    listening = [free_port(), free_port()]
    words = [SMALL, str(environment.home), *map(str, listening)]
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, *words], cwd=ROOT, env=os.environ | {MARK: str(environment.home)}
    )
    try:
        wait_for(lambda: states(environment) == ["up", "up"])
        yield process
    finally:
        process.kill()
        process.wait()
        end_all(marked(environment), patience_s=0.0)


def states(environment):
    state = last_state(environment)
    return [unit.state for unit in state.units] if state else []


def server(environment, number):
    """The process of a server."""
    port = last_state(environment).units[number].address.rpartition(":")[2]
    return next(found for found in marked(environment) if found.cmdline()[-2:] == [SMALL, port])


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.1)


def test_a_server_that_is_killed_is_started_again_without_what_it_left(service, environment):
    before = server(environment, 1)
    left = before.children()
    before.kill()
    wait_for(lambda: states(environment) == ["up", "up"] and last_state(environment).units[1].restarts == 1)
    unit = last_state(environment).units[1]
    # Another process answers on the same port, and how the first one ended is known.
    assert server(environment, 1).pid != before.pid
    assert ports.answers(int(unit.address.rpartition(":")[2]), "/")
    assert "exit code -9" in unit.last_end
    # Its child, which could hold the port, is gone with it; the other server was left alone.
    assert left and not any(map(is_alive, left))
    assert last_state(environment).units[0].restarts == 0


def test_told_to_end_it_leaves_neither_a_process_nor_a_port(service, environment):
    taken = [int(unit.address.rpartition(":")[2]) for unit in last_state(environment).units]
    assert len(marked(environment)) >= 5
    service.send_signal(signal.SIGTERM)
    # It ends well.
    assert service.wait(60) == 0
    assert marked(environment) == []
    assert [ports.refusal(port) for port in taken] == ["", ""]


def test_servers_do_not_outlive_a_killed_supervisor(service, environment):
    servers = [server(environment, 0), server(environment, 1)]
    service.kill()
    service.wait()
    # Each is told to end by the system, at once.
    wait_for(lambda: not any(map(is_alive, servers)))
    # Nobody takes the service for up by what it last said, and what else it left is found by its mark.
    assert not is_up(environment) and supervisor(environment) is None
    assert last_state(environment) and present_state(environment) is None
    assert {process.name() for process in marked(environment)} <= {"sleep"}


def test_a_second_supervisor_is_refused(service, environment):
    from cnn.service.supervisor import supervise

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        with pytest.raises(ServiceError, match="the service under way"):
            supervise(environment, [], Path.cwd())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    # The first one goes on.
    assert states(environment) == ["up", "up"]


def test_a_torn_state_is_written_anew(service, environment):
    state = environment.service / "state.json"
    state.write_bytes(state.read_bytes()[:100])
    # Who lives is known without it, and says the same again.
    assert supervisor(environment) == service.pid
    wait_for(lambda: states(environment) == ["up", "up"])
    assert present_state(environment).pid == service.pid


def test_a_server_that_cannot_be_started_takes_no_other_down(tmp_path):
    nowhere = replace(plan(free_port()), command=(str(tmp_path / "nowhere"),), log=tmp_path / "log")
    unit = Unit(nowhere, tmp_path)
    unit.look(may_start=True)
    # It is tried again later, and why is known.
    assert unit.told().state == "waiting" and "not started: " in unit.told().last_end


ASKED = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(child.poll() is not None))
print("ready", flush=True)
signal.pause()
"""


def test_a_worker_is_asked_to_end_before_what_it_has_started(tmp_path):
    command = (sys.executable, "-c", ASKED)
    worker = replace(plan(None), command=command, log=tmp_path / "log", keeps_children=True)
    unit = Unit(worker, tmp_path)
    unit.look(may_start=True)
    wait_for(lambda: "ready" in worker.log.read_text())
    process, (child,) = unit._process, psutil.Process(unit._process.pid).children()
    unit.end()
    # It could still say what becomes of its nights; none of them is left.
    assert process.returncode == 0 and not is_alive(child)


def test_a_process_of_a_night_is_told_from_a_server(environment):
    settings = {MARK: str(environment.home), "PREFECT__FLOW_RUN_ID": "run-7"}
    for added, run in ((settings, "run-7"), ({MARK: str(environment.home)}, "")):
        process = subprocess.Popen(["sleep", "60"], env=os.environ | added)
        try:
            wait_for(lambda: marked(environment))
            # The next `cnn up` ends servers that were left, and lets a night go on.
            assert [flow_run_of(found) for found in marked(environment)] == [run]
        finally:
            process.kill()
            process.wait()


def test_a_port_in_use_is_named_with_its_holder_and_its_setting():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServiceError) as refused:
            check_ports([plan(free_port(), "Prefect"), plan(port)])
    # Which port, who has it, for whom it is wanted, and how another is chosen.
    words = (f"port {port}: ", f"process {os.getpid()}", "MLflow", "set CNN_MLFLOW_PORT")
    assert all(word in str(refused.value) for word in words), refused.value


def test_one_port_for_two_servers_is_a_mistake():
    port = free_port()
    with pytest.raises(ConfigError, match="Prefect and for MLflow"):
        check_ports([plan(port, "Prefect"), plan(port)])


def test_a_log_is_bounded_and_its_end_is_kept(tmp_path):
    log = tmp_path / "mlflow.log"
    with log.open("ab") as writer:
        writer.write(b"x" * 100)
        writer.flush()
        bound_log(log, most_bytes=50)
        writer.write(b"after")
        writer.flush()
        # The writer goes on at the beginning, the old lines lie beside.
        assert log.read_bytes() == b"after"
    assert (tmp_path / "mlflow.log.1").read_bytes() == b"x" * 100
    bound_log(log, most_bytes=50)
    # A small one is left alone, and so is one that is not there.
    assert log.read_bytes() == b"after"
    bound_log(tmp_path / "none.log")


def test_processes_of_another_home_are_not_taken_for_ours(environment, tmp_path):
    process = subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: str(environment.home)})
    try:
        wait_for(lambda: [found.pid for found in marked(environment)] == [process.pid])
        # By the whole path of the home.
        assert marked(Environment(home=tmp_path / "hom")) == []
        end_all([psutil.Process(process.pid)], patience_s=5.0)
        # It was asked first.
        assert process.wait(10) == -signal.SIGTERM
    finally:
        process.kill()

"""A password in the tracking address is shown nowhere, though the server dies after its first sign of life."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cnn import wiring
from cnn.config.environment import Environment
from cnn.errors import ServiceError
from cnn.steps import register
from cnn.tracking.client import connect
from cnn.tracking.reader import MlflowReader
from cnn.tracking.registry import CHAMPION
from cnn.tracking.tracker import Run

pytestmark = pytest.mark.slow


class _OnlyHealthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 503)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_):
        pass


class _OneRun(_OnlyHealthy):
    """As MLflow answers about a run."""

    def do_GET(self):
        info = {"run_id": "1", "run_uuid": "1", "experiment_id": "1", "run_name": "study", "status": "FINISHED"}
        body = json.dumps({"run": {"info": info, "data": {}}, "run_info": info}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()


@contextmanager
def dying_server(answering=_OnlyHealthy):
    with ThreadingHTTPServer(("127.0.0.1", 0), answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path):
    with dying_server() as port:
        yield Environment(home=tmp_path, tracking_uri=f"http://me:secret@127.0.0.1:{port}")


@pytest.mark.parametrize(
    "ask",
    [
        lambda environment: MlflowReader(environment).read_run("night-7"),
        lambda environment: wiring.registry(environment).version_by_alias("cats", CHAMPION),
    ],
    ids=["reader", "registry"],
)
def test_a_server_that_gives_no_answer(environment, ask):
    with pytest.raises(ServiceError) as caught:
        ask(environment)
    # The address is named, as the subject and in MLflow's own words.
    assert str(caught.value).startswith("http://127.0.0.1:") and "secret" not in str(caught.value)


def test_a_run_that_ends(tmp_path, capsys):
    with dying_server(_OneRun) as port:
        client = connect(Environment(home=tmp_path, tracking_uri=f"http://me:secret@127.0.0.1:{port}"))
        client.set_terminated("1")
        assert client.get_run("1").info.run_name == "study"
    # MLflow would print where the run is to be seen, at the address with the password, into the search's own table.
    printed = capsys.readouterr()
    assert printed.out + printed.err == ""


def test_what_cannot_be_delivered(environment, monkeypatch, caplog):
    monkeypatch.setattr(wiring, "_FLUSH_S", 5.0)
    monkeypatch.setattr(register, "_DELIVERY_S", 5.0)
    run = Run(key="night-7/candidate", name="candidate")
    with wiring.tracker(environment, "nights", source="test") as tracker:
        tracker.start(run)
        with pytest.raises(ServiceError) as caught:
            register._make_sure_of_run(tracker, environment, run)
    # The step's error, the delivery's warning and the last word of the command all name the address.
    assert str(caught.value).startswith("http://127.0.0.1:") and "secret" not in str(caught.value)
    assert "delivered later" in caplog.text and "the rest waits in the spool" in caplog.text
    assert "secret" not in caplog.text

"""The champion of a real MLflow registry, embedded and behind a server: two homes at once, a kill -9, a way back."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from promoted import NAME, Gatehouse, deliver_run
from servers import TrackingServer

from cnn.config.environment import Environment
from cnn.promotion.log import DecisionLog
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.registry import CHAMPION, Signature

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own, as it is imported
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]

DECIDE = """
import json, os, signal, sys, time
from pathlib import Path
from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.steps.promote import promote
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.tracker import Run

home, uri, number, gate, dies = sys.argv[1:]
environment = Environment(home=Path(home), tracking_uri=uri)
registry, tracker = MlflowRegistry(environment), MemoryTracker()
version = registry.version("cnn-overnight", int(number))
tracker.start(Run(key=version.run_key, name="candidate"))
params = read_params(overrides=["prepare.source=digits", "promote.smoke=false"])
if dies:
    setattr(registry, dies, lambda *words: os.kill(os.getpid(), signal.SIGKILL))
Path(gate, number).touch()
began = time.monotonic()
while len(list(Path(gate).iterdir())) < 2 and not dies and time.monotonic() < began + 120:
    time.sleep(0.01)
verdict = promote(params, environment, tracker, registry, number=int(number))
print(json.dumps(verdict.document()))
"""


@pytest.fixture(scope="module", params=["sqlite", "server"])
def address(request, tmp_path_factory):
    """A database that all open, and a server that all ask."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'shared.db'}"
        return
    server = TrackingServer(folder)
    server.start()
    try:
        server.wait()
        yield server.uri
    finally:
        server.kill()


@pytest.fixture(scope="module")
def house(address, tmp_path_factory):
    """A registry whose version 1 is champion; 2, 3 and 4 are better, and alike."""
    folder = tmp_path_factory.mktemp("races")
    environment = Environment(home=folder / "home", tracking_uri=address)
    deliver_run(environment)
    house = Gatehouse(folder, MlflowRegistry(environment))
    house.environment = environment
    for n_right in (100, 300, 301, 302):
        house.register(n_right)
    assert house.promote(number=1).promoted
    return house


def decides(house, home, number, gate, dies=""):
    gate.mkdir(exist_ok=True)
    words = [house.folder / home, house.environment.tracking_uri, number, gate, dies]
    environment = os.environ | {"PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [sys.executable, "-c", DECIDE, *map(str, words)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@contextmanager
def watching(house):
    """All champions that a reader has seen meanwhile."""
    seen, stop = set(), threading.Event()

    def read():
        while not stop.wait(0.01):
            found = house.registry.version_by_alias(NAME, CHAMPION)
            seen.add(found.number if found else None)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield seen
    finally:
        stop.set()
        reader.join()


def test_two_homes_at_once_make_one_champion_and_a_reader_always_sees_one(house, tmp_path):
    assert house.champion() == 1
    processes = [decides(house, f"home-{number}", number, tmp_path / "gate") for number in (2, 3)]
    with watching(house) as seen:
        said = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    verdicts = [json.loads(out.splitlines()[-1]) for out, _ in said]
    # Both are better than the champion, neither than the other: whoever was first stays.
    assert sorted(verdict["promoted"] for verdict in verdicts) == [False, True]
    (won,), (lost,) = ([v for v in verdicts if v["promoted"] is promoted] for promoted in (True, False))
    assert (house.champion(), lost["champion"]) == (won["challenger"], won["challenger"])
    # A reader saw the old one and the new one, and never nobody.
    assert seen <= {1, won["challenger"]} and won["challenger"] in seen
    # Two looks at the one test set, from two homes.
    assert sorted(verdict["look"] for verdict in verdicts) == [1, 2]


@pytest.mark.parametrize("before", ["set_alias", "settle_entry"])
def test_a_process_killed_on_the_way_is_ended_by_the_next(house, tmp_path, before):
    house.promote(number=1, force=f"begin anew before {before}")
    victim = decides(house, "victim", 4, tmp_path / "gate", dies=before)
    out, error = victim.communicate(timeout=300)
    assert victim.returncode == -signal.SIGKILL, out + error
    # Somebody is champion all the while.
    assert house.champion() in (1, 4)
    log = DecisionLog(house.registry, NAME, house.environment)
    assert log.lines()[-1]["challenger"] == 4
    # What the victim had decided counts, and the next to come does it.
    assert log.standing().champion.number == 4 == house.champion()
    assert house.registry.version(NAME, 4).tags["promotion"] == "promoted"


def test_a_way_back_through_mlflow(house):
    house.promote(number=1, force="begin anew")
    house.promote(number=4, force="and forth")
    line = house.rollback(reason="too slow at night")
    assert (line["challenger"], house.champion()) == (1, 1)
    # What MLflow shows: the version's own reason, and the log's entry in words.
    assert house.registry.version(NAME, 1).tags["promotion_reason"] == "too slow at night"
    entry = house.registry._client.search_model_versions(f"name = '{NAME}.decisions'")
    newest = max(entry, key=lambda version: int(version.version))
    assert newest.description == "rolled back: version 1 (champion before: 4); too slow at night"
    assert "too slow at night" in house.history()


def test_the_signature_is_read_from_what_a_server_would_read(house):
    version = house.registry.version(NAME, 1)
    assert house.registry.signature(version) == Signature(image_type="uint8", image_shape=(4, 4, 1), n_outputs=2)


def test_many_that_set_one_new_tag_at_once_all_succeed(house):
    version, barrier, mishaps = house.registry.version(NAME, 2), threading.Barrier(4), []

    def set_tags(registry):
        try:
            for round_ in range(5):
                barrier.wait()
                registry.set_tags(version, {f"round {round_}": "said"})
        except Exception as error:
            mishaps.append(error)
            barrier.abort()

    threads = [threading.Thread(target=set_tags, args=(MlflowRegistry(house.environment),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # As when several processes end what a killed one had begun.
    assert mishaps == []
    assert {f"round {round_}" for round_ in range(5)} <= house.registry.version(NAME, 2).tags.keys()

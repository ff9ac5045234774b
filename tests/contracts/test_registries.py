"""What every registry must do for whoever promotes, over all of them: memory, MLflow on sqlite, MLflow on a server."""

import threading
from pathlib import Path

import pytest
from promoted import Gatehouse, deliver_run
from servers import TrackingServer

from cnn.config.environment import Environment
from cnn.errors import IntegrityError
from cnn.promotion.log import DecisionLog
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.registry import MemoryRegistry
from cnn.tracking.tracker import Run

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's own, as it is imported
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]


class Place:
    """A registry as several homes open it, all that it keeps somewhere in one folder.

    Args:
        address: Of MLflow; empty for a registry in memory, which is one object for all.
    """

    def __init__(self, folder, address):
        self.folder, self.address = folder, address
        self.in_memory = None if address else MemoryRegistry(folder / "registry")
        if address:
            deliver_run(self.environment("home"))

    def environment(self, home):
        return Environment(home=self.folder / home, tracking_uri=self.address)

    def lose(self, version, file):
        """A kept file of a version is gone, wherever it lay."""
        kept = "/".join(version.source.split("/")[-2:])
        (path,) = (path for path in self.folder.rglob(file) if kept in path.as_posix())
        path.unlink()

    def house(self, name, home="home"):
        environment = self.environment(home)
        house = Gatehouse(self.folder, self.in_memory or MlflowRegistry(environment), home, name)
        house.environment = environment
        return house


KINDS = ["memory", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sqlite", "server"))]


@pytest.fixture(scope="module", params=KINDS)
def place(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    if request.param != "server":
        yield Place(folder, f"sqlite:///{folder / 'shared.db'}" if request.param == "sqlite" else "")
        return
    server = TrackingServer(folder)
    server.start()
    try:
        server.wait()
        yield Place(folder, server.uri)
    finally:
        server.kill()


def test_what_is_not_there_is_none(place):
    house = place.house("nothing")
    # Neither a name, nor an alias, nor a number that no database can hold.
    assert house.champion() is None
    house.register(100)
    assert house.champion() is None
    assert [house.registry.version("nothing", number) for number in (2, 2**40, 10**30)] == [None] * 3
    assert house.registry.entries("nothing") == ()


def test_a_promotion_is_seen_by_all_with_its_reasons(place):
    place.house("promotion").reign(100, 300)
    seen = place.house("promotion")
    # The alias, the words on the version, and the log in its order, each entry done with.
    assert seen.champion() == 2
    tags = seen.registry.version("promotion", 2).tags
    assert tags["promotion"] == "promoted" and tags["gate.better"].startswith("passed: better by 50.00 points")
    entries = seen.registry.entries("promotion")
    assert [(entry.position, entry.settled) for entry in entries] == [(1, True), (2, True)]
    # What has been read need not be read again.
    assert seen.registry.entries("promotion", 1) == entries[1:] and seen.registry.entries("promotion", 2) == ()
    # The log is no model of anybody's.
    assert {version.name for version in seen.registry.versions()} >= {"promotion"}
    assert not any(version.name.startswith("promotion.") for version in seen.registry.versions())


def test_of_two_homes_that_promote_at_once_one_wins(place):
    here = place.house("race")
    here.reign(100)
    numbers, verdicts = [here.register(n_right).number for n_right in (300, 301)], []
    ready, seen, stop = threading.Barrier(2), set(), threading.Event()

    def decide(number):
        home = place.house("race", f"home-{number}")
        home.tracker.start(Run(key=home.registry.version("race", number).run_key, name="candidate"))
        ready.wait(60)
        verdicts.append(home.promote(number=number))

    def read():
        while not stop.wait(0.01):
            seen.add(here.champion())

    reader, *threads = (threading.Thread(target=read), *(threading.Thread(target=decide, args=(n,)) for n in numbers))
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    reader.join()
    # Both are better than the champion and neither than the other: the second is judged against the first.
    assert sorted(verdict.promoted for verdict in verdicts) == [False, True]
    (won,) = [verdict.challenger for verdict in verdicts if verdict.promoted]
    assert here.champion() == won
    # Whoever looked meanwhile saw one champion or the other, and each look was counted once.
    assert seen <= {1, won}
    assert sorted(verdict.look for verdict in verdicts) == [1, 2]


def test_a_rollback_is_a_move_with_a_history(place):
    house = place.house("rollback")
    house.reign(100, 200, 300)
    house.rollback(reason="it is slow")
    assert place.house("rollback").champion() == 2
    house.rollback(to=3, reason="it was the network")
    lines = DecisionLog(house.registry, "rollback", house.environment).lines()
    # Each move says from whom to whom.
    assert [(line["champion"], line["challenger"]) for line in lines] == [(None, 1), (1, 2), (2, 3), (3, 2), (2, 3)]
    assert house.registry.version("rollback", 3).tags["promotion_reason"] == "it was the network"


FETCHED = {
    "model.keras": lambda registry, version, folder: registry.download(version, folder),
    "predictions.npz": lambda registry, version, folder: registry.download_file(version, "predictions.npz", folder),
}


@pytest.mark.parametrize("file", FETCHED)
def test_a_file_that_is_lost_is_named_and_bars_its_version(place, tmp_path, file):
    house = place.house(f"lost-{Path(file).stem}")
    house.reign(100)
    version = house.register(300 + list(FETCHED).index(file))  # equal models of one run share a place
    place.lose(version, file)
    with pytest.raises(IntegrityError, match=f"version 2: received no {file}"):
        FETCHED[file](house.registry, version, tmp_path)
    verdict = house.promote()
    # It is refused like a file that was changed, and nobody is told that a server does not answer.
    assert [ruling.rule for ruling in verdict.failed] == ["digest"] and f"no {file}" in verdict.reason
    assert house.champion() == 1

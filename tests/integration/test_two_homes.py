"""Two CNN_HOMEs speak to one tracking address in equal keys, as the same crontab on two machines makes them."""

import zipfile
from contextlib import ExitStack, closing, contextmanager

import numpy as np
import pytest
from making import epoch_row
from servers import rows_of

from cnn.config.environment import Environment
from cnn.durable import exclusive
from cnn.search.reconcile import reconcile
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.registry import CHALLENGER, Candidate
from cnn.tracking.tracker import Run, RunState

pytestmark = pytest.mark.slow

NIGHT = "night-2026-11-24-0100"


class Home:
    """A home whose runs go to an address that it shares."""

    def __init__(self, folder, uri):
        self.environment = Environment(home=folder, tracking_uri=uri)
        self.tracker = MlflowTracker(self.environment, "nights")

    def say(self, epochs, accuracy):
        self.tracker.start(Run(key=NIGHT, name="study"))
        self.tracker.start(Run(key=f"{NIGHT}/0", name="trial 0", parent=NIGHT))
        for epoch in range(epochs):
            self.tracker.log_epoch(f"{NIGHT}/0", epoch_row(epoch, accuracy=accuracy))
        assert self.tracker.flush(120.0)

    def reconcile(self):
        return reconcile(self.environment.studies, self.tracker, "nights")

    @contextmanager
    def searching(self):
        with exclusive(self.environment.studies / NIGHT / "lock", what="a search"):
            yield


@pytest.fixture
def database(tmp_path):
    return tmp_path / "shared.db"


@pytest.fixture
def homes(tmp_path, database):
    with ExitStack() as stack:
        homes = [Home(tmp_path / name, f"sqlite:///{database}") for name in ("a", "b")]
        for home in homes:
            stack.enter_context(closing(home.tracker))
        yield homes


def test_neither_closes_nor_continues_the_others_runs(homes, database):
    a, b = homes
    with a.searching():
        a.say(3, accuracy=0.5)
        # B starts, and ends what it left running: nothing, whatever is open there.
        assert b.reconcile() == []
        b.say(2, accuracy=0.75)
    with b.searching():
        # Nor has A any business with B's runs: it is A's that are dead now.
        assert [sentence.split()[1] for sentence in a.reconcile()] == [NIGHT, f"{NIGHT}/0"]
    # Each home has its own study and trial; only those of A are closed.
    assert sorted(rows_of(database, "SELECT name, status FROM runs")) == [
        ("study", "KILLED"), ("study", "RUNNING"), ("trial 0", "KILLED"), ("trial 0", "RUNNING")
    ]  # fmt: skip
    # The histories are apart, and read back apart.
    for home, epochs, accuracy in ((a, 3, 0.5), (b, 2, 0.75)):
        curve = tuple(epoch_row(epoch, accuracy=accuracy).figures() for epoch in range(epochs))
        assert home.tracker.read_run(f"{NIGHT}/0").epochs == curve
    assert a.tracker.open_runs("nights") == ()
    assert b.tracker.open_runs("nights") == (NIGHT, f"{NIGHT}/0")
    # Each trial hangs below its own home's study.
    children = rows_of(database, "SELECT value FROM tags WHERE key = 'mlflow.parentRunId'")
    assert sorted(children) == sorted(rows_of(database, "SELECT run_uuid FROM runs WHERE name = 'study'"))


def test_a_home_goes_on_with_its_own_run(homes, database):
    a, b = homes
    a.say(1, accuracy=0.5)
    b.say(1, accuracy=0.75)
    b.tracker.close()
    # Another process of B says it all again, and more: still one run for each home.
    again = Home(b.environment.home, b.environment.tracking_uri)
    again.say(2, accuracy=0.75)
    assert [len(home.tracker.read_run(f"{NIGHT}/0").epochs) for home in (a, again)] == [1, 2]
    assert rows_of(database, "SELECT COUNT(*) FROM runs") == [(4,)]
    again.tracker.close()


def candidate(folder, content):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", content)
    return Candidate(
        model=folder / "model.keras",
        run_key=f"{NIGHT}/candidate",
        labels=("a", "b"),
        image_shape=(8, 8, 1),
        example=np.zeros((1, 8, 8, 1), np.uint8),
        lineage={"git_revision": "abc", "night": NIGHT},
    )


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own, as it is imported
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")
def test_a_version_leads_to_the_run_of_the_home_that_registered_it(homes, database, tmp_path):
    a, b = homes
    for home in homes:
        home.tracker.start(Run(key=f"{NIGHT}/candidate", name=f"candidate of {home.environment.home.name}"))
        home.tracker.end(f"{NIGHT}/candidate", RunState.FINISHED)
        assert home.tracker.flush(120.0)
    registries = {home: MlflowRegistry(home.environment) for home in homes}
    for home, number in ((a, 1), (b, 2)):
        model = candidate(tmp_path / f"{number}", f"model {number}")
        version = registries[home].register("cats", model)
        # At home the key alone is enough.
        assert (version.number, version.run_key) == (number, f"{NIGHT}/candidate")
    query = "SELECT version, runs.name FROM model_versions JOIN runs ON run_id = run_uuid"
    assert dict(rows_of(database, query)) == {1: "candidate of a", 2: "candidate of b"}
    # A decides about the challenger, which is B's: what it says goes to B's run, though A has one of that key.
    registries[b].set_alias(version, CHALLENGER)
    challenger = registries[a].version_by_alias("cats", CHALLENGER)
    a.tracker.set_tags(challenger.run_key, {"promotion": "refused"})
    assert a.tracker.flush(120.0)
    assert a.tracker.read_run(challenger.run_key).name == "candidate of b"
    assert b.tracker.read_run(f"{NIGHT}/candidate").tags["promotion"] == "refused"
    assert "promotion" not in a.tracker.read_run(f"{NIGHT}/candidate").tags
    # The same model registered from both is one version, whose run is its first home's.
    found = registries[a].register("cats", model)
    assert (found.number, found.run_key) == (2, f"{NIGHT}/candidate@{b.environment.home_id()}")

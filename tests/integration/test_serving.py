"""A registered model in MLflow: it comes back byte for byte, and serves its own predictions over HTTP."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import requests
from servers import free_port

from cnn.config.environment import Environment
from cnn.durable import sha256_of
from cnn.errors import IntegrityError
from cnn.tracking.client import SETTINGS
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.registry import CHAMPION, Candidate
from cnn.tracking.server import server_command
from cnn.tracking.tracker import Run, RunState

pytestmark = pytest.mark.slow

LABELS = tuple("abc")
SHAPE = (6, 6, 3)
NAME = "served"


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (30, *SHAPE), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(images):
    """A tiny network that was really trained: uint8 in, probabilities out."""
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
    network = keras.Sequential(
        [keras.Input(SHAPE, dtype="uint8"), *layers, keras.layers.Dense(3, activation="softmax")]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(images, np.arange(30) % 3, epochs=2, verbose=0)
    return network


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return Environment(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def candidate(model, images, tmp_path_factory, environment):
    folder = tmp_path_factory.mktemp("outputs")
    model.save(folder / "model.keras")
    np.savez(folder / "predictions.npz", labels=np.zeros(3))
    deliver_run(environment)
    return Candidate(
        model=folder / "model.keras",
        run_key="s/candidate",
        labels=LABELS,
        image_shape=SHAPE,
        example=images[:1],
        lineage={"git_revision": "abc"},
        metrics={"test_accuracy": 0.5},
        params={"model.filters": "4"},
        files=(folder / "predictions.npz",),
    )


@pytest.fixture(scope="module")
def registry(environment):
    return MlflowRegistry(environment)


@pytest.fixture(scope="module")
def version(registry, candidate):
    version = registry.register(NAME, candidate)
    registry.set_alias(version, CHAMPION)
    return version


# Registering the same model with the same lineage again gives the version it has; another lineage, a new one.
def test_registering_is_idempotent(registry, candidate, version):
    assert registry.register(NAME, candidate) == version
    assert registry.register(NAME, replace(candidate, lineage={"git_revision": "def"})).number == version.number + 1


# An alias finds its version with its tags; an alias or a name that is not there finds nothing.
def test_aliases(registry, version):
    registry.set_tags(version, {"promotion": "promoted"})
    found = registry.version_by_alias(NAME, CHAMPION)
    assert (found.number, found.run_key) == (version.number, "s/candidate")
    assert found.tags["promotion"] == "promoted"
    assert registry.version_by_alias(NAME, "nobody") is None
    assert registry.version_by_alias("nothing", CHAMPION) is None


# The model comes back byte for byte; a flipped byte in the registry's own file is noticed before anything loads it.
def test_a_download_is_what_was_registered(registry, version, candidate, tmp_path):
    assert sha256_of(registry.download(version, tmp_path)) == sha256_of(candidate.model)
    assert registry.download_file(version, "predictions.npz", tmp_path).is_file()
    stored = Path(version.source.removeprefix("file://")) / "data" / "model.keras"
    whole = stored.read_bytes()
    stored.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"model\.keras"):
        registry.download(version, tmp_path / "again")
    stored.write_bytes(whole)


# Behind a real server, which keeps the files itself, the same holds: one version, its bytes, its alias.
def test_a_registry_behind_a_server(candidate, tmp_path):
    port = free_port()
    files = ("--artifacts-destination", str(tmp_path / "artifacts"))
    command = server_command(port, "--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", *files)
    environment = Environment(home=tmp_path / "home", tracking_uri=f"http://127.0.0.1:{port}")
    with running(command, SETTINGS, f"{environment.tracking_uri}/health", tmp_path):
        deliver_run(environment)
        registry = MlflowRegistry(environment)
        version = registry.register(NAME, candidate)
        assert registry.register(NAME, candidate) == version
        registry.set_alias(version, CHAMPION)
        assert registry.version_by_alias(NAME, CHAMPION).number == version.number
        assert sha256_of(registry.download(version, tmp_path)) == sha256_of(candidate.model)
        assert registry.download_file(version, "predictions.npz", tmp_path).is_file()


# `mlflow models serve` answers a real HTTP request with the probabilities that Keras itself predicts.
def test_the_registered_model_serves(environment, version, model, images, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"models:/{NAME}@{CHAMPION}"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # MLflow calls uvicorn by its name
    settings = SETTINGS | {"MLFLOW_TRACKING_URI": environment.mlflow_uri, "PATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with running(command, settings, f"http://127.0.0.1:{port}/ping", tmp_path):
        asked = {"instances": images[:5].tolist()}
        answer = requests.post(f"http://127.0.0.1:{port}/invocations", json=asked, timeout=60)
    assert answer.status_code == 200, answer.text
    served, expected = np.asarray(answer.json()["predictions"]), np.asarray(model.predict_on_batch(images[:5]))
    assert served.shape == (5, len(LABELS))
    np.testing.assert_allclose(served, expected, atol=1e-6)
    np.testing.assert_allclose(served.sum(axis=1), 1.0, atol=1e-5)


def deliver_run(environment):
    tracker = MlflowTracker(environment, "serving")
    tracker.start(Run(key="s/candidate", name="candidate"))
    tracker.end("s/candidate", RunState.FINISHED)
    assert tracker.flush(120.0)
    tracker.close()


@contextmanager
def running(command, settings, url, folder):
    """A server process from the moment it answers; ended with all its children."""
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            command, env=os.environ | settings, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(url, server, folder / "log")
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for(url, server, log):
    deadline = time.monotonic() + 240
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.exceptions.RequestException:
            time.sleep(0.5)
    raise AssertionError(log.read_text())

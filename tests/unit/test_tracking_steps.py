"""Register and promote, over the registry that ships for tests."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest

from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared
from cnn.durable import sha256_of, write_sealed
from cnn.errors import ConfigError, IntegrityError
from cnn.evaluation.predictions import Predictions, write_predictions
from cnn.steps.promote import LEDGER, promote
from cnn.steps.register import register
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.promotions import read_promotions
from cnn.tracking.registry import CHAMPION, Candidate, MemoryRegistry
from cnn.tracking.tracker import Run

N, CLASSES = 200, ("cat", "dog", "owl")
NAME = "cnn-overnight"


@pytest.fixture
def params():
    return read_params(overrides=["prepare.source=digits", "promote.smoke=false"])  # its models are no networks


class House:
    """A folder with the outputs of the first four steps, and the two ledgers of the last two."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = Environment(home=folder / "home")
        self.tracker, self.registry = MemoryTracker(), MemoryRegistry(folder / "registry")
        images = np.arange(8 * 16, dtype=np.uint8).reshape(8, 4, 4, 1)
        split = Split(images=images, labels=np.arange(8) % 3)
        data = DataSet(source="digits", place="here", class_names=CLASSES, train=split, test=split)
        splits = {"train": split, "validation": split, "test": split}
        self.prepared = write_prepared(folder / "data", data, splits)

    def outputs(self, n_right, *, key="study/candidate", test_hash="t" * 64):
        """A candidate that is right on the first `n_right` of N test images."""
        trained, evaluated = self.folder / "train", self.folder / "evaluate"
        trained.mkdir(exist_ok=True)
        with zipfile.ZipFile(trained / "model.keras", "w") as archive:
            archive.writestr("config.json", f"{n_right}")
        labels = np.zeros(N, dtype=np.int64)
        probs = np.tile(np.float32([0.0, 1.0, 0.0]), (N, 1))
        probs[:n_right] = [1.0, 0.0, 0.0]
        write_predictions(evaluated / "predictions.npz", Predictions(labels=labels, probs=probs))
        sha256 = sha256_of(trained / "model.keras")
        facts = {
            "key": key,
            "model_sha256": sha256,
            "data_hash": self.prepared.data_hash,
            "recipe": {"model": {"filters": 8}},
        }
        write_sealed(trained / "train.json", facts | {"best_val_accuracy": 0.9, "gap_at_best": 0.01})
        metrics = {"n": N, "accuracy": n_right / N, "gap_at_best": 0.01, "test_hash": test_hash, "model_sha256": sha256}
        metrics |= {"predictions_sha256": sha256_of(evaluated / "predictions.npz")}
        write_sealed(evaluated / "evaluate.json", metrics)
        self.tracker.start(Run(key=key, name="candidate"))

    def register(self, params):
        folders = {name: self.folder / name for name in ("data",)}
        return register(
            params, self.environment, self.tracker, self.registry,
            trained=self.folder / "train", evaluated=self.folder / "evaluate", **folders,
        )  # fmt: skip

    def promote(self, params):
        return promote(params, self.environment, self.tracker, self.registry)

    def champion(self):
        return self.registry.version_by_alias(NAME, CHAMPION).number


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


# A version says which model, data, settings and figures it is made of, and becomes the challenger.
def test_a_version_bears_its_lineage(house, params, tmp_path):
    house.outputs(100)
    version = house.register(params)
    assert version.number == 1
    assert version.tags["sha256"] == sha256_of(tmp_path / "train" / "model.keras")
    assert version.tags["data_hash"] == house.prepared.data_hash
    assert version.tags["test_accuracy"] == "0.5"
    assert {"git_revision", "params_digest", "test_hash", "gap_at_best"} <= version.tags.keys()
    assert house.registry.version_by_alias(NAME, "challenger").number == 1
    assert house.tracker.read_run("study/candidate").tags["version"] == f"{NAME} 1"


# Registering the same candidate again, as after a crash, finds its version; another candidate gets the next number.
def test_registering_again_makes_no_second_version(house, params):
    house.outputs(100)
    assert house.register(params).number == house.register(params).number == 1
    house.outputs(101)
    assert house.register(params).number == 2


# A candidate whose run the tracker never saw, as from DVC's cache, gets its run.
def test_a_candidate_without_a_run(house, params):
    house.outputs(100)
    house.tracker = MemoryTracker()
    house.register(params)
    assert house.tracker.read_run("study/candidate").params == {"model.filters": "8"}


# A model, predictions or figures that do not belong together are named and not registered.
def test_what_does_not_belong_together(house, params, tmp_path):
    house.outputs(100)
    model = tmp_path / "train" / "model.keras"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"model\.keras"):
        house.register(params)
    model.write_bytes(whole)
    predictions = tmp_path / "evaluate" / "predictions.npz"
    kept = predictions.read_bytes()
    predictions.write_bytes(kept[:100])
    with pytest.raises(IntegrityError, match=r"predictions\.npz"):
        house.register(params)
    predictions.write_bytes(kept)
    house.register(params)


# Only `.keras` archives are registered: other kinds can run code of their own when they are loaded.
@pytest.mark.parametrize(("name", "content"), [("model.h5", b"PK\x03\x04"), ("model.keras", b"\x89HDF")])
def test_other_files_are_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    candidate = Candidate(model=path, run_key="k", labels=CLASSES, image_shape=(4, 4, 1), example=None, lineage={})
    with pytest.raises(IntegrityError, match=r"a \.keras model"):
        MemoryRegistry(tmp_path / "registry").register(NAME, candidate)


# A registered model or file that was flipped is noticed before anything reads it; a file never kept is named.
def test_downloads_are_checked(house, params, tmp_path):
    house.outputs(100)
    version = house.register(params)
    assert house.registry.download(version, tmp_path).is_file()
    for name in ("model.keras", "predictions.npz"):
        path = tmp_path / "registry" / NAME / "1" / name
        path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError):
        house.registry.download(version, tmp_path)
    with pytest.raises(IntegrityError):
        house.registry.download_file(version, "predictions.npz", tmp_path)
    with pytest.raises(IntegrityError, match=r"no plots\.png"):
        house.registry.download_file(version, "plots.png", tmp_path)


# Without a challenger there is one clear line; the first version becomes champion without a test.
def test_the_first_champion(house, params):
    with pytest.raises(ConfigError, match="no challenger"):
        house.promote(params)
    house.outputs(100)
    house.register(params)
    verdict = house.promote(params)
    assert (verdict.promoted, verdict.champion, house.champion()) == (True, None, 1)
    # Asked again, as a night does that was cut off after promoting, it tells what was decided, and writes nothing.
    lines = len(read_promotions(house.environment.home / LEDGER))
    assert house.promote(params) == verdict
    assert len(read_promotions(house.environment.home / LEDGER)) == lines


# A challenger moves the champion only when it is better beyond luck; a refusal says why, in both ledgers.
@pytest.mark.parametrize(
    ("n_right", "promoted", "reason"),
    [
        (120, True, "better by 10.00 points"),
        (102, False, "not within the 0.019 of look 1"),
        (100, False, "not better"),
        (80, False, "not better"),
    ],
)
def test_only_what_is_better_beyond_luck(house, params, n_right, promoted, reason):
    house.outputs(100)
    house.register(params)
    house.promote(params)
    house.outputs(n_right, key="study/second")
    if n_right == 100:
        params = params.model_copy(update={"train": params.train.model_copy(update={"seed": 1})})
    house.register(params)
    verdict = house.promote(params)
    assert (verdict.promoted, verdict.challenger, verdict.champion) == (promoted, 2, 1)
    assert reason in verdict.reason
    assert house.champion() == (2 if promoted else 1)
    assert verdict.figures["wins"] == max(0, n_right - 100)
    line = read_promotions(house.environment.home / LEDGER)[-1]
    assert (line["promoted"], line["reason"], line["challenger"]) == (promoted, verdict.reason, 2)
    tags = house.registry.version_by_alias(NAME, "challenger").tags
    assert tags["promotion"] == ("promoted" if promoted else "refused")
    assert tags["promotion_reason"] == verdict.reason


# The sentence names the versions, whoever won.
def test_sentences(house, params):
    house.outputs(100)
    house.register(params)
    verdict = house.promote(params)
    assert verdict.sentence() == "version 1 is champion now: there was no champion"
    refused = replace(verdict, promoted=False, reason="not better", challenger=2, champion=1)
    assert refused.sentence() == "version 2 was not promoted: not better"

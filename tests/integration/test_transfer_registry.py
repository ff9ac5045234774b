"""Transfer learning as a person does it: `cnn search` and `cnn train` on top of a model of one's own registry."""

import numpy as np
import pytest
from making import all_digits
from ruamel.yaml import YAML
from servers import rows_of

from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.durable import read_sealed, sha256_of
from cnn.records import Head
from cnn.tracking.mlflow import MlflowTracker
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.registry import CHAMPION, Candidate
from cnn.tracking.tracker import Run, RunState

pytestmark = pytest.mark.slow

MODEL = {"blocks": 2, "filters": 4, "batch_norm": "before_activation", "dense_units": 8}
NAME = "even"


@pytest.fixture
def registered(project):
    """A model that tells even digits from odd ones, the champion of its name."""
    from cnn.training.fit import fit
    from cnn.training.saving import write_model

    images, digits = all_digits()
    split = Split(images=images[:400, ..., None], labels=digits[:400] % 2)
    recipe = Recipe.model_validate({"model": MODEL, "training": {"epochs": 2, "batch_size": 32}})
    settings = {"head": Head(class_names=("even", "odd")), "seed": 0, "checkpoint": None}
    model = fit(recipe, split, split, on_epoch=lambda row: False, **settings).model
    path = project.folder / "source" / "model.keras"
    write_model(path, model)
    tracker = MlflowTracker(project.environment, "cnn-overnight", source="a test")
    tracker.start(Run(key="earlier/candidate", name="candidate"))
    tracker.end("earlier/candidate", RunState.FINISHED)
    # The run that trained it is there.
    assert tracker.flush(120)
    tracker.close()
    candidate = Candidate(
        model=path, run_key="earlier/candidate", labels=("even", "odd"), image_shape=(8, 8, 1),
        example=np.asarray(split.images[:1]), lineage={"data_hash": "earlier"},
    )  # fmt: skip
    registry = MlflowRegistry(project.environment)
    registry.set_alias(registry.register(NAME, candidate), CHAMPION)
    return sha256_of(path)


def tags_of(project, key):
    query = f"SELECT key, value FROM tags WHERE run_uuid IN (SELECT run_uuid FROM tags WHERE value = '{key}')"
    return dict(rows_of(project.mlflow, query))


def test_search_and_train_start_from_a_version_of_the_registry(project, registered):
    recipe = {
        "model": MODEL,
        "optimizer": {"learning_rate": 0.01},
        "training": {"batch_size": 64},
        "transfer": {"from": f"models:/{NAME}@champion", "then": {"epochs": 1, "learning_rate": 0.001}},
    }
    with (project.folder / "tiny.yaml").open("w") as file:
        YAML().dump(recipe, file)
    space = {
        "transfer.freeze": {"type": "choice", "values": ["all", 1, "none"]},
        "transfer.then.learning_rate": {"type": "float", "low": 0.0005, "high": 0.005, "log": True},
    }
    document = YAML(typ="safe").load((project.folder / "params.yaml").read_text())
    document["search"] |= {"space": space, "finalists": 1, "finalist_seeds": 0, "workers": 1}
    document["search"]["budget"] |= {"trials": 2, "epochs": 2}
    document["train"]["epochs"] = 1
    with (project.folder / "params.yaml").open("w") as file:
        YAML().dump(document, file)
    code, said = project.run("search")
    assert code == 0, said
    # Both phases of each trial, in a worker process: two epochs of the search, and one of fine-tuning on top.
    assert [len(row.outcome.curve) for row in project.ledger()] == [3, 3]
    transfer = read_sealed(project.folder / "outputs/search/winner.yaml")["recipe"]["transfer"]
    # A study that is over keeps what it started from by name, not by weight.
    assert (project.study_folder / "transfer.json").exists() and not list(project.study_folder.rglob("*.npz"))
    # What won names its source for good, and the runs and trials say where they came from.
    assert (transfer["from"], transfer["sha256"]) == (f"models:/{NAME}/1", registered)
    for key in (project.study, f"{project.study}/0", f"{project.study}/1"):
        tags = tags_of(project, key)
        assert (tags["transfer_from"], tags["transfer_sha256"]) == (f"models:/{NAME}/1", registered)
    code, said = project.run("train")
    assert code == 0, said
    trained = read_sealed(project.folder / "outputs/train/train.json")
    # The candidate was trained from the same version, with the epochs of its own section before the fine-tuning.
    assert (trained["recipe"]["transfer"], trained["n_epochs"]) == (transfer, 2)
    assert tags_of(project, trained["key"])["transfer_sha256"] == registered

"""MLflow serves every head: what it answers is what the model that was trained answers."""

from types import SimpleNamespace

import numpy as np
import pytest

from cnn.config.architectures import PlainRecipe
from cnn.models import build_model
from cnn.records import Head, Task
from cnn.tracking.mlflow_registry import write_mlflow_model
from cnn.tracking.registry import Candidate
from cnn.training.saving import write_model

pytestmark = pytest.mark.slow

SHAPE = (12, 12, 1)
NAMES = ("cat", "dog", "car")
HEADS = {
    Task.MULTICLASS: Head(class_names=NAMES),
    Task.BINARY: Head(class_names=("no", "yes"), task=Task.BINARY),
    Task.MULTILABEL: Head(class_names=NAMES, task=Task.MULTILABEL),
    Task.HIERARCHICAL: Head(
        class_names=NAMES, task=Task.HIERARCHICAL, ancestors=(("animal",), ("animal",), ("vehicle",))
    ),
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_served_model_answers_as_the_trained_one(head, tmp_path):
    import mlflow.pyfunc  # noqa: TID251 - the way a server loads it

    model = build_model(PlainRecipe(blocks=1, filters=4, dense_units=8), SHAPE, head, seed=0)
    write_model(tmp_path / "model.keras", model)
    images = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), dtype=np.uint8)
    candidate = Candidate(
        model=tmp_path / "model.keras", run_key="s/candidate", labels=head.class_names, image_shape=SHAPE,
        example=images[:1], lineage={},
    )  # fmt: skip
    logged = SimpleNamespace(artifact_location=str(tmp_path), model_id="m-0")
    write_mlflow_model(tmp_path / "served", candidate, logged, "0" * 32)
    served = mlflow.pyfunc.load_model(str(tmp_path / "served"))
    answers = served.predict(images)
    # Bytes in, probabilities out, and nothing of this package between.
    np.testing.assert_allclose(answers, model.predict_on_batch(images), atol=1e-6)
    # The signature promises what comes, and the labels say which column is which.
    assert served.metadata.signature.outputs.inputs[0].shape == (-1, head.n_classes) == (-1, answers.shape[1])
    assert served.metadata.metadata["labels"] == list(head.class_names)

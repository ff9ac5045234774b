"""Mixtures and weights as the network meets them: through `fit`, from its first step."""

import keras
import numpy as np
import pytest

from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.data.class_balance import positive_weights
from cnn.data.pipeline import TrainingPipeline
from cnn.records import Head, Task
from cnn.training.fit import fit
from cnn.training.network import compiled_model
from cnn.training.schedules import Schedule

NAMES = ("a", "b", "c")
HEADS = {
    "multiclass": Head(class_names=NAMES),
    "multilabel": Head(class_names=NAMES, task=Task.MULTILABEL),
    "hierarchical": Head(class_names=NAMES, task=Task.HIERARCHICAL, ancestors=(("x",), ("x",), ("y",))),
}
RECIPE = {
    "model": {"blocks": 1, "filters": 4, "dense_units": 8},
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.0},
    "training": {"epochs": 1, "batch_size": 1000},
}


def recipe_with(*, augment=None, **training):
    sections = RECIPE | {"training": RECIPE["training"] | training, "augment": augment or {}}
    return Recipe.model_validate(sections)


def images_of(labels):
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8)
    return Split(images=images, labels=labels)


def weights_after(recipe, split, head=HEADS["multiclass"]):
    fitted = fit(recipe, split, split, head=head, seed=1, checkpoint=None, on_epoch=lambda row: False)
    return fitted, fitted.model.get_weights()


def test_weighing_a_class_is_showing_it_more_often() -> None:
    split = images_of(np.array([0] * 8 + [1] * 4 + [2] * 2))
    often = split.part(np.repeat(np.arange(14), np.array([1, 2, 4])[split.labels]))
    weighted, weights = weights_after(recipe_with(class_balance="weights"), split)
    _, repeated = weights_after(recipe_with(), often)
    plain, unweighted = weights_after(recipe_with(), split)
    # One step on all images, each in proportion to how rare its class is, is a step on copies of the rare ones.
    for one, other in zip(weights, repeated, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert max(np.abs(one - other).max() for one, other in zip(weights, unweighted, strict=True)) > 1e-3
    # What is reported of the step, which comes before any change, is not weighted.
    assert weighted.curve[0].train_loss == pytest.approx(plain.curve[0].train_loss, rel=1e-6)


def test_labels_are_weighed_one_by_one() -> None:
    head, recipe = HEADS["multilabel"], recipe_with(class_balance="weights")
    labels = (np.random.default_rng(1).random((40, 3)) < (0.1, 0.5, 0.8)).astype(np.int64)
    split = images_of(labels)
    pipeline = TrainingPipeline(
        split.images, labels, batch_size=40, augment=recipe.augment, seed=0, n_classes=3, class_balance="weights"
    )
    images, targets, weights = next(pipeline.epoch(0).as_numpy_iterator())
    model = compiled_model(recipe, (8, 8, 1), head, seed=0, schedule=Schedule(recipe.optimizer, 10))
    probs = keras.ops.convert_to_numpy(model(images)).astype(np.float64)
    losses = -np.where(targets == 1, positive_weights(labels) * np.log(probs), np.log1p(-probs))
    # The loss counts a label that holds by how rare it is, alone among the labels of its image.
    loss = model.train_on_batch(images, targets, sample_weight=weights, return_dict=True)["loss"]
    assert float(loss) == pytest.approx(losses.mean(), rel=1e-4)


@pytest.mark.parametrize("task", HEADS)
def test_mixtures_train_whatever_the_task(task: str) -> None:
    labels = np.arange(60) % 3
    labels = np.eye(3, dtype=np.int64)[labels] if task == "multilabel" else labels
    recipe = recipe_with(
        augment={"mixup": 0.4, "cutmix": 1.0}, class_balance="weights", batch_size=16, epochs=2, label_smoothing=0.1
    )
    fitted, _ = weights_after(recipe, images_of(labels), HEADS[task])
    # Shares of classes are targets of each loss; all figures are there.
    assert len(fitted.curve) == 2
    assert all(np.isfinite(value) for row in fitted.curve for value in row.figures().values())

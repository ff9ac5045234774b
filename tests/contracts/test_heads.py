"""What every head must do with every kind of classification: one small network, four ends."""

import keras
import numpy as np
import pytest

from cnn.config.architectures import PlainRecipe
from cnn.config.recipe import Recipe
from cnn.models import build_model
from cnn.records import Head, Task
from cnn.training.answers import predictions, right, score
from cnn.training.cross_entropy import loss
from cnn.training.losses import make_loss
from cnn.training.network import compiled_model
from cnn.training.schedules import Schedule
from cnn.training.tree import membership

NAMES = ("cat", "dog", "car", "plane")
HEADS = {
    Task.MULTICLASS: Head(class_names=NAMES),
    Task.BINARY: Head(class_names=("no", "yes"), task=Task.BINARY),
    Task.MULTILABEL: Head(class_names=NAMES, task=Task.MULTILABEL),
    Task.HIERARCHICAL: Head(
        class_names=NAMES,
        task=Task.HIERARCHICAL,
        ancestors=(("animal",), ("animal",), ("vehicle", "road"), ("vehicle",)),
    ),
}
SHAPE = (12, 12, 1)
RECIPE = Recipe.model_validate(
    {"model": {"blocks": 1, "filters": 8, "dense_units": 16}, "optimizer": {"learning_rate": 0.01}}
)
every_task = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)


def images_and_labels(head: Head, n: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Squares whose place tells the class; with several labels each has a corner of its own."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 40, (n, *SHAPE), dtype=np.uint8)
    held = np.eye(head.n_classes, dtype=np.uint8)[np.arange(n) % head.n_classes]
    if head.task is Task.MULTILABEL:
        held = generator.integers(0, 2, (n, head.n_classes), dtype=np.uint8)
    for number, corner in enumerate(((0, 0), (0, 6), (6, 0), (6, 6))[: head.n_classes]):
        row, column = corner
        images[:, row : row + 6, column : column + 6] += (held[:, number] * 200)[:, None, None, None]
    return images, held if head.task is Task.MULTILABEL else held.argmax(axis=1)


def targets(head: Head, labels: np.ndarray) -> np.ndarray:
    """As the pipeline gives them."""
    return labels.astype(np.float32 if head.task is Task.MULTILABEL else np.int32)


def build(head: Head, *, mixed_precision: bool = False) -> keras.Model:
    recipe = PlainRecipe(blocks=1, filters=4, dense_units=8)
    return build_model(recipe, SHAPE, head, seed=0, mixed_precision=mixed_precision)


@every_task
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_an_answer_is_a_float32_probability_a_class(head: Head, mixed_precision: bool) -> None:
    model = build(head, mixed_precision=mixed_precision)
    images, _ = images_and_labels(head)
    probs = np.asarray(model(images))
    # One form for all tasks, so that nothing that reads an answer must ask which it is.
    assert (probs.dtype, probs.shape, model.layers[-1].name) == (np.float32, (48, head.n_classes), "probs")
    assert ((probs >= 0) & (probs <= 1)).all()
    # Classes exclude each other; labels do not.
    if head.task is not Task.MULTILABEL:
        np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)


def test_two_classes_are_told_apart_by_one_unit() -> None:
    model = build(HEADS[Task.BINARY])
    images, _ = images_and_labels(HEADS[Task.BINARY])
    logits = np.asarray(keras.Model(model.input, model.get_layer("positive").output)(images))[:, 0]
    # The second column is the sigmoid of that unit, the first one the rest.
    np.testing.assert_allclose(np.asarray(model(images))[:, 1], 1 / (1 + np.exp(-logits)), rtol=1e-5)


@every_task
def test_gradients_are_finite_and_reach_every_weight(head: Head) -> None:
    import tensorflow as tf  # noqa: TID251 - gradients have no name of their own in Keras

    model, loss_of = build(head), make_loss(head, 0.1)
    images, labels = images_and_labels(head)
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss_of(targets(head, labels), model(images, training=True)))
    # A head that does not pass its gradient on trains nothing.
    for gradient, weight in zip(
        tape.gradient(value, model.trainable_variables), model.trainable_variables, strict=True
    ):
        assert np.isfinite(gradient).all() and np.any(gradient), weight.path


@every_task
def test_training_lowers_the_loss_and_leads_to_right_answers(head: Head) -> None:
    images, labels = images_and_labels(head)
    schedule = Schedule(RECIPE.optimizer, 200)
    model = compiled_model(RECIPE, SHAPE, head, seed=0, schedule=schedule)
    before = model.predict_on_batch(images)
    logs = model.fit(images, targets(head, labels), batch_size=48, epochs=60, shuffle=False, verbose=0).history
    after = model.predict_on_batch(images)
    # The loss that is scored falls with the one that is trained on, and both agree.
    assert loss(labels, after, head) < loss(labels, before, head) / 4
    assert logs["cross_entropy"][-1] == pytest.approx(loss(labels, after, head), rel=0.5, abs=0.02)
    # The squares are plain to see: nearly all are answered entirely right, also while it runs.
    assert right(labels, after, head.task).mean() > 0.9 and logs["accuracy"][-1] > 0.9
    assert score(labels, after, head) >= max(0.95, score(labels, before, head))


@every_task
def test_labels_may_be_mixtures(head: Head) -> None:
    images, labels = images_and_labels(head)
    model = compiled_model(RECIPE, SHAPE, head, seed=0, schedule=Schedule(RECIPE.optimizer, 10))
    held = targets(head, labels) if labels.ndim == 2 else np.eye(head.n_classes, dtype=np.float32)[labels]
    probs = model.predict_on_batch(images)
    mixed = 0.25 * held + 0.75 * held[::-1]
    # A loss is linear in its target: that of a mixture is the mixture of the losses.
    one, other, both = (np.asarray(make_loss(head, 0.1)(each, probs)) for each in (held, held[::-1], mixed))
    np.testing.assert_allclose(both, 0.25 * one + 0.75 * other, rtol=1e-4)
    # Training takes it as it takes plain labels.
    logs = model.fit(images, mixed, epochs=1, verbose=0).history
    assert np.isfinite([logs["loss"][0], logs["cross_entropy"][0]]).all() and 0 <= logs["accuracy"][0] <= 1


@every_task
def test_the_loss_of_training_is_the_loss_of_scoring(head: Head) -> None:
    generator = np.random.default_rng(1)
    _, labels = images_and_labels(head)
    probs = generator.dirichlet(np.ones(head.n_classes), 48).astype(np.float32)
    # Two implementations of one formula: Keras's, which has gradients, and plain numpy's.
    assert float(np.mean(make_loss(head)(targets(head, labels), probs))) == pytest.approx(
        loss(labels, probs, head), rel=1e-4
    )


@every_task
def test_images_can_be_weighted(head: Head) -> None:
    _, labels = images_and_labels(head)
    probs = np.full((48, head.n_classes), 1 / head.n_classes, np.float32)
    # Class weights need a loss an image, where it has several labels one for each.
    expected = (48, head.n_classes) if head.task is Task.MULTILABEL else (48,)
    assert make_loss(head)(targets(head, labels), probs).shape == expected


@every_task
def test_a_saved_model_answers_as_before_and_needs_no_code_of_ours(head: Head, tmp_path) -> None:
    model = build(head)
    images, _ = images_and_labels(head)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded.predict_on_batch(images), model.predict_on_batch(images))
    # Keras's own layers alone: a server has none of ours.
    assert all(type(layer).__module__.startswith("keras.") for layer in loaded.layers)


def test_what_is_predicted_never_contradicts_the_tree() -> None:
    head = HEADS[Task.HIERARCHICAL]
    images, _ = images_and_labels(head)
    probs = build(head).predict_on_batch(images)
    of_nodes = probs @ membership(head)
    # No node is more probable than the one above it, and the top level is a distribution.
    assert (of_nodes[:, 0] + of_nodes[:, 1]).tolist() == pytest.approx([1.0] * 48, abs=1e-5)
    assert (predictions(probs, head.task) == probs.argmax(axis=1)).all()

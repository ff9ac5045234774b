import numpy as np
import pytest

from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.records import EpochRow, Head, TrialState

pytestmark = pytest.mark.slow

HEAD = Head(class_names=("dark", "bright", "striped"))
TINY = {"model": {"blocks": 1, "filters": 4, "dense_units": 8}}


def images(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    pixels = rng.integers(0, 60, (n, 8, 8, 1)).astype(np.uint8)
    pixels[labels == 1] += 150
    pixels[labels == 2, ::2] += 190
    return Split(images=pixels, labels=labels)


TRAIN, VALIDATION = images(96, 0), images(30, 1)


def recipe(*, epochs=3, patience=None, optimizer=None, label_smoothing=0.0, **model):
    training = {"epochs": epochs, "batch_size": 16, "patience": patience, "label_smoothing": label_smoothing}
    settings = {"learning_rate": 0.01} | (optimizer or {})
    return Recipe.model_validate({"model": TINY["model"] | model, "optimizer": settings, "training": training})


def fitted(recipe, *, seed=0, checkpoint=None, on_epoch=lambda row: False, train=TRAIN):
    from cnn.training.fit import fit

    return fit(recipe, train, VALIDATION, head=HEAD, seed=seed, checkpoint=checkpoint, on_epoch=on_epoch)


def without_seconds(curve):
    return [{name: value for name, value in row.figures().items() if name != "seconds"} for row in curve]


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimizer_learns(name):
    found = fitted(recipe(epochs=6, optimizer={"name": name, "weight_decay": 0.001}))
    # The classes differ plainly, so each optimizer must tell them apart on images it never saw.
    assert found.curve[found.best_epoch].val_accuracy > 0.9
    assert (found.state, found.reason, len(found.curve)) == (TrialState.COMPLETED, "all epochs", 6)


def test_same_seed_same_run_and_another_seed_another():
    one, same, other = (fitted(recipe(dropout=0.3), seed=seed) for seed in (1, 1, 2))
    # Everything random is a function of the seed.
    assert without_seconds(one.curve) == without_seconds(same.curve) != without_seconds(other.curve)


def test_the_model_has_the_weights_of_its_best_epoch():
    from cnn.training.scoring import score

    found = fitted(recipe(epochs=6, optimizer={"learning_rate": 0.1}, dropout=0.5))
    best, again = found.curve[found.best_epoch], score(found.model, VALIDATION, HEAD)
    # What is handed back scores as the best epoch of the curve did, not as the last.
    assert (again.accuracy, again.loss) == pytest.approx((best.val_accuracy, best.val_loss))


def test_early_stopping_waits_for_its_patience():
    found = fitted(recipe(epochs=50, patience=2, optimizer={"name": "sgd", "learning_rate": 1e-30}))
    # A rate of nearly nothing changes no weight, so nothing improves: the run ends long before its epochs do.
    assert found.reason == "early stopping"
    assert found.curve[-1].epoch - found.best_epoch == 2


def test_nan_ends_the_run_at_once():
    # Each step multiplies every kernel by 1 - rate x decay = -9.
    found = fitted(recipe(epochs=20, optimizer={"name": "sgd", "learning_rate": 10.0, "weight_decay": 1.0}))
    # The epoch that diverged is no part of the curve, whose best epoch can therefore always be named.
    assert (found.state, found.reason) == (TrialState.FAILED, f"NaN loss at epoch {len(found.curve) + 1}")
    assert len(found.curve) < 20
    assert (found.best_epoch is None) == (not found.curve)


def test_on_epoch_prunes():
    found = fitted(recipe(epochs=9), on_epoch=lambda row: row.epoch == 1)
    # True ends the run with the epoch it was said to.
    assert (found.state, found.reason, len(found.curve)) == (TrialState.PRUNED, "pruned at epoch 2", 2)


def test_a_finished_run_is_replayed_not_trained(tmp_path):
    first = fitted(recipe(), checkpoint=tmp_path)
    heard: list[EpochRow] = []
    again = fitted(recipe(), checkpoint=tmp_path, on_epoch=lambda row: heard.append(row) is not None)
    # Every row comes from the checkpoint, `seconds` included, and so do the best weights.
    assert tuple(heard) == again.curve == first.curve
    pairs = zip(first.model.get_weights(), again.model.get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_a_stop_holds_for_where_the_run_stands(tmp_path):
    fitted(recipe(epochs=9), checkpoint=tmp_path, on_epoch=lambda row: row.epoch == 1)
    again = fitted(recipe(epochs=9), checkpoint=tmp_path, on_epoch=lambda row: True)
    # Said to epoch 1 already, it is obeyed at epoch 2, where the checkpoint stands: no finished epoch is lost.
    assert (again.state, again.reason, len(again.curve)) == (TrialState.PRUNED, "pruned at epoch 2", 2)


def test_a_run_that_is_over_is_not_pruned():
    # A stop that comes with the last epoch takes nothing from a run that has been trained to its end.
    assert fitted(recipe(epochs=2), on_epoch=lambda row: row.epoch == 1).state is TrialState.COMPLETED


@pytest.mark.parametrize("change", ["recipe", "seed", "data"])
def test_another_runs_checkpoint_is_not_used(tmp_path, change):
    fitted(recipe(), checkpoint=tmp_path)
    other = recipe(epochs=2) if change == "recipe" else recipe()
    settings = {"seed": int(change == "seed"), "train": images(96, 5) if change == "data" else TRAIN}
    # With a checkpoint of something else in its folder, the run is the one it would have been in an empty folder.
    found, expected = fitted(other, checkpoint=tmp_path, **settings), fitted(other, **settings)
    assert without_seconds(found.curve) == without_seconds(expected.curve)


def test_label_smoothing_leaves_the_curve_in_nats():
    plain, smoothed = fitted(recipe(epochs=8)), fitted(recipe(epochs=8, label_smoothing=0.5))
    # It changes the training, but a smoothed loss can't fall below its entropy, 0.87, and the curve's does.
    assert smoothed.curve[-1].train_loss != plain.curve[-1].train_loss
    assert smoothed.curve[-1].train_loss < 0.87
    assert smoothed.curve[-1].train_loss == pytest.approx(smoothed.curve[-1].clean_train_loss, abs=0.2)


def test_smoothed_cross_entropy_follows_its_formula():
    from cnn.training.losses import make_loss

    probs = np.array([[0.7, 0.2, 0.1]], np.float32)
    # Target (1 - 0.3) onehot + 0.3 / 3.
    expected = -np.sum([0.8, 0.1, 0.1] * np.log(probs))
    assert float(make_loss(HEAD, 0.3)(np.array([0]), probs)[0]) == pytest.approx(expected, rel=1e-5)


def test_the_clean_sample_is_stratified_and_fixed():
    from cnn.training.fit import clean_sample

    one, again = clean_sample(TRAIN, 30), clean_sample(TRAIN, 30)
    # As many images as validation has, each class with its share, the same ones each time.
    assert np.bincount(one.labels).tolist() == [10, 10, 10]
    assert np.array_equal(one.images, again.images)
    # A training set smaller than the validation set is taken whole.
    assert len(clean_sample(TRAIN, 1000)) == len(TRAIN)


def test_scoring_does_not_depend_on_the_batches():
    from cnn.training.scoring import probabilities

    model = fitted(recipe(epochs=1)).model
    many = images(1100, 3).images
    # 1,100 images go in three batches, the last filled up; each answer is the one the image gets alone.
    assert probabilities(model, many)[[0, 500, 1099]] == pytest.approx(
        model.predict_on_batch(many[[0, 500, 1099]]), abs=1e-5
    )


def test_the_rate_in_the_curve_is_that_of_the_last_step():
    found = fitted(recipe(epochs=2, optimizer={"schedule": "cosine", "learning_rate": 0.01}))
    # 6 steps an epoch, 12 in all: the last steps are 5 and 11.
    expected = [0.005 * (1 + np.cos(np.pi * step / 12)) for step in (5, 11)]
    assert [row.learning_rate for row in found.curve] == pytest.approx(expected, rel=1e-4)


def test_mixed_precision_trains():
    mixed = recipe(epochs=2).model_copy(
        update={"training": recipe(epochs=2).training.model_copy(update={"mixed_precision": True})}
    )
    # Half-width arithmetic still gives finite figures and float32 answers.
    found = fitted(mixed)
    assert found.state is TrialState.COMPLETED
    assert found.model.predict_on_batch(VALIDATION.images).dtype == np.float32


def test_the_model_file_is_the_same_bytes_and_needs_no_code_of_ours(tmp_path):
    import keras

    from cnn.training.saving import write_model

    for name in ("one", "other"):
        write_model(tmp_path / f"{name}.keras", fitted(recipe(dropout=0.1, batch_norm="after_pool")).model)
    # Two trainings of the same recipe give the same file.
    assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "other.keras").read_bytes()
    loaded = keras.saving.load_model(tmp_path / "one.keras", compile=True, safe_mode=True)
    # It carries no optimizer, and answers like the one that was written.
    assert not loaded.compiled
    assert loaded.predict_on_batch(VALIDATION.images).shape == (30, 3)

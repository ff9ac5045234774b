"""Two phases on one curve: what moves when, what stays, and that a run taken up again is the same run."""

import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.errors import ConfigError
from cnn.records import Head, Task, TrialState, best_row

pytestmark = pytest.mark.slow

SOURCE_HEAD, HEAD = Head(class_names=("a", "b", "c")), Head(class_names=("dark", "bright"))
MODEL = {"blocks": 2, "filters": 4, "dense_units": 8, "batch_norm": "before_activation", "dropout": 0.2}
N_FIRST, N_THEN = 2, 2


def images(n, n_classes, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    pixels = rng.integers(0, 60, (n, 8, 8, 1)).astype(np.uint8)
    pixels[np.arange(n), labels * 2] += 120
    return Split(images=pixels, labels=labels)


def recipe(*, then=True, freeze="all", epochs=N_FIRST, patience=None, model=None, **optimizer):
    section = {"from": "source.keras", "freeze": freeze}
    section |= {"then": {"epochs": N_THEN, "learning_rate": 0.002}} if then else {}
    settings = {"learning_rate": 0.01, "schedule": "cosine"} | optimizer
    training = {"epochs": epochs, "batch_size": 16, "patience": patience}
    document = {"model": MODEL | (model or {}), "optimizer": settings, "training": training, "transfer": section}
    return Recipe.model_validate(document | {"augment": {"shift": 0.1}})


def fitted(recipe, backbone, *, checkpoint=None, on_epoch=lambda row: False, seed=3):
    from cnn.training.fit import fit

    train, validation = images(64, 2, 1), images(24, 2, 2)
    settings = {"head": HEAD, "seed": seed, "checkpoint": checkpoint, "on_epoch": on_epoch}
    return fit(recipe, train, validation, backbone=backbone, **settings)


def weights_of(model):
    return {f"{layer.name}/{weight.name}": weight.numpy() for layer in model.layers for weight in layer.weights}


def moved(fitted, backbone):
    """The variables, of those that came from the source, that are no longer as they came."""
    now = weights_of(fitted.model)
    return {name for name, weight in backbone.items() if not np.array_equal(now[name], weight)}


@pytest.fixture(scope="module")
def backbone():
    """The weights of a network that told three classes apart."""
    from cnn.training.fit import fit
    from cnn.training.transfer import backbone_weights

    base = Recipe.model_validate({"model": MODEL, "training": {"epochs": 3, "batch_size": 16}})
    train, validation = images(96, 3, 4), images(30, 3, 5)
    settings = {"seed": 0, "checkpoint": None, "on_epoch": lambda row: False}
    return backbone_weights(fit(base, train, validation, head=SOURCE_HEAD, **settings).model)


def test_the_classifier_alone_stays_behind(backbone):
    layers = {name.partition("/")[0] for name in backbone}
    # Convolutions, their BatchNorm and the dense layer before the classifier come along.
    assert layers == {"block1_conv1", "block1_norm1", "block2_conv1", "block2_norm1", "dense"}


def test_what_is_frozen_does_not_move_at_all(backbone):
    found = fitted(recipe(then=False), backbone)
    # Neither a weight nor a statistic of BatchNorm, to the last bit, while two epochs trained the classifier.
    assert moved(found, backbone) == set()
    assert found.curve[0].clean_train_loss != found.curve[-1].clean_train_loss


def test_stages_are_frozen_from_the_images_on(backbone):
    found = fitted(recipe(then=False, freeze=1), backbone)
    # The first block stays as it came with its BatchNorm; all of the second, and what follows the maps, moves.
    assert moved(found, backbone) == {name for name in backbone if not name.startswith("block1")}


def test_nothing_frozen_is_a_start_and_no_more(backbone):
    # Even BatchNorm learns, as in any training.
    assert moved(fitted(recipe(then=False, freeze="none"), backbone), backbone) == set(backbone)


def test_fine_tuning_moves_all_but_batch_norm(backbone):
    found = fitted(recipe(freeze=1, epochs=1, learning_rate=1e-9), backbone)
    # The first phase moves nothing to speak of, so that the best epoch is one of the second.
    assert found.best_epoch > 0
    fixed = {name for name in backbone if name.startswith("block1_norm")}
    # Frozen layers have been set free; BatchNorm that was frozen has stayed as it came through both phases.
    assert moved(found, backbone) & fixed == set()
    assert moved(found, backbone) >= set(backbone) - {name for name in backbone if "norm" in name}


def test_the_second_phase_has_a_schedule_of_its_own_and_the_curve_goes_on(backbone):
    found = fitted(recipe(), backbone)
    rates = [row.learning_rate for row in found.curve]
    steps = 4

    def cosine(peak, epoch):
        return peak * (1 + np.cos(np.pi * ((epoch + 1) * steps - 1) / (steps * N_FIRST))) / 2

    # Each phase falls from its own peak over its own epochs.
    assert rates == pytest.approx([cosine(peak, epoch) for peak in (0.01, 0.002) for epoch in range(2)], rel=1e-4)
    assert [row.epoch for row in found.curve] == list(range(N_FIRST + N_THEN))
    assert (found.state, found.reason) == (TrialState.COMPLETED, "all epochs")
    # The best epoch is that of both.
    assert found.best_epoch == best_row(found.curve).epoch


def test_fine_tuning_goes_on_from_the_best_epoch(backbone):
    # Steps of this size ruin the classifier, so that the last epoch of the first phase is not its best.
    wild = recipe(epochs=4, learning_rate=9.0, name="sgd", schedule="constant", momentum=0.9)
    still = wild.transfer.model_copy(update={"then": wild.transfer.then.model_copy(update={"learning_rate": 1e-12})})
    found = fitted(wild.model_copy(update={"transfer": still}), backbone)
    first = best_row(found.curve[:4])
    assert first.val_loss < found.curve[3].val_loss
    # A second phase that moves nothing scores what the best epoch of the first has scored.
    assert found.curve[4].val_loss == pytest.approx(first.val_loss, abs=1e-5)


def check_same(one, other):
    figures = [[asdict(row) | {"seconds": 0} for row in found.curve] for found in (one, other)]
    # The figures are equal, not near.
    assert figures[0] == figures[1]
    ours, theirs = weights_of(one.model), weights_of(other.model)
    # So is every bit of the weights that are handed on.
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def last_state(folder):
    newest = max(Path(folder).glob("epoch-*.checkpoint"))
    with newest.open("rb") as file:
        file.seek(65)
        with np.load(file) as last:
            return {name: last[name] for name in last.files if name != "document"}


def test_a_run_taken_up_at_any_epoch_of_either_phase_is_the_same_run(backbone, tmp_path):
    two = recipe(freeze=1)
    whole = fitted(two, backbone, checkpoint=tmp_path / "whole")
    expected = last_state(tmp_path / "whole")
    for stop in range(N_FIRST + N_THEN - 1):
        folder = tmp_path / str(stop)
        cut = fitted(two, backbone, checkpoint=folder, on_epoch=lambda row, stop=stop: row.epoch == stop)
        # It was cut off there.
        assert len(cut.curve) == stop + 1
        check_same(fitted(two, backbone, checkpoint=folder), whole)
        found = last_state(folder)
        # The optimizer of the present phase and every generator stand where they would have stood.
        assert expected.keys() == found.keys()
        assert all(np.array_equal(expected[name], found[name]) for name in expected)


def test_another_backbone_is_another_run(backbone, tmp_path):
    first = fitted(recipe(then=False), backbone, checkpoint=tmp_path)
    other = {name: weight + 1 for name, weight in backbone.items()}
    again = fitted(recipe(then=False), other, checkpoint=tmp_path)
    # A checkpoint that began elsewhere is not gone on from: the new run keeps the weights it was given.
    assert moved(again, other) == set() and len(again.curve) == len(first.curve)


def test_the_model_that_is_handed_on_is_a_plain_one(backbone, tmp_path):
    import keras

    from cnn.training.saving import write_model

    write_model(tmp_path / "model.keras", fitted(recipe(), backbone).model)
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    # Nothing in it is frozen, whatever the phases had frozen.
    assert all(layer.trainable for layer in loaded.layers)


MISFITS = {
    "width": ({"filters": 8}, "layer block1_conv1: kernel (3, 3, 1, 4) in the source; expected kernel (3, 3, 1, 8)"),
    "depth": ({"blocks": 3}, "layer block3_conv1: none in the source; expected kernel (3, 3, 8, 16)"),
    "shallow": (
        {"blocks": 1, "dense_units": 0},
        "layer block2_conv1: kernel (3, 3, 4, 8) in the source",
    ),
    "family": ({"family": "resnet"}, "layer stem_conv: none in the source; expected kernel (3, 3, 1, 16)"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_source_that_does_not_fit_is_one_line_that_names_the_layer(backbone, name):
    change, words = MISFITS[name]
    kept = {} if "family" in change else MODEL
    document = recipe().model_dump(mode="json") | {"model": kept | change}
    # Nothing is taken over in part: the first layer that differs is named, with both shapes.
    with pytest.raises(ConfigError, match=re.escape(words)):
        fitted(Recipe.model_validate(document), backbone)


def test_more_stages_than_there_are_is_one_line(backbone):
    with pytest.raises(ConfigError, match=r"transfer\.freeze: received 3; expected all, none or 1 to 2"):
        fitted(recipe(freeze=3), backbone)


def test_who_resolves_no_source_trains_no_such_recipe():
    with pytest.raises(ConfigError, match=r"transfer: received a start from source\.keras"):
        fitted(recipe(), None)


def test_a_source_of_one_task_starts_a_network_for_another(backbone):
    from cnn.training.fit import fit

    head = Head(class_names=("no", "yes"), task=Task.BINARY)
    settings = {"seed": 0, "checkpoint": None, "on_epoch": lambda row: False, "backbone": backbone}
    found = fit(recipe(then=False), images(64, 2, 1), images(24, 2, 2), head=head, **settings)
    # The heads have other layers; all below them is the same.
    assert moved(found, backbone) == set()

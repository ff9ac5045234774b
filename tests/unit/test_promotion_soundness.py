"""What a challenger must show by itself, through real saved models."""

import numpy as np
import pytest
from promoted import NAME, Gatehouse

from cnn.config.params import PromoteParams
from cnn.evaluation.predictions import Predictions
from cnn.promotion.paired import brier, calibration, class_counts, classes
from cnn.promotion.ruling import CHEAP, RULES
from cnn.promotion.soundness import gap, latency, signature, size, smoke, soundness
from cnn.records import Head, Task
from cnn.tracking.registry import Candidate, MemoryRegistry, Signature, Version

SHAPE = (4, 4, 1)
HEAD = Head(class_names=("cat", "dog", "owl"))


def network(*, activation="softmax", bias=0.0, n_outputs=3):
    import keras

    dense = keras.layers.Dense(n_outputs, activation=activation, bias_initializer=keras.initializers.Constant(bias))
    scaled = [keras.Input(SHAPE, dtype="uint8"), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*scaled, dense])


def registered(folder, model, **kwargs):
    model.save(folder / "model.keras")
    tags = {"gap_at_best": "0.05"}
    ordinary = {"run_key": "k", "labels": HEAD.class_names, "image_shape": SHAPE, "example": None, "lineage": {}}
    registry = MemoryRegistry(folder / "registry")
    return registry.register(
        NAME, Candidate(model=folder / "model.keras", **ordinary | {"tags": tags} | kwargs)
    ), registry


def results(rulings):
    return {ruling.rule: ruling.passed for ruling in rulings}


@pytest.mark.slow
def test_a_sound_model_passes_each_rule_and_its_latency_and_size_are_measured(tmp_path):
    version, registry = registered(tmp_path, network())
    rulings = soundness(version, registry, PromoteParams(), ())
    # Every rule that needs no look has been tried, in the order in which they are listed.
    assert tuple(ruling.rule for ruling in rulings) == CHEAP == tuple(RULES)[: len(CHEAP)]
    assert all(ruling.passed for ruling in rulings)
    figures = {ruling.rule: ruling.figure for ruling in rulings}
    # Measured, not copied from anywhere.
    assert figures["size"] == (tmp_path / "model.keras").stat().st_size / 1e6
    assert figures["latency"] > 0 and figures["gap"] == 0.05


LIMITS = {
    "gap": ({"max_gap": 0.04}, "the overfitting gap is 0.0500, above 0.04"),
    "size": ({"size_mb": 0.001}, "MB, above 0.001"),
    "latency": ({"latency_ms": 1e-6}, "ms here, above 1e-06"),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", LIMITS)
def test_a_limit_that_is_passed_holds_the_model_back(tmp_path, rule):
    settings, words = LIMITS[rule]
    version, registry = registered(tmp_path, network())
    rulings = {ruling.rule: ruling for ruling in soundness(version, registry, PromoteParams(**settings), ())}
    # It says by how much, and all others are tried too: one answer tells all there is to mend.
    assert words in rulings.pop(rule).sentence
    assert [*rulings] == [name for name in CHEAP if name != rule] and all(one.passed for one in rulings.values())


@pytest.mark.slow
def test_a_model_that_gives_no_probabilities_fails_the_smoke_test():
    # Rows of sigmoids do not sum to 1, which is right with several labels an image alone.
    assert "rows that do not sum to 1" in smoke(network(activation="sigmoid"), HEAD).sentence
    many = Head(class_names=HEAD.class_names, task=Task.MULTILABEL)
    assert smoke(network(activation="sigmoid"), many).passed
    assert "a probability outside 0 to 1" in smoke(network(activation="linear", bias=7.0), HEAD).sentence
    broken = smoke(network(bias=float("nan")), HEAD)
    # A network that training has driven to NaN, and any limit that is kept.
    assert broken.passed is False and "a figure that is no number" in broken.sentence
    assert latency(network(), 1e6).passed


@pytest.mark.slow
def test_a_signature_that_is_not_the_models_fails(tmp_path):
    right = Signature(image_type="uint8", image_shape=SHAPE, n_outputs=3)
    assert signature(right, network(), HEAD).passed
    for wrong in (
        Signature(image_type="float32", image_shape=SHAPE, n_outputs=3),
        Signature(image_type="uint8", image_shape=(5, 4, 1), n_outputs=3),
        Signature(image_type="uint8", image_shape=SHAPE, n_outputs=2),
    ):
        # A server would take or give something else than the model does.
        assert signature(wrong, network(), HEAD).passed is False
    assert signature(None, network(), HEAD).sentence == "it has no signature"


def test_a_model_that_cannot_be_loaded_fails_the_smoke_test(tmp_path):
    house = Gatehouse(tmp_path)
    house.params = house.params.model_copy(update={"promote": PromoteParams()})
    house.register(100)
    verdict = house.promote()
    # The first of all models has to work, too.
    assert not verdict.promoted and "it cannot be loaded" in verdict.reason
    assert house.champion() is None


def test_without_a_limit_nothing_is_too_much():
    version = Version(name="cats", number=1, source="", tags={"gap_at_best": "0.9"})
    assert gap(version, None).passed and size(10**12, None).passed
    # A version of before gaps were kept is not held back for that, and the rule says that it was not tried.
    assert gap(Version(name="cats", number=1, source="", tags={}), 0.1).passed is None


# ---- image by image


def multiclass(labels, said, sure=0.9):
    probs = np.full((len(labels), 3), (1 - sure) / 2, dtype=np.float32)
    probs[np.arange(len(labels)), said] = sure
    return Predictions(labels=labels, probs=probs, head=HEAD)


def test_classes_that_lost_are_named_the_worst_first():
    labels = np.repeat(np.arange(3), 200)
    worse = np.where(np.arange(600) % 200 < np.array([0, 40, 60])[labels], (labels + 1) % 3, labels)
    ruling = classes(multiclass(labels, worse), multiclass(labels, labels), limit=0.03, alpha=0.05)
    words = "owl lost 30.0, dog lost 20.0 points of recall, more than 3 beyond luck"
    assert (ruling.passed, ruling.sentence) == (False, words)
    # The other way round it is a gain.
    assert classes(multiclass(labels, labels), multiclass(labels, worse), limit=0.03, alpha=0.05).passed


def test_a_loss_of_two_images_in_a_small_class_is_luck():
    labels = np.repeat(np.arange(3), 20)
    worse = labels.copy()
    worse[:2] = 1
    # Ten points of twenty images are two images.
    assert classes(multiclass(labels, worse), multiclass(labels, labels), limit=0.03, alpha=0.05).passed


def test_with_several_labels_a_class_is_the_images_that_bear_it():
    head = Head(class_names=("a", "b"), task=Task.MULTILABEL)
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    before = Predictions(labels=labels, probs=labels * 0.9 + np.float32(0.05), head=head)
    now = Predictions(labels=labels, probs=np.float32([[0.9, 0], [0.1, 0.9], [0, 0.9], [0.9, 0]]), head=head)
    n, wins, losses = class_counts(now, before)
    # Of label a one of two images is missed; that an image without it was given it is no loss of recall.
    assert (n.tolist(), wins.tolist(), losses.tolist()) == ([2, 2], [0, 0], [1, 0])


def test_surer_than_right_is_worse_though_as_often_right():
    rng = np.random.default_rng(0)
    labels = np.arange(900) % 3
    said = np.where(rng.random(900) < 0.7, labels, (labels + 1) % 3)
    modest, sure = multiclass(labels, said, sure=0.7), multiclass(labels, said, sure=0.99)
    ruling = calibration(sure, modest, limit=0.005, alpha=0.05)
    assert ruling.passed is False and "worse by more than 0.005 beyond luck" in ruling.sentence
    # The figure is the mean of the images' differences.
    assert ruling.figure == pytest.approx(float(brier(sure).mean() - brier(modest).mean()))
    assert calibration(modest, sure, limit=0.005, alpha=0.05).passed
    # A model is no worse than itself.
    assert calibration(sure, sure, limit=0.005, alpha=0.05).passed

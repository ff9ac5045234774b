import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.utils.class_weight import compute_class_weight

from cnn.config.recipe import AugmentRecipe
from cnn.data.class_balance import class_weights, positive_weights
from cnn.data.pipeline import TrainingPipeline
from cnn.errors import ConfigError

N = 23
STILL, LIVELY = AugmentRecipe(), AugmentRecipe(flip=True, shift=0.25)
CHANGES = {
    "flip": {"flip": True},
    "shift": {"shift": 0.25},
    "rotate": {"rotate": 30},
    "zoom": {"zoom": 0.3},
    "brightness": {"brightness": 0.3},
    "contrast": {"contrast": 0.5},
    "noise": {"noise": 0.1},
    "cutout": {"cutout": 0.5},
    "mixup": {"mixup": 1.0},
    "cutmix": {"cutmix": 1.0},
}
CHANGES["all"] = {name: value for change in CHANGES.values() for name, value in change.items()}
PINNED = {
    "": "b71e860c068c354089710a52e98e8129da5ad77512d705b5327c1dfa30911c4e",
    "flip": "4034d8084b2954ef0102b2eb4e1a970da314fb482885bed91780f4baa4f612e7",
    "shift": "2eb2ca21eca09f1658695cd55176532d98873490ea9b2a912553835b4767941b",
}
"""Digests of two epochs, made before there were other changes than flips and shifts."""


def numbered_images(n_images: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Random images whose label is their index."""
    images = np.random.default_rng(0).integers(0, 256, (n_images, 8, 8, 1), dtype=np.uint8)
    return images, np.arange(n_images, dtype=np.int64)


def epoch_of(pipeline: TrainingPipeline, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    batches = list(pipeline.epoch(epoch).as_numpy_iterator())
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def pipeline_of(augment: AugmentRecipe = LIVELY, *, batch_size: int = 5, seed: int = 1) -> TrainingPipeline:
    return TrainingPipeline(*numbered_images(), batch_size=batch_size, augment=augment, seed=seed)


def test_an_epoch_holds_each_image_once_with_its_label() -> None:
    pipeline = pipeline_of(STILL)
    images, labels = epoch_of(pipeline, 0)
    # Each image once, beside its own label, in another order.
    assert sorted(labels) == list(range(N))
    assert list(labels) != list(range(N))
    np.testing.assert_array_equal(images, numbered_images()[0][labels])
    # Pixels stay as they are stored; labels are whole numbers.
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 23), (5, 5), (23, 1), (100, 1)])
def test_steps_is_the_number_of_batches(batch_size: int, steps: int) -> None:
    pipeline = pipeline_of(batch_size=batch_size)
    sizes = [len(labels) for _, labels in pipeline.epoch(0).as_numpy_iterator()]
    # The last batch takes what is left, none is empty.
    assert pipeline.steps == len(sizes) == steps
    assert sum(sizes) == N
    # Keras reads the number of batches from the dataset itself.
    assert int(pipeline.epoch(0).cardinality()) == steps


def test_an_epoch_is_a_function_of_seed_and_epoch() -> None:
    first, again, other = pipeline_of(), pipeline_of(), pipeline_of(seed=2)
    before = epoch_of(first, 3)
    # The same epoch of another pipeline with the same seed, without the epochs before it, is the same.
    for one, two in zip(before, epoch_of(again, 3), strict=True):
        np.testing.assert_array_equal(one, two)
    # Asking for another epoch in between changes nothing.
    epoch_of(first, 4)
    np.testing.assert_array_equal(epoch_of(first, 3)[0], before[0])
    # Another epoch and another seed have another order.
    assert list(epoch_of(first, 4)[1]) != list(before[1])
    assert list(epoch_of(other, 3)[1]) != list(before[1])


def test_what_happens_to_an_image_depends_on_its_index_alone() -> None:
    by_index = []
    for batch_size in (1, 4, 50):
        images, labels = epoch_of(pipeline_of(batch_size=batch_size), 2)
        by_index.append(images[np.argsort(labels)])
    # The batch size and the place in a batch leave no trace.
    np.testing.assert_array_equal(by_index[0], by_index[1])
    np.testing.assert_array_equal(by_index[0], by_index[2])
    # And something did happen.
    assert not np.array_equal(by_index[0], numbered_images()[0])


def test_augmentation_changes_from_epoch_to_epoch() -> None:
    pipeline = pipeline_of()
    images = [epoch_images[np.argsort(labels)] for epoch_images, labels in (epoch_of(pipeline, e) for e in (0, 1))]
    changed = [not np.array_equal(one, two) for one, two in zip(*images, strict=True)]
    # 50 ways to flip and shift: nearly every image is changed in another way.
    assert sum(changed) > N * 0.7


def test_an_epoch_begun_late_is_still_its_own() -> None:
    pipeline = pipeline_of()
    expected = [epoch_of(pipeline, epoch)[1] for epoch in (0, 1)]
    zero = pipeline.epoch(0)
    iterator = iter(zero)
    one = pipeline.epoch(1)
    # An iterator that starts after a later epoch was asked for reads its own epoch, interleaved or not.
    assert [label for _, labels in one for label in labels.numpy()] == list(expected[1])
    assert [label for _, labels in iterator for label in labels.numpy()] == list(expected[0])
    assert [label for _, labels in zero for label in labels.numpy()] == list(expected[0])


def test_memory_mapped_arrays_are_read_as_they_are(tmp_path) -> None:
    images, labels = numbered_images()
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    mine = TrainingPipeline(mapped, labels.astype(np.uint8), batch_size=5, augment=LIVELY, seed=1)
    # Where the bytes lie and how wide the labels are makes no difference; nor does an offset that is not aligned.
    for one, two in zip(epoch_of(mine, 0), epoch_of(pipeline_of(), 0), strict=True):
        np.testing.assert_array_equal(one, two)
    tail = TrainingPipeline(mapped[3:], labels[3:], batch_size=50, augment=STILL, seed=0)
    got, order = epoch_of(tail, 0)
    np.testing.assert_array_equal(got, images[order])


@pytest.mark.parametrize("name", PINNED)
def test_runs_that_only_flip_and_shift_repeat_for_ever(name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (N, 12, 10, 3), dtype=np.uint8)
    augment = AugmentRecipe(**CHANGES.get(name, {}))
    pipeline = TrainingPipeline(images, np.arange(N), batch_size=5, augment=augment, seed=1)
    found = hashlib.sha256()
    for epoch in (0, 3):
        for batch, labels in pipeline.epoch(epoch).as_numpy_iterator():
            found.update(batch.tobytes() + labels.tobytes())
    # Order, pixels and labels are the bytes they were.
    assert found.hexdigest() == PINNED[name]


@pytest.mark.parametrize("name", CHANGES)
def test_batches_leave_no_trace_whatever_the_change(name: str) -> None:
    augment = AugmentRecipe(**CHANGES[name])
    small, large = (epoch_of(pipeline_of(augment, batch_size=size), 2) for size in (3, 16))
    # The same images with the same labels in the same order, to the bit; a last batch of 2 or of 7 among them.
    for one, two in zip(small, large, strict=True):
        np.testing.assert_array_equal(one, two)
    # Something was done, and all of the shape and type that the network takes.
    assert not np.array_equal(small[0], epoch_of(pipeline_of(STILL), 2)[0])
    assert small[0].dtype == np.uint8 and small[0].shape == (N, 8, 8, 1)


def test_a_change_leaves_the_others_alone() -> None:
    images = np.full((N, 8, 8, 1), 100, np.uint8)
    images[:, :, :4] = 200

    def first_epoch(**strengths: float) -> np.ndarray:
        augment = AugmentRecipe(**strengths)
        return epoch_of(TrainingPipeline(images, np.arange(N), batch_size=5, augment=augment, seed=1), 0)[0]

    brighter, both = first_epoch(brightness=0.1), first_epoch(brightness=0.1, cutout=0.3)
    # A pair of runs with and without a change differs in that change: where nothing is covered, all is the same.
    same = both == brighter
    assert same.mean() > 0.8 and not same.all()
    assert set(both[~same]) == {150}


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_labels_of_mixtures_name_both_images(name: str) -> None:
    images, labels = numbered_images()
    pipeline = TrainingPipeline(images, labels, batch_size=5, augment=AugmentRecipe(**CHANGES[name]), seed=1)
    order = epoch_of(pipeline_of(STILL), 0)[1]
    pictures, targets = epoch_of(pipeline, 0)
    # A share of each class, which sum to 1.
    assert targets.dtype == np.float32 and targets.shape == (N, N)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    own = targets[np.arange(N), order]
    follower = targets[np.arange(N), np.roll(order, -1)]
    # Of the image itself and of the one that follows it in the epoch's order, over the ends of batches and epoch.
    np.testing.assert_allclose(own + follower, 1, atol=1e-6)
    blends = own[:, None, None, None] * images[order] + follower[:, None, None, None] * images[np.roll(order, -1)]
    distance = np.abs(pictures - blends).max() if name == "mixup" else np.abs(pictures.mean() - blends.mean())
    # The picture is made of the same two images.
    assert distance <= (0.51 if name == "mixup" else 3)


def test_several_labels_are_mixed_alike() -> None:
    images, _ = numbered_images()
    labels = (np.random.default_rng(0).random((N, 4)) < 0.4).astype(np.int64)

    def first_epoch(augment: AugmentRecipe, balance: str = "none") -> list[np.ndarray]:
        pipeline = TrainingPipeline(images, labels, batch_size=5, augment=augment, seed=1, class_balance=balance)
        return [np.concatenate(parts) for parts in zip(*pipeline.epoch(0).as_numpy_iterator(), strict=True)]

    still, mixed = first_epoch(STILL)[1], first_epoch(AugmentRecipe(mixup=1.0))[1]
    # Without mixing they are the labels, as floats; with it, between those of the two images.
    assert still.dtype == mixed.dtype == np.float32
    np.testing.assert_array_equal(np.sort(still, axis=0), np.sort(labels, axis=0))
    following = np.roll(still, -1, axis=0)
    assert (mixed >= np.minimum(still, following)).all() and (mixed <= np.maximum(still, following)).all()
    assert ((mixed > 0) & (mixed < 1)).any()
    # With weights, a label that holds counts what `positive_weights` says, one that doesn't counts 1.
    weights = first_epoch(STILL, "weights")[2]
    np.testing.assert_allclose(weights, np.where(still == 1, positive_weights(labels), 1), rtol=1e-6)


CLASSES = hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 4))
few = settings(max_examples=15, deadline=None)


@few
@given(CLASSES)
def test_class_weights_are_those_of_scikit_learn(labels: np.ndarray) -> None:
    present = np.unique(labels)
    weights = class_weights(labels, 6)
    # `balanced`, by another hand.
    np.testing.assert_allclose(weights[present], compute_class_weight("balanced", classes=present, y=labels), rtol=1e-6)
    # A class without images weighs nothing, and all images together what they weighed before.
    assert weights[5] == 0
    np.testing.assert_allclose(weights[labels].sum(), len(labels), rtol=1e-5)


def test_weights_follow_the_labels_and_their_mixtures() -> None:
    images, labels = numbered_images()[0], np.array([0] * 15 + [1] * 6 + [2] * 2)
    weights = class_weights(labels, 4)

    def first_epoch(augment: AugmentRecipe) -> list[np.ndarray]:
        pipeline = TrainingPipeline(
            images, labels, batch_size=5, augment=augment, seed=1, n_classes=4, class_balance="weights"
        )
        return [np.concatenate(parts) for parts in zip(*pipeline.epoch(0).as_numpy_iterator(), strict=True)]

    _, classes, plain = first_epoch(LIVELY)
    np.testing.assert_array_equal(plain, weights[classes])
    _, shares, blended = first_epoch(AugmentRecipe(mixup=1.0))
    # A mixture weighs what its parts weigh, in their shares.
    np.testing.assert_allclose(blended, shares @ weights, rtol=1e-6)
    assert blended.dtype == plain.dtype == np.float32


@few
@given(CLASSES, st.integers(0, 7))
def test_balanced_sampling_shows_classes_equally_often(labels: np.ndarray, epoch: int) -> None:
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    pipeline = TrainingPipeline(images, labels, batch_size=7, augment=STILL, seed=3, class_balance="sampling")
    pictures, shown = epoch_of(pipeline, epoch)
    # As many steps and images as without.
    assert pipeline.steps == -(-len(labels) // 7) and len(shown) == len(labels)
    numbers = pictures[:, 0, 0, 0]
    # An image keeps its label.
    np.testing.assert_array_equal(labels[numbers], shown)
    per_class = np.bincount(shown, minlength=5)[np.unique(labels)]
    # Classes differ by one image at the most, and so do the images of a class.
    assert np.ptp(per_class) <= 1
    for label in np.unique(labels):
        assert np.ptp(np.bincount(numbers, minlength=len(labels))[labels == label]) <= 1


def test_balanced_sampling_repeats_and_moves_on() -> None:
    images, _ = numbered_images()
    labels = np.array([0] * 18 + [1] * 5)

    def sampled(batch_size: int, epoch: int) -> np.ndarray:
        pipeline = TrainingPipeline(
            images, labels, batch_size=batch_size, augment=LIVELY, seed=3, class_balance="sampling"
        )
        return epoch_of(pipeline, epoch)[0]

    # A function of seed and epoch, whatever the batches.
    np.testing.assert_array_equal(sampled(4, 1), sampled(23, 1))
    # Another epoch draws others of the large class.
    assert not np.array_equal(sampled(4, 1), sampled(4, 2))
    # The 11 or 12 places of the small class show its 5 images changed in different ways.
    assert len(np.unique(sampled(4, 1), axis=0)) > 20


def test_balanced_sampling_of_several_labels_is_refused() -> None:
    # There is no way to draw images so that all labels are equally often.
    with pytest.raises(ConfigError, match="class_balance: received sampling; expected none or weights"):
        TrainingPipeline(
            numbered_images()[0], np.eye(N, dtype=int), batch_size=5, augment=STILL, seed=0, class_balance="sampling"
        )

import numpy as np
import pytest

from cnn.config.recipe import AugmentRecipe
from cnn.data.pipeline import TrainingPipeline

N = 23
STILL, LIVELY = AugmentRecipe(), AugmentRecipe(flip=True, shift=0.25)


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

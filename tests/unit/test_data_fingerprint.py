"""What is kept of a prepared set: its images' digests, labels and statistics, on real digits."""

from functools import partial

import numpy as np
import pytest
from making import digit_arrays, kept_fingerprint, prepared_set

from cnn.data.arrays import Split
from cnn.data.quality.fingerprint import keep_fingerprint, present_fingerprint, read_fingerprint, together
from cnn.data.quality.image_statistics import image_statistics, statistic_names
from cnn.errors import IntegrityError


@pytest.fixture(scope="module")
def digits():
    return digit_arrays()


@pytest.fixture
def fingerprint(tmp_path):
    return partial(kept_fingerprint, tmp_path)


def test_it_reads_back_as_it_was_made(fingerprint, digits, tmp_path):
    made = fingerprint(*digits)
    kept = read_fingerprint(tmp_path / "kept", made.data_hash)
    # All that it says of the set, and of each image.
    assert (kept.data_hash, kept.test_hash, kept.image_shape, kept.head) == (
        made.data_hash, made.test_hash, (8, 8, 1), made.head,
    )  # fmt: skip
    for name, prints in made.splits.items():
        assert kept.splits[name].digests.tobytes() == prints.digests.tobytes()
        np.testing.assert_array_equal(kept.splits[name].labels, prints.labels)
        np.testing.assert_array_equal(kept.splits[name].statistics, prints.statistics)
    # It is small: some forty bytes an image, and no pixel.
    assert (tmp_path / "kept" / f"{made.data_hash}.npz").stat().st_size < 50 * len(digits[0])


def test_made_again_its_bytes_are_the_same(fingerprint, digits, tmp_path):
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / "kept").iterdir()}
        for _ in range(2)
        if fingerprint(*digits)
    ]
    # So that two nights at once do no harm.
    assert files[0] == files[1]


def test_damage_is_noticed(fingerprint, digits, tmp_path):
    made = fingerprint(*digits)
    path = tmp_path / "kept" / f"{made.data_hash}.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    # A flipped bit is no change of the data.
    with pytest.raises(IntegrityError, match=path.name):
        read_fingerprint(tmp_path / "kept", made.data_hash)


def test_what_is_kept_of_the_present_set_is_made_again_when_it_is_damaged(digits, tmp_path):
    prepared, splits = prepared_set(tmp_path / "prepared", *digits)
    made = keep_fingerprint(tmp_path / "kept", prepared, splits)
    (tmp_path / "kept" / f"{made.data_hash}.json").write_text("{")
    # It follows from the images: nothing is lost, and the next reader finds it whole.
    assert (
        together(present_fingerprint(tmp_path / "kept", prepared)).digests.tobytes() == together(made).digests.tobytes()
    )
    assert read_fingerprint(tmp_path / "kept", made.data_hash) is not None


def test_what_was_prepared_elsewhere_is_not_known(tmp_path):
    assert read_fingerprint(tmp_path, "0" * 64) is None


def test_pulled_data_get_theirs_from_their_arrays(digits, tmp_path):
    prepared, splits = prepared_set(tmp_path / "prepared", *digits)
    pulled = present_fingerprint(tmp_path / "pulled", prepared)
    made = keep_fingerprint(tmp_path / "made", prepared, splits)
    # The same as at their preparation, and kept from then on.
    assert together(pulled).digests.tobytes() == together(made).digests.tobytes()
    assert read_fingerprint(tmp_path / "pulled", prepared.data_hash) is not None


def test_statistics_tell_brightness_contrast_sharpness_and_colour_apart():
    rng = np.random.default_rng(0)
    image = rng.integers(40, 160, (1, 16, 16, 3)).astype(np.uint8)
    smooth = np.repeat(np.repeat(image[:, ::4, ::4], 4, axis=1), 4, axis=2)
    redder = image + np.array([30, 0, 0], np.uint8)
    variants = np.concatenate([image, image + 30, smooth, redder])
    found = image_statistics(Split(images=variants, labels=np.zeros(4, np.int64)))
    of = dict(zip(statistic_names(3), found.T, strict=True))
    # Thirty more everywhere is brighter by 30/255 and else the same.
    assert of["brightness"][1] - of["brightness"][0] == pytest.approx(30 / 255, abs=1e-5)
    assert of["contrast"][1] == pytest.approx(of["contrast"][0], abs=1e-5)
    assert of["red"][1] == pytest.approx(of["red"][0], abs=1e-5)
    # Blocks of equal pixels are less sharp.
    assert of["sharpness"][2] < 0.6 * of["sharpness"][0]
    # More red is more red, and less of the others in comparison.
    assert of["red"][3] - of["red"][0] == pytest.approx(20 / 255, abs=1e-5)
    assert of["green"][3] - of["green"][0] == pytest.approx(-10 / 255, abs=1e-5)

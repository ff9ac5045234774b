"""Calibration and Grad-CAM against what is known beforehand."""

import numpy as np
import pytest
from PIL import Image

from cnn.config.architectures import PlainRecipe
from cnn.evaluation.calibration import calibration
from cnn.reports.pictures import overlay, pixels, sheet_picture, thumbnail

PATCH, SIDE = 8, 32


def test_the_calibration_error_is_that_of_a_calculation_by_hand():
    # Two bins of five: 0.75 said and 3/4 right, 0.95 said and 4/5 right, one at 0.15 that is wrong.
    confidence = [0.75] * 4 + [0.95] * 5 + [0.15]
    correct = [True, True, True, False] + [True] * 4 + [False] + [False]
    found = calibration(confidence, correct, n_bins=5)
    # ECE = 4/10 * 0 + 5/10 * |0.8 - 0.95| + 1/10 * |0 - 0.15|
    assert found.ece == pytest.approx(0.5 * 0.15 + 0.1 * 0.15)
    assert [(part.n, part.accuracy) for part in found.bins] == [(1, 0.0), (4, 0.75), (5, 0.8)]
    assert (found.accuracy, found.mean_confidence) == pytest.approx((0.7, 0.79))


def test_every_confidence_has_its_bin():
    found = calibration([0.0, 1.0, 1 / 15, 0.5], [True] * 4)
    # The ends of [0, 1] and the edges between bins belong somewhere, each to one bin.
    assert sum(part.n for part in found.bins) == 4
    # A bin is closed above: 1/15 lies in the first.
    assert found.bins[0].n == 2


@pytest.mark.parametrize(
    ("confidence", "correct"), [([0.5], [True, False]), ([], []), ([1.2], [True]), ([np.nan], [True])]
)
def test_what_is_no_confidence_is_refused(confidence, correct):
    # A figure of anything else would look like one of these.
    with pytest.raises(ValueError, match="Expected"):
        calibration(confidence, correct)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels_are_shown(channels):
    image = np.random.default_rng(0).integers(0, 256, (9, 7, channels), dtype=np.uint8)
    shown = pixels(image)
    # Colours as they are, grey three times: no other channel is taken for a colour.
    assert shown.shape == (9, 7, 3) and (shown[..., 0] == image[..., 0]).all()
    assert (shown[..., 2] == image[..., 2 if channels > 2 else 0]).all()


def test_an_overlay_is_bright_where_the_heat_is():
    image, heat = np.full((8, 8, 3), 90, np.uint8), np.zeros((8, 8), np.float32)
    heat[2:4, 2:4] = 1.0
    beside = overlay(image, heat)[:, -8:]
    # The image itself stands beside it, untouched; in the copy the warm place is the brightest.
    assert (overlay(image, heat)[:, :8] == image).all()
    assert beside[2:4, 2:4].sum(axis=-1).min() > beside[6:, 6:].sum(axis=-1).max()


def test_thumbnails_are_small_and_sheets_take_any_caption(tmp_path):
    large = np.zeros((500, 900, 3), np.uint8)
    (tmp_path / "thumbnail.png").write_bytes(thumbnail(large))
    # A report of large photographs stays a report, and keeps their proportions.
    with Image.open(tmp_path / "thumbnail.png") as picture:
        assert picture.size == (192, 107)
    sheet_picture(
        [large] * 7, ["$x_{ \\frac\nand a name that is far too long for the place that it has"] * 7, tmp_path / "a"
    )
    sheet_picture([], [], tmp_path / "b")
    # A caption is text and no formula, which would not parse; and no images are a sheet, too.
    assert all((tmp_path / name).stat().st_size > 1000 for name in "ab")


def planted(n=256):
    """Images of noise; in every second one a bright patch, somewhere."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 80, (n, SIDE, SIDE, 1), dtype=np.uint8)
    corners = rng.integers(0, SIDE - PATCH, (n, 2))
    for index in range(1, n, 2):
        row, column = corners[index]
        images[index, row : row + PATCH, column : column + PATCH] = 255
    return images, np.arange(n) % 2, corners


def density_ratio(heat, corner):
    """Heat a pixel in the patch, over heat a pixel elsewhere."""
    inside = np.zeros(heat.shape, bool)
    inside[corner[0] : corner[0] + PATCH, corner[1] : corner[1] + PATCH] = True
    return heat[inside].mean() / max(heat[~inside].mean(), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["multiclass", "binary", "multilabel"])
def test_the_heat_is_where_the_class_is(task):
    import keras

    from cnn.evaluation.grad_cam import grad_cam
    from cnn.models.build import build_model
    from cnn.records import Head, Task

    images, labels, corners = planted()
    recipe = PlainRecipe(blocks=2, filters=8, head="global_average", dense_units=32)
    model = build_model(recipe, (SIDE, SIDE, 1), Head(class_names=("plain", "patch"), task=Task(task)), seed=0)
    model.compile(
        keras.optimizers.Adam(0.005), "categorical_crossentropy" if task != "multilabel" else "binary_crossentropy"
    )
    model.fit(images, np.eye(2, dtype=np.float32)[labels], epochs=8, batch_size=32, verbose=0)
    # It has learnt the task, or its heat would mean nothing.
    assert (model.predict_on_batch(images).argmax(axis=1) == labels).mean() > 0.95
    shown, places = images[1:65:2], corners[1:65:2]
    heat = grad_cam(model, shown, np.ones(len(shown)))
    assert heat.shape == shown.shape[:3] and heat.min() >= 0 and heat.max() == 1
    ratios = [density_ratio(one, corner) for one, corner in zip(heat, places, strict=True)]
    # Where nothing but a patch tells the classes apart, a pixel of the patch is far warmer than one elsewhere.
    assert np.median(ratios) > 4
    # It is about the class that is asked for: what speaks for "patch" does not speak for "plain".
    other = grad_cam(model, shown, np.zeros(len(shown)))
    assert np.median([density_ratio(one, corner) for one, corner in zip(other, places, strict=True)]) < 1


@pytest.mark.slow
def test_a_network_without_maps_is_named():
    import keras

    from cnn.evaluation.grad_cam import grad_cam

    model = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
    )
    # There is nowhere to look at: said, and not drawn.
    with pytest.raises(ValueError, match="no layer whose maps"):
        grad_cam(model, np.zeros((1, 4, 4, 1), np.float32), [0])

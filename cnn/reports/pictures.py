"""Pictures of a run report: calibration, and sheets of images. PNG files whose bytes depend on the figures alone."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps  # noqa: TID251
from matplotlib.figure import Figure  # noqa: TID251
from PIL import Image

from cnn.durable import write_atomic
from cnn.evaluation.calibration import Calibration

Pixels = npt.NDArray[np.uint8]

_INK, _BAR, _GAP, _COUNT = "#333333", "#0072B2", "#D55E00", "#9CC9E6"
_LARGEST_SIDE = 192
_COLUMNS = 6


def calibration_picture(
    found: Calibration, path: Path, *, across: str = "confidence of the prediction", up: str = "accuracy"
) -> bytes:
    """The reliability diagram: accuracy over confidence, and below it how many images are that sure.

    Raises:
        StorageError: The file cannot be written.
    """
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = 1 / found.n_bins
    places = [part.low for part in found.bins]
    accuracy, confidence = ([getattr(part, name) for part in found.bins] for name in ("accuracy", "confidence"))
    above.bar(places, accuracy, width=width * 0.94, align="edge", color=_BAR, label=up)
    bottoms = np.minimum(accuracy, confidence)
    above.bar(
        places,
        np.abs(np.subtract(accuracy, confidence)),
        bottom=bottoms,
        width=width * 0.94,
        align="edge",
        color="none",
        edgecolor=_GAP,
        hatch="////",
        linewidth=1,
        label="difference",
    )
    above.plot([0, 1], [0, 1], color=_INK, linestyle="--", linewidth=1, label="perfectly calibrated")
    above.set(xlim=(0, 1), ylim=(0, 1.02), ylabel=up)
    above.legend(loc="upper left", frameon=False, fontsize=9)
    below.bar(places, [part.n for part in found.bins], width=width * 0.94, align="edge", color=_COUNT)
    below.set(xlabel=across, ylabel="images")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=_INK, labelsize=9)
    return saved(figure, path)


def sheet_picture(images: Sequence[Pixels], captions: Sequence[str], path: Path) -> bytes:
    """Images in rows of six, each with its caption below; an empty sheet says so.

    Args:
        images: Each (h, w, 3).

    Raises:
        StorageError: The file cannot be written.
    """
    n_rows = max(1, -(-len(images) // _COLUMNS))
    figure = Figure(figsize=(2.1 * _COLUMNS, 2.6 * n_rows), layout="constrained")
    grid = np.atleast_1d(figure.subplots(n_rows, _COLUMNS)).reshape(-1)
    for axes in grid:
        axes.axis("off")
    for axes, image, caption in zip(grid, images, captions, strict=False):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(_shown(caption), fontsize=8, color=_INK, y=-0.02, va="top")
    if not images:
        figure.text(0.5, 0.5, "none", ha="center", color=_INK)
    return saved(figure, path)


def pixels(image: Any) -> Pixels:
    """An image (h, w, c) as (h, w, 3): one or two channels as grey, of more than three the first three."""
    image = np.asarray(image, dtype=np.uint8)
    return np.repeat(image[..., :1], 3, axis=-1) if image.shape[-1] < 3 else np.ascontiguousarray(image[..., :3])


def thumbnail(image: Pixels) -> bytes:
    """A PNG file of (h, w, 3), no side longer than 192."""
    picture, file = Image.fromarray(image), BytesIO()
    picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE))
    picture.save(file, format="png", optimize=False)
    return file.getvalue()


def overlay(image: Pixels, heat: npt.NDArray[np.float32]) -> Pixels:
    """The image, a gap, and the image with a heat map (h, w) in [0, 1] upon it: dark where there is no heat."""
    warm = colormaps["inferno"](heat)[..., :3] * 255
    grey = image.mean(axis=-1, keepdims=True)
    mixed = np.clip(0.45 * grey + 0.65 * warm, 0, 255).astype(np.uint8)
    gap = np.full((image.shape[0], max(1, image.shape[1] // 16), 3), 255, np.uint8)
    return np.concatenate([image, gap, mixed], axis=1)


def saved(figure: Figure, path: Path) -> bytes:
    """Write a figure without date or software among its metadata; the file's bytes."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=100, metadata={"Software": None})
    write_atomic(path, lambda target: target.write(file.getvalue()))
    return file.getvalue()


def _shown(caption: str) -> str:
    """Text that matplotlib takes for no formula, its lines cut at 30 signs."""
    lines = (line if len(line) <= 30 else f"{line[:29]}…" for line in caption.splitlines())
    return "\n".join(lines).replace("$", r"\$")

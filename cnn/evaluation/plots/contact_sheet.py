"""Images in rows, the first of each row as it is stored."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure  # noqa: TID251

from cnn.evaluation.plots.canvas import INK, plain, save

_SIDE, _MARGIN, _NAMES, _HEAD, _GAP = 1.05, 0.15, 1.3, 0.8, 0.08  # inches
_CAPTION_LINE = 0.13


def sheet_picture(
    images: npt.NDArray[np.uint8],
    names: Sequence[str],
    path: Path,
    *,
    title: str,
    captions: Sequence[Sequence[Sequence[str]]] = (),
) -> None:
    """A row an image: the original, then what an epoch after the other made of it.

    Args:
        images: (rows, columns, h, w, c) uint8, c is 1 or 3.
        names: What each row shows.
        captions: Lines below each image but the first of a row; none for no captions.

    Raises:
        StorageError: The file cannot be written.
    """
    n_rows, n_columns, height, width, _ = images.shape
    longest = max(height, width)
    cell_width = _SIDE * width / longest
    cell_height = _SIDE * height / longest
    below = _CAPTION_LINE * max((len(lines) for row in captions for lines in row), default=0)
    size = (
        _NAMES + n_columns * (cell_width + _GAP) + _MARGIN,
        _HEAD + n_rows * (cell_height + _GAP + below) + _MARGIN,
    )
    figure = Figure(figsize=size)

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / size[0], 1 - y / size[1], text, color=INK, **style)

    lines = wrap(plain(title, longest=400), width=int(size[0] * 10))
    write(_MARGIN, 0.1, "\n".join(lines[:2]), fontsize=11, va="top")
    for column in range(n_columns):
        middle = _NAMES + column * (cell_width + _GAP) + cell_width / 2
        write(middle, _HEAD - 0.05, f"epoch {column}" if column else "original", ha="center", fontsize=9)
    for row in range(n_rows):
        top = _HEAD + row * (cell_height + _GAP + below)
        write(_NAMES - 0.1, top + cell_height / 2, plain(names[row], longest=16), ha="right", va="center", fontsize=9)
        for column in range(n_columns):
            left = _NAMES + column * (cell_width + _GAP)
            _show(figure, images[row, column], (left, size[1] - top - cell_height, cell_width, cell_height))
            if captions and column:
                caption = "\n".join(plain(line, longest=18) for line in captions[row][column - 1])
                write(left + cell_width / 2, top + cell_height + 0.03, caption, ha="center", va="top", fontsize=6.5)
    save(figure, path)


def _show(figure: Figure, image: npt.NDArray[np.uint8], place: tuple[float, float, float, float]) -> None:
    """An image at a place (left, bottom, width, height) in inches."""
    axes = figure.add_axes(tuple(np.array(place) / np.tile(figure.get_size_inches(), 2)))
    axes.set_axis_off()
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255, aspect="auto")

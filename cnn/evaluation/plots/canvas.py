"""What all pictures share: colours, plain axes, and files whose bytes depend on the figures alone.

Drawn on `Figure` objects, never through pyplot: no global state, so any thread may draw. Colours are those of Okabe and
Ito, which colour-blind readers tell apart; where two things share a place, their shapes differ too.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure  # noqa: TID251

from cnn.durable import write_atomic

TRAIN, VALIDATION, GAP, INK, FAINT = "#0072B2", "#D55E00", "#E69F00", "#333333", "#9A9A9A"
PRECISION, RECALL, F1 = "#D55E00", "#009E73", "#9CC9E6"
LONGEST_NAME = 24


def quiet(axes: Any, *, grid: str) -> None:
    """Axes with a faint grid and no frame.

    Args:
        grid: `x`, `y` or `both`.
    """
    axes.grid(axis=grid, color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.tick_params(colors=INK, labelsize=9)


def plain(text: str, *, longest: int = LONGEST_NAME) -> str:
    """One line of text that matplotlib takes for no formula; a long one loses its middle, not its ends."""
    line = " ".join(text.split())
    if len(line) > longest:
        line = f"{line[: longest // 2]}…{line[len(line) - (longest - 1) // 2 :]}"
    return line.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """As a PNG file.

    Raises:
        StorageError: It cannot be written.
    """
    # No software or date among the metadata: the same figures, the same bytes. Packing harder costs more than it saves.
    options: dict[str, Any] = {"dpi": 100, "metadata": {"Software": None}, "pil_kwargs": {"compress_level": 1}}
    write_atomic(path, lambda file: figure.savefig(file, format="png", **options))

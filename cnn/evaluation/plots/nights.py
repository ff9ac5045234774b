"""The nights so far in one small picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure  # noqa: TID251

from cnn.evaluation.plots.canvas import FAINT, INK, TRAIN, VALIDATION, plain, quiet, save

PROMOTED, REFUSED, FAILED = "new champion", "not promoted", "failed"
_MARKS = {PROMOTED: ("o", TRAIN, TRAIN), REFUSED: ("o", "white", TRAIN), FAILED: ("x", VALIDATION, VALIDATION)}


@dataclass(frozen=True, slots=True, kw_only=True)
class NightPoint:
    """A night in the picture.

    Args:
        became: `PROMOTED`, `REFUSED` or `FAILED`.
        score: On the test images; None where there is none, as `low` and `high`.
    """

    name: str
    became: str
    score: float | None = None
    low: float | None = None
    high: float | None = None


def nights_picture(points: Sequence[NightPoint], path: Path, *, up: str) -> None:
    """A point a night with its interval, filled where it brought the champion; a cross at the foot where it failed.

    Args:
        points: The oldest first; one or more.
        up: What the scores are.

    Raises:
        StorageError: The file cannot be written.
    """
    figure = Figure(figsize=(9.6, 2.9), layout="constrained")
    axes = figure.subplots()
    scored = [one for one in points if one.score is not None]
    foot = min((one.low if one.low is not None else one.score or 0.0 for one in scored), default=0.0)
    for became, (mark, face, edge) in _MARKS.items():
        places = [place for place, one in enumerate(points) if one.became == became]
        heights = [score if (score := points[place].score) is not None else foot for place in places]
        if places:
            axes.plot(
                places,
                heights,
                linestyle="",
                marker=mark,
                markersize=7,
                markeredgewidth=1.6,
                markerfacecolor=face,
                markeredgecolor=edge,
                zorder=3,
                label=became,
            )
    for place, one in enumerate(points):
        if one.low is not None and one.high is not None:
            axes.plot([place, place], [one.low, one.high], color=FAINT, linewidth=1.5, zorder=2)
    names = [plain(one.name.removeprefix("night-"), longest=18) for one in points]
    axes.set_xticks(range(len(points)), names)
    axes.tick_params(axis="x", labelrotation=30 if len(points) > 6 else 0)
    axes.set_xlim(-0.6, max(len(points) - 0.4, 3.4))
    axes.set_ylabel(up, color=INK, fontsize=9)
    quiet(axes, grid="y")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=3, frameon=False, fontsize=9)
    save(figure, path)

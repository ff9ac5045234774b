"""What a run's report is made from, and the two sections that all kinds of classification share."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cnn.data.prepared.splits import TRAIN, VALIDATION
from cnn.data.prepared.store import Prepared
from cnn.evaluation.metrics import Metrics
from cnn.evaluation.plots import curve_picture
from cnn.evaluation.predictions import Predictions
from cnn.records import Curve, Head, best_row
from cnn.reports.page import Picture, Section, Table
from cnn.reports.verdicts import Reading, reading


@dataclass(frozen=True, kw_only=True, eq=False)
class RunFacts:
    """What is known of a trained and tested model.

    Args:
        recipe: As `train.json` has it.
        files: What the evaluation wrote, its pictures among them.
        images: (n, h, w, c) uint8, those that were predicted; may be memory-mapped.
        model: Keras model of these predictions.
        confidence: Level of the intervals, in (0, 1).
    """

    prepared: Prepared
    recipe: Mapping[str, Any]
    curve: Curve
    metrics: Metrics
    predictions: Predictions
    files: tuple[Path, ...]
    images: Any
    model: Any
    confidence: float

    @property
    def head(self) -> Head:
        return self.prepared.head

    @cached_property
    def reading(self) -> Reading:
        """What the curve tells."""
        counts = self.prepared.n_images
        return reading(self.curve, self.head, n_train=counts[TRAIN], n_val=counts[VALIDATION], recipe=self.recipe)

    def picture(self, name: str, alt: str, caption: str = "") -> tuple[Picture, ...]:
        """A picture that the evaluation drew; none where it drew none of this name."""
        found = [path for path in self.files if path.name == f"{name}.png"]
        return tuple(Picture(png=path.read_bytes(), alt=alt, caption=caption) for path in found)


Part = tuple[Section, tuple[Path, ...]]
"""A section and the files it wrote."""


def curve_section(facts: RunFacts, out: Path) -> Part:
    """Loss and accuracy over epochs, the gap shaded, the verdict written on it."""
    path, best = out / "curve.png", best_row(facts.curve)
    curve_picture(facts.curve, path, title=facts.reading.words)
    caption = (
        f"Best epoch {best.epoch + 1}: validation accuracy {best.val_accuracy:.4f}, clean training accuracy "
        f"{best.clean_train_accuracy:.4f}, gap {best.gap_accuracy:+.4f}. The weights of this epoch are the model's."
    )
    section = Section(
        title="How it learned",
        pictures=(Picture(png=path.read_bytes(), alt="Loss and accuracy an epoch", caption=caption, broad=True),),
        notes=(
            "The shaded gap is measured cleanly: a fixed sample of the training images is scored like the validation "
            "images, without dropout and augmentation. The dashed line is the running mean that Keras prints, with "
            "both on: it is not comparable and makes no gap.",
        ),
    )
    return section, (path,)


def recipe_section(facts: RunFacts, out: Path) -> Part:
    """The whole recipe as a table."""
    rows = tuple(
        (part, ", ".join(f"{name} {_word(value)}" for name, value in settings.items() if value is not None))
        for part, settings in facts.recipe.items()
        if isinstance(settings, Mapping)
    )
    return Section(title="What was trained", tables=(Table(header=("part", "settings"), rows=rows, numbers=False),)), ()


def _word(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""The data card on the terminal."""

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cnn.data.quality.card import DataCard

_MAX_CLASSES = 20


def card_screen(card: DataCard, place: str) -> RenderableType:
    """A table of counts, the figures a person checks first, and every warning."""
    return Group(_counts(card), _facts(card, place), *(Text(f"! {line}", style="yellow") for line in card.warnings))


def _counts(card: DataCard) -> Table:
    """Images of each class in each split; of many classes only the first are shown."""
    table = Table(title=f"{card.source}: images by class", title_justify="left")
    table.add_column("class")
    for name in card.splits:
        table.add_column(name, justify="right")
    for class_name in card.class_names[:_MAX_CLASSES]:
        counts = (f"{split.n_images_by_class[class_name]:,}" for split in card.splits.values())
        table.add_row(escape(class_name), *counts)
    if len(card.class_names) > _MAX_CLASSES:
        table.add_row(f"and {len(card.class_names) - _MAX_CLASSES} more")
    table.add_section()
    table.add_row("all", *(f"{split.n_images:,}" for split in card.splits.values()))
    return table


def _facts(card: DataCard, place: str) -> Table:
    facts = Table.grid(padding=(0, 2))
    train = next(iter(card.splits.values()))
    shared = ", ".join(f"{pair.n_images} in {pair.first} and {pair.second}" for pair in card.shared if pair.n_images)
    facts.add_row("from", escape(place))
    facts.add_row("image shape", " x ".join(map(str, card.image_shape)))
    facts.add_row("channel means", " ".join(f"{mean:.4f}" for mean in train.channel_means))
    facts.add_row("channel sds", " ".join(f"{sd:.4f}" for sd in train.channel_sds))
    facts.add_row("imbalance", f"{card.imbalance:g}")
    facts.add_row("equal images", shared or "none across the splits")
    facts.add_row("content hash", card.content_hash[:16])
    facts.add_row("data hash", card.data_hash[:16])
    return facts

"""Step 1: from a source to checked, hashed arrays, with training, validation and test images in separate files."""

from pathlib import Path
from typing import TYPE_CHECKING

from cnn.config.environment import Environment
from cnn.config.params import Params

if TYPE_CHECKING:
    from cnn.data.store import Prepared

CARD_FILE = "data_card.json"


def prepare(params: Params, environment: Environment, folder: Path | None = None) -> "Prepared":
    """Load, check, split, write, and say what was found.

    Args:
        folder: Where the arrays go; None: `data/prepared`.

    Raises:
        SourceError: No place has the images.
        DataError: They cannot be trained on.
        IntegrityError: They are not the images they should be.
        StorageError: There is no room, or no permission, to write them.
    """
    import rich

    from cnn.config.outputs import PREPARED
    from cnn.data.card import data_card
    from cnn.data.checks import check_classes, check_content
    from cnn.data.screen import card_screen
    from cnn.data.sources import load_source
    from cnn.data.splits import make_splits
    from cnn.data.store import write_prepared
    from cnn.durable import write_json

    folder = folder or PREPARED
    data = load_source(params.prepare.source, params.prepare.path, environment.downloads)
    splits = make_splits(data, params.prepare)
    check_classes(splits, data.class_names)
    for name, split in splits.items():
        check_content(split, name)

    prepared = write_prepared(folder, data, splits)
    card = data_card(data, splits, prepared.data_hash)
    write_json(folder / CARD_FILE, card.document())
    rich.print(card_screen(card, data.place))
    return prepared

"""Step 1: from a source to checked, hashed arrays, with training, validation and test images in separate files."""

from pathlib import Path
from typing import TYPE_CHECKING

from cnn.config.environment import Environment
from cnn.config.params import Params

if TYPE_CHECKING:
    from cnn.config.preparing import PrepareParams
    from cnn.data.arrays import DataSet
    from cnn.data.prepared.store import Prepared
    from cnn.records import Head

CARD_FILE = "data_card.json"


def prepare(params: Params, environment: Environment, folder: Path | None = None) -> "Prepared":
    """Load, check, split, write, and say what was found.

    Args:
        folder: Where the arrays go; None: `data/prepared`.

    Raises:
        ConfigError: `prepare.tree` does not fit the classes.
        SourceError: No place has the images.
        DataError: They cannot be trained on.
        IntegrityError: They are not the images they should be.
        StorageError: There is no room, or no permission, to write them.
    """
    import rich

    from cnn.config.outputs import PREPARED
    from cnn.data.pictures.reading import drop_pictures
    from cnn.data.prepared.store import write_prepared
    from cnn.data.quality.card import data_card
    from cnn.data.quality.checks import check_classes, check_content
    from cnn.data.quality.cleaning import cleaned
    from cnn.data.quality.fingerprint import keep_fingerprint
    from cnn.data.quality.screen import card_screen
    from cnn.data.sources.catalogue import load_source
    from cnn.durable import write_json

    folder = folder or PREPARED
    cache = environment.home / "cache"
    clean = cleaned(load_source(params.prepare, environment.downloads, cache), params.prepare, folder)
    data, splits = clean.data, clean.splits
    head = head_of(params.prepare, data)
    check_classes(splits, data.class_names)
    for name, split in splits.items():
        check_content(split, name)

    prepared = write_prepared(folder, data, splits, head, params.prepare)
    card = data_card(data, splits, prepared.data_hash, clean.left_out)
    write_json(folder / CARD_FILE, card.document())
    keep_fingerprint(environment.fingerprints, prepared, splits)
    drop_pictures(cache)
    rich.print(card_screen(card, data.place))
    return prepared


def head_of(params: "PrepareParams", data: "DataSet") -> "Head":
    """What is to be told of these images.

    Raises:
        ConfigError: `prepare.tree` does not fit the classes.
        DataError: The labels are of another kind than the task.
    """
    from cnn.config.tree import ancestors_of
    from cnn.data.quality.checks import check_form
    from cnn.errors import DataError
    from cnn.records import Head, Task

    check_form(data.train, multilabel=params.task is Task.MULTILABEL)
    if params.task is Task.BINARY and len(data.class_names) != 2:
        received = f"{len(data.class_names)} classes with prepare.task binary"
        change = "change the labels or prepare.task"
        raise DataError("labels", received=received, expected="2 classes, the positive one last", change=change)
    ancestors = () if params.tree is None else ancestors_of(params.tree, data.class_names)
    return Head(class_names=data.class_names, task=params.task, ancestors=ancestors)

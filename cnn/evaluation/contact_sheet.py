"""What the network sees: a few training images, and what augmentation made of them in the first epochs.

`python -m cnn.evaluation.contact_sheet REQUEST` draws the sheets that a request, in JSON, asks for.
"""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cnn.config.params import SearchParams
from cnn.config.recipe import AugmentRecipe, Recipe
from cnn.config.space import Choice
from cnn.data.arrays import Images, Indices, Labels, Split
from cnn.runtime import derived_seed

log = logging.getLogger(__name__)

N_IMAGES = 8
N_EPOCHS = 8
_PATIENCE_S = 120.0
_NICE = 10  # the trials come first


def contact_sheet(
    split: Split, class_names: Sequence[str], augment: AugmentRecipe, path: Path, *, title: str, seed: int
) -> None:
    """Draw images of as many classes as there is room for, each in a row: as it is stored, then epoch by epoch.

    They pass through the pipeline of training, and so are what a network that was trained on just these images would
    see: a mixture's partner is one of the other rows.

    Args:
        title: Comes before the settings of the augmentation.
        seed: Of the choice of images and of the augmentation.

    Raises:
        StorageError: The file cannot be written.
    """
    from cnn.evaluation.plots.contact_sheet import sheet_picture

    rows = _one_of_each_class(split.labels, N_IMAGES, seed)
    images, names = split.images[rows], [_name(label, class_names) for label in split.labels[rows]]
    columns, captions = [images], []
    for changed, shares in _epochs(images, augment, seed):
        columns.append(changed)
        captions.append([_mixture(share, names, row) for row, share in enumerate(shares)])
    by_row = list(zip(*captions, strict=True)) if augment.mixes else ()
    heading = f"{title}: {settings(augment)}"
    sheet_picture(np.stack(columns, axis=1), names, path, title=heading, captions=by_row)


def settings(augment: AugmentRecipe) -> str:
    """The changes that an augmentation has, in words.

    Example:
        >>> settings(AugmentRecipe(flip=True, rotate=15))
        'flip, rotate 15'
    """
    dumped = augment.model_dump(exclude_defaults=True)
    return ", ".join(name if value is True else f"{name} {value:g}" for name, value in dumped.items()) or "unchanged"


def sheets_of(base: Recipe, params: SearchParams) -> dict[str, AugmentRecipe]:
    """The augmentations of a search that are worth a picture, by the name of its file: the base recipe's, and where the
    space has dimensions of augmentation the strongest that it can propose. Without any change there is none.

    Example:
        >>> space = {"augment.rotate": {"type": "float", "low": 0, "high": 30}}
        >>> params = SearchParams.model_validate({"space": space, "budget": {"trials": 1}})
        >>> {name: settings(augment) for name, augment in sheets_of(Recipe(), params).items()}
        {'augmentation_strongest': 'rotate 30'}
    """
    highest = {
        path.removeprefix("augment."): max(dimension.values) if isinstance(dimension, Choice) else dimension.high
        for path, dimension in params.space.items()
        if path.startswith("augment.")
    }
    strongest = AugmentRecipe.model_validate(base.augment.model_dump() | highest)
    sheets = {"augmentation": base.augment, "augmentation_strongest": strongest}
    kept = {name: augment for name, augment in sheets.items() if augment != AugmentRecipe()}
    return kept if highest or not kept else {"augmentation": base.augment}


def drawn_here(
    split: Split, class_names: Sequence[str], augment: AugmentRecipe, path: Path, *, title: str, seed: int
) -> list[Path]:
    """Draw a sheet in this process, which has loaded TensorFlow: the file; none without any change or when it fails."""
    if augment == AugmentRecipe():
        return []
    try:
        contact_sheet(split, class_names, augment, path, title=title, seed=seed)
    except Exception:  # a picture is never a reason to lose a candidate
        log.exception("no contact sheet of the training images")
        return []
    return [path]


@contextmanager
def drawn_beside(
    sheets: Mapping[str, AugmentRecipe],
    data: Path,
    folder: Path,
    *,
    title: str,
    seed: int,
    deliver: Callable[[Path], None],
) -> Iterator[None]:
    """Draw sheets in a process of its own while something else is done. Whatever goes wrong is logged, not raised.

    TensorFlow makes the images, and whoever only watches over workers has not loaded it.

    Args:
        data: Folder of the prepared arrays.
        folder: Takes the pictures, and `contact_sheet.log`; a picture that is there already is not drawn again.
        deliver: Takes each picture as soon as it is there; called in a thread.
    """
    paths = {name: folder / f"{name}.png" for name in sheets}
    wanted = [
        {"path": str(path), "title": f"{title}, {name.replace('_', ', ')}", "augment": sheets[name].model_dump()}
        for name, path in paths.items()
        if not path.exists()
    ]
    process = _started({"data": str(data), "seed": seed, "sheets": wanted}, folder) if wanted else None
    given_up = threading.Event()

    def wait_and_deliver() -> None:
        if process and process.wait():
            why = "it took too long" if given_up.is_set() else f"see {folder / 'contact_sheet.log'}"
            log.warning("no contact sheet of the training images: %s", why)
        for path in paths.values():
            if path.exists():
                _without_raising(deliver, path)

    thread = threading.Thread(target=wait_and_deliver, daemon=True)
    thread.start()
    try:
        yield
        thread.join(_PATIENCE_S)
    finally:
        if process:
            given_up.set()
            process.kill()  # nothing happens to one that has ended
        thread.join()


def _started(request: Mapping[str, object], folder: Path) -> "subprocess.Popen[bytes] | None":
    command = [sys.executable, "-m", "cnn.evaluation.contact_sheet", json.dumps(request)]
    try:
        with (folder / "contact_sheet.log").open("wb") as output:
            # Ctrl-C is for whoever searches; it then ends this
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
    except OSError:
        log.exception("no contact sheet of the training images")
        return None


def _without_raising(deliver: Callable[[Path], None], path: Path) -> None:
    try:
        deliver(path)
    except Exception:  # a picture is never a reason to lose a search
        log.exception("%s is not delivered", path)


def _one_of_each_class(labels: Labels, n: int, seed: int) -> Indices:
    """(at most n,) positions: an image of each class, then a second of each, and so on; sorted by class."""
    order = np.random.default_rng(derived_seed(seed, "contact sheet")).permutation(len(labels))
    if labels.ndim > 1:
        return order[:n]
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    ranks = np.arange(len(labels)) - np.repeat(starts, counts)
    return by_class[np.sort(np.argsort(ranks, kind="stable")[:n])]


def _epochs(images: Images, augment: AugmentRecipe, seed: int) -> Iterator[tuple[Images, list[dict[int, float]]]]:
    """Of each epoch the changed images, and of which images each is made, in shares; both in the order of `images`."""
    from cnn.data.pipeline import TrainingPipeline

    numbers, n_images = np.arange(len(images)), len(images)
    still, changing = (
        TrainingPipeline(images, numbers, batch_size=n_images, augment=each, seed=seed, n_classes=n_images)
        for each in (AugmentRecipe(), augment)
    )
    for epoch in range(N_EPOCHS):
        _, shown = next(still.epoch(epoch).as_numpy_iterator())
        changed, targets = next(changing.epoch(epoch).as_numpy_iterator())
        place = np.argsort(shown)
        shares = targets if augment.mixes else np.eye(n_images)[shown]
        yield changed[place], [{int(i): float(share[i]) for i in np.flatnonzero(share)} for share in shares[place]]


def _mixture(shares: Mapping[int, float], names: Sequence[str], own: int) -> list[str]:
    """What a mixture shows, the row's own image first; images of one name are added up."""
    by_name: dict[str, float] = {}
    for row, share in sorted(shares.items(), key=lambda item: item[0] != own):
        by_name[names[row]] = by_name.get(names[row], 0.0) + share
    return [f"{name[:12]} {share:.2f}" for name, share in by_name.items()]


def _name(label: np.ndarray, class_names: Sequence[str]) -> str:
    if np.ndim(label):
        return ", ".join(name for name, holds in zip(class_names, label, strict=True) if holds) or "none"
    return class_names[int(label)]


def _main(request: Mapping[str, object]) -> None:
    from cnn.data.prepared.store import open_training, read_prepared
    from cnn.runtime import configure_process

    os.nice(_NICE)
    configure_process(threads=1)
    prepared = read_prepared(Path(str(request["data"])))
    training, _ = open_training(prepared)
    for sheet in request["sheets"]:  # type: ignore[attr-defined]
        augment = AugmentRecipe.model_validate(sheet["augment"])
        contact_sheet(
            training,
            prepared.class_names,
            augment,
            Path(sheet["path"]),
            title=sheet["title"],
            seed=int(str(request["seed"])),
        )


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))

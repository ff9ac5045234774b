"""Would more data help? Train a recipe on growing parts of the training images, and keep what each run got right."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnn.config.reading import digest, recipe_with
from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.data.prepared.splits import stratified_subset
from cnn.diagnosis.power_law import Right
from cnn.durable import read_sealed, write_sealed
from cnn.errors import IntegrityError
from cnn.records import Head
from cnn.runtime import derived_seed

if TYPE_CHECKING:
    from cnn.training.backbone import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A run to be made.

    Args:
        n_images: Training images it gets.
        repeat: 0-based; each has its own images and its own seed.
        epochs: So many that all parts take the same number of steps: a run on an eighth of the images that took an
            eighth of the steps would be bad for want of steps.
    """

    n_images: int
    repeat: int
    epochs: int

    def recipe(self, whole: Recipe) -> Recipe:
        """The recipe for this part, from the one for all images: phases and patience that many times
        longer: early stopping, too, waits for the same number of steps.
        """
        longer = self.epochs / whole.training.epochs
        changes: dict[str, Any] = {"training.epochs": self.epochs}
        if whole.training.patience is not None:
            changes["training.patience"] = math.ceil(whole.training.patience * longer)
        if whole.transfer and whole.transfer.then:
            changes["transfer.then.epochs"] = math.ceil(whole.transfer.then.epochs * longer)
        return recipe_with(whole, changes, where="the recipe")


def parts(n_train: int, fractions: tuple[float, ...], n_repeats: int, epochs: int) -> list[Part]:
    """The runs of a data curve, the cheapest question first: one run of every part, then the next of every part.

    Example:
        >>> [(part.n_images, part.epochs) for part in parts(800, (0.25, 1.0), 1, 10)]
        [(200, 40), (800, 10)]
    """
    sizes = [max(1, round(fraction * n_train)) for fraction in sorted(fractions)]
    return [
        Part(n_images=size, repeat=repeat, epochs=math.ceil(epochs * n_train / size))
        for repeat in range(n_repeats)
        for size in sizes
    ]


def measured(
    recipe: Recipe,
    train: Split,
    validation: Split,
    *,
    head: Head,
    wanted: list[Part],
    seed: int,
    folder: Path,
    say: Callable[[str], None],
    backbone: "Weights | None" = None,
) -> dict[int, Right]:
    """Which validation images each run answers right, by the number of its training images.

    Each run's answers are kept in `folder` as soon as it is done, and its checkpoints while it is not: a call that was
    killed goes on where it stopped.

    Args:
        backbone: What a recipe with `transfer` starts from, whose digest must stand in it: the same for every part.

    Raises:
        StorageError: The folder can't be written.
    """
    found: dict[int, list[Right]] = {}
    for number, part in enumerate(wanted, start=1):
        path = folder / f"{digest(recipe, head.document(), part.n_images, part.repeat, part.epochs, seed)[:16]}.json"
        answers = _kept(path)
        if answers is None:
            answers = _trained(
                recipe, train, validation, head=head, part=part, seed=seed, folder=folder, backbone=backbone
            )
            document = {"n_val": len(answers), "right": np.packbits(answers).tobytes().hex()}
            write_sealed(path, document)
        say(f"{number} of {len(wanted)}: {part.n_images} images, validation error {1 - answers.mean():.4f}")
        found.setdefault(part.n_images, []).append(answers)
    return {size: np.stack(runs) for size, runs in found.items()}


def _trained(
    recipe: Recipe,
    train: Split,
    validation: Split,
    *,
    head: Head,
    part: Part,
    seed: int,
    folder: Path,
    backbone: "Weights | None",
) -> Right:
    import keras

    from cnn.training.answers import right
    from cnn.training.checkpoint import discard
    from cnn.training.fit import fit
    from cnn.training.scoring import probabilities

    keras.backend.clear_session()
    own = derived_seed(seed, "data curve", part.n_images, part.repeat)
    images = train.part(stratified_subset(train.labels, part.n_images, own))
    checkpoints = folder / f"run-{part.n_images}-{part.repeat}"
    fitted = fit(
        part.recipe(recipe),
        images,
        validation,
        head=head,
        seed=own,
        checkpoint=checkpoints,
        on_epoch=lambda row: False,
        backbone=backbone,
    )
    discard(checkpoints)
    if fitted.best_epoch is None:
        return np.zeros(len(validation), np.bool_)  # it learnt nothing
    return right(validation.labels, probabilities(fitted.model, validation.images), head.task)


def _kept(path: Path) -> Right | None:
    """The answers of an earlier call; None when there are none, or torn ones."""
    try:
        document = read_sealed(path)
    except IntegrityError:
        return None
    bits = np.frombuffer(bytes.fromhex(document["right"]), np.uint8)
    return np.unpackbits(bits, count=document["n_val"]).astype(np.bool_)


def fractions(text: str) -> Iterator[float]:
    """Parts in (0, 1] from their text.

    Example:
        >>> list(fractions("1/8,1/2,1"))
        [0.125, 0.5, 1.0]

    Raises:
        ValueError: It is no such text.
    """
    for word in text.split(","):
        above, _, below = word.partition("/")
        value = float(above) / float(below or 1)
        if not 0 < value <= 1:
            raise ValueError(word)
        yield value

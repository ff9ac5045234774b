"""Training runs whose diagnosis is known from how they were made, and never from what a rule says of their curves.

Each kind spoils (or spares) a run on purpose: so few images that a large network must learn them by heart, one filter
that cannot hold the task, a rate that must explode, labels that are wrong in the training images alone. The real data
sets are shrunk, that a run takes seconds. Every choice is a function of the run's name alone, and so is the part it
belongs to: the rules may be tuned on `tuning`, `held-out` is for reporting.
"""

from dataclasses import dataclass, replace

import numpy as np

from cnn.config.reading import recipe_with
from cnn.config.recipe import Recipe
from cnn.data.arrays import Split
from cnn.data.prepared.splits import stratified_subset
from cnn.runtime import derived_seed

COUNTS = {
    "overfitting": 36,
    "healthy": 32,
    "underfitting": 28,
    "plateau": 24,
    "still_learning": 28,
    "not_learning": 24,
    "diverged": 24,
    "unstable": 24,
    "data_suspect": 24,
    "undecided": 18,
}
LATER = {"still_learning": 16}  # runs cut short by their schedule, made when the first had their parts
SOURCES = ("digits", "fashion_mnist", "cifar10")


@dataclass(frozen=True, kw_only=True)
class Made:
    """A run to be trained: its recipe and its images."""

    recipe: Recipe
    train: Split
    validation: Split
    n_classes: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How a run is made, before its images are drawn.

    Args:
        classes: Those that are kept; empty: all.
        values: Of the recipe, by dotted path.
        spoil: What is done to the images: a key of `SPOILS`.
        strength: Of the spoiling: a part of the images, or with `easy_validation` the last class that is kept.
    """

    source: str
    n_train: int
    n_val: int
    values: dict
    classes: tuple = ()
    spoil: str = "none"
    strength: float = 0.0


def names():
    """All runs, the kinds in turns, so that a part of them holds all kinds."""
    counts = {label: count + LATER.get(label, 0) for label, count in COUNTS.items()}
    most = max(counts.values())
    return [f"{label}/{number}" for number in range(most) for label, count in counts.items() if number < count]


def part_of(name):
    """`tuning` or `held-out`: one half of each kind, and of those made later, drawn by the names alone."""
    label, number = name.partition("/")[0], int(name.partition("/")[2])
    first = range(COUNTS[label])
    alike = first if number in first else range(COUNTS[label], COUNTS[label] + LATER[label])
    drawn = sorted(alike, key=lambda one: derived_seed("part", f"{label}/{one}"))
    return "tuning" if number in drawn[: len(drawn) // 2] else "held-out"


def choice(name):
    """How the run of this name is made."""
    label, _, number = name.partition("/")
    rng = np.random.default_rng(derived_seed("labelled", name))
    return _KINDS[label](rng, int(number))


def made(name, sources):
    """The run of this name.

    Args:
        sources: (images, labels) of each of `SOURCES`, shrunk.
    """
    chosen = choice(name)
    images, labels = sources[chosen.source]
    if chosen.classes:
        kept = np.isin(labels, chosen.classes)
        images, labels = images[kept], np.vectorize(chosen.classes.index)(labels[kept])
    everything, seed = Split(images=images, labels=labels.astype(np.int64)), derived_seed("images", name)
    drawn = everything.part(stratified_subset(labels, chosen.n_train + chosen.n_val, seed))
    held = stratified_subset(drawn.labels, chosen.n_val, seed + 1)
    train, validation = drawn.part(np.setdiff1d(np.arange(len(drawn)), held)), drawn.part(held)
    train, validation = SPOILS[chosen.spoil](train, validation, chosen.strength, np.random.default_rng(seed))
    recipe = recipe_with(Recipe(), chosen.values)
    return Made(recipe=recipe, train=train, validation=validation, n_classes=len(chosen.classes) or 10)


# ---- what is done to images


def _wrong_labels(train, validation, strength, rng):
    """Some of the training labels are any label."""
    wrong = rng.random(len(train)) < strength
    labels = np.where(wrong, rng.integers(0, train.labels.max() + 1, len(train)), train.labels)
    return replace(train, labels=labels), validation


def _all_labels_wrong(train, validation, strength, rng):
    """Training and validation labels have nothing to do with the images."""
    shuffled, others = rng.permutation(train.labels), rng.permutation(validation.labels)
    return replace(train, labels=shuffled), replace(validation, labels=others)


def _unreadable(train, validation, strength, rng):
    """Some of the training images are noise that bears a label all the same."""
    lost = rng.random(len(train)) < strength
    noise = rng.integers(0, 256, train.images.shape, np.uint8)
    return replace(train, images=np.where(lost[:, None, None, None], noise, train.images)), validation


def _blank(train, validation, strength, rng):
    """Every image is the same grey: an import that went wrong."""
    return tuple(replace(split, images=np.full_like(split.images, 128)) for split in (train, validation))


def _easy_validation(train, validation, strength, rng):
    """The validation images are of the first classes alone: sorted by class, then cut."""
    return train, validation.part(np.flatnonzero(validation.labels <= strength))


SPOILS = {
    "none": lambda train, validation, strength, rng: (train, validation),
    "wrong_labels": _wrong_labels,
    "all_labels_wrong": _all_labels_wrong,
    "unreadable": _unreadable,
    "blank": _blank,
    "easy_validation": _easy_validation,
}


# ---- the kinds


def _values(epochs, *, batch=32, optimizer="adam", rate=2e-3, **others):
    """A recipe's values; of the others the section is written with a double underscore."""
    given = {name.replace("__", "."): value for name, value in others.items()}
    return {
        "training.epochs": epochs,
        "training.batch_size": batch,
        "optimizer.name": optimizer,
        "optimizer.learning_rate": float(rate),
        "model.blocks": 2,
        "model.filters": 16,
    } | given


def _log(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _spared(rng, number, *, stretch=1, schedule="cosine"):
    """A task that the network can hold, with regularization, and images enough."""
    regular = {"model__dropout": 0.2, "model__head_dropout": 0.3, "optimizer__schedule": schedule}
    kind = number % 4
    if kind == 0:
        values = _values(stretch * int(rng.integers(18, 25)), rate=_log(rng, 2e-3, 4e-3), **regular)
        wide = {"model.filters": 32, "model.dropout": 0.1, "augment.shift": 0.1}
        return Choice(source="digits", n_train=1250, n_val=int(rng.integers(350, 500)), values=values | wide)
    epochs, n_val = stretch * int(rng.integers(10, 14)), int(rng.integers(500, 1000))
    values = _values(epochs, batch=64, rate=_log(rng, 1.5e-3, 3e-3), **regular)
    if kind == 1:
        classes = (0, 1, 5, 8) if number % 8 == 1 else (1, 3, 7, 8, 9)
        return Choice(source="fashion_mnist", n_train=2000, n_val=n_val, values=values, classes=classes)
    if kind == 2:
        classes = (1, 2, 7) if number % 8 == 2 else (0, 7)
        return Choice(source="fashion_mnist", n_train=1800, n_val=n_val, values=values, classes=classes)
    flipped = values | {"augment.flip": True, "augment.shift": 0.1, "training.epochs": stretch * 12}
    classes = (0, 6) if number % 8 == 3 else (6, 8)
    return Choice(source="cifar10", n_train=3000, n_val=n_val, values=flipped, classes=classes)


def _healthy(rng, number):
    return _spared(rng, number)


def _plateau(rng, number):
    """What was learnt in a quarter of the epochs, gone on with at the same rate."""
    chosen = _spared(rng, (0, 2)[number % 2] if number % 3 else 0, stretch=4, schedule="constant")
    quarter = {"optimizer.learning_rate": 1e-3, "augment.shift": 0.1}
    return replace(chosen, n_train=min(chosen.n_train, 1250), values=chosen.values | quarter)


def _undecided(rng, number):
    """Ordinary runs, scored on so few images that no gap can be told from chance."""
    return replace(_spared(rng, number), n_val=int(rng.integers(16, 36)))


def _overfitting(rng, number):
    source = SOURCES[number % 3]
    n_train = int(rng.integers(60, 140)) if source == "digits" else int(rng.integers(150, 600))
    large = {"model__filters": int(rng.integers(24, 49)), "model__dense_units": 128}
    values = _values(int(rng.integers(25, 40)), rate=_log(rng, 1e-3, 4e-3), batch=32, **large)
    n_val = int(rng.integers(400, 1000))
    if number % 4 == 3:
        strength = rng.uniform(0.2, 0.4)
        spoilt = {"source": source, "n_train": 500, "n_val": n_val, "spoil": "wrong_labels", "strength": strength}
        return Choice(values=values | {"training.epochs": 40}, **spoilt)
    return Choice(source=source, n_train=n_train, n_val=n_val, values=values)


def _underfitting(rng, number):
    source, epochs, n_val = SOURCES[number % 3], int(rng.integers(18, 26)), int(rng.integers(400, 900))
    choose = {"source": source, "n_train": 1250 if source == "digits" else 2000, "n_val": n_val}
    kind = number // 3 % 3
    if kind == 0:
        tiny = {"model__filters": int(rng.integers(1, 3)), "model__head": "global_average", "model__dense_units": 0}
        values = _values(epochs, rate=1e-2, optimizer__schedule="cosine", **tiny)
    elif kind == 1:
        held = {"model__filters": 4, "model__dropout": rng.uniform(0.6, 0.75), "model__head_dropout": 0.7}
        values = _values(epochs, rate=3e-3, optimizer__schedule="cosine", model__dense_units=16, **held)
    else:
        decayed = {"optimizer__weight_decay": rng.uniform(0.6, 1.0), "optimizer__schedule": "cosine"}
        values = _values(epochs, optimizer="adamw", rate=1e-2, model__filters=4, **decayed)
    return Choice(values=values, **choose)


def _still_learning(rng, number):
    if number >= COUNTS["still_learning"]:
        return _cut_short(rng, number)
    source, n_val = SOURCES[number % 3], int(rng.integers(400, 900))
    choose = {"source": source, "n_train": 1250 if source == "digits" else 2500, "n_val": n_val}
    epochs = int(rng.integers(8, 15))
    if number % 2:
        values = _values(epochs, batch=64, rate=_log(rng, 6e-5, 2e-4))
    else:
        values = _values(epochs, batch=64, optimizer="sgd", rate=_log(rng, 6e-4, 2e-3))
    return Choice(values=values, **choose)


def _cut_short(rng, number):
    """A schedule that ends after so few epochs that four times as many bring far more."""
    source, epochs, n_val = SOURCES[number % 3], int(rng.integers(4, 8)), int(rng.integers(400, 900))
    choose = {"source": source, "n_train": 1250 if source == "digits" else 2500, "n_val": n_val}
    ended = {"optimizer__schedule": ("one_cycle", "cosine")[number // 3 % 2]}
    return Choice(values=_values(epochs, batch=64, rate=_log(rng, 3e-4, 1e-3), **ended), **choose)


def _not_learning(rng, number):
    source, n_val, epochs = SOURCES[number % 3], int(rng.integers(400, 900)), int(rng.integers(8, 14))
    choose = {"source": source, "n_train": 1250 if source == "digits" else 1500, "n_val": n_val}
    kind = number // 3 % 3
    if kind == 0:
        return Choice(values=_values(epochs, batch=64, optimizer="sgd", rate=_log(rng, 1e-7, 1e-6)), **choose)
    if kind == 1:
        small = {"model__filters": 4, "model__dense_units": 0, "model__head": "global_average"}
        return Choice(values=_values(epochs, batch=64, rate=1e-3, **small), spoil="all_labels_wrong", **choose)
    return Choice(values=_values(epochs, batch=64), spoil="blank", **choose)


def _diverged(rng, number):
    source, n_val, epochs = SOURCES[number % 3], int(rng.integers(400, 900)), int(rng.integers(8, 14))
    choose = {"source": source, "n_train": 1200, "n_val": n_val}
    activation = ("elu", "leaky_relu")[number % 2]
    kind = number // 3 % 3
    if kind == 0:
        values = _values(epochs, optimizer="sgd", rate=_log(rng, 3.0, 10.0), model__activation=activation)
    elif kind == 1:
        values = _values(epochs, rate=_log(rng, 0.5, 3.0), model__activation=activation)
    else:  # learns while the rate rises, until it is too high
        rising = {"optimizer__schedule": "one_cycle", "optimizer__warmup_fraction": 0.9}
        values = _values(epochs, rate=_log(rng, 1.0, 3.0), model__activation=activation, **rising)
    return Choice(values=values, **choose)


def _unstable(rng, number):
    source, n_val, epochs = SOURCES[number % 3], int(rng.integers(400, 900)), int(rng.integers(18, 26))
    choose = {"source": source, "n_train": 1000, "n_val": n_val}
    # steps far too long, from which BatchNorm saves the weights; in half of the runs with statistics of few images, too
    rough = {"model__activation": "leaky_relu", "model__batch_norm": "before_activation"}
    batch, momentum = (6, 0.5) if number // 3 % 2 else (16, 0.9)
    values = _values(epochs, batch=batch, rate=_log(rng, 0.03, 0.08), model__batch_norm_momentum=momentum, **rough)
    return Choice(values=values, **choose)


def _data_suspect(rng, number):
    chosen = _spared(rng, number)
    kind = number // 4 % 3
    if kind == 2:
        classes = (1, 5, 8, 0, 6, 2, 4) if number % 2 else (1, 8, 9, 2, 4, 6)
        easy = {"source": "fashion_mnist", "classes": classes, "spoil": "easy_validation", "strength": 2}
        return replace(chosen, n_train=2000, n_val=1200, values=chosen.values | {"model.filters": 8}, **easy)
    spoil = ("wrong_labels", "unreadable")[kind]
    return replace(chosen, spoil=spoil, strength=rng.uniform(0.15, 0.4))


_KINDS = {
    "overfitting": _overfitting,
    "healthy": _healthy,
    "underfitting": _underfitting,
    "plateau": _plateau,
    "still_learning": _still_learning,
    "not_learning": _not_learning,
    "diverged": _diverged,
    "unstable": _unstable,
    "data_suspect": _data_suspect,
    "undecided": _undecided,
}

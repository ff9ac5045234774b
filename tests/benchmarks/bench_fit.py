"""Images a second of our `fit` and of plain Keras `model.fit`, on the same network, side by side.

Both arms train one epoch after another and score the validation set; ours scores the clean training sample as well, and
writes a checkpoint an epoch. The first epoch of each is the warm-up and is printed apart: it holds the tracing.

    python tests/benchmarks/bench_fit.py [RECIPE ...] [--images 2560] [--epochs 4] [--rounds 3] [--threads 2]
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import print_arms, print_head, print_ratio

from cnn.runtime import configure_process, cpu_count_available

VALIDATION_FRACTION = 0.1


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("recipes", nargs="*", default=["tutorial_basic", "tutorial_improved"])
    words.add_argument("--images", type=int, default=2560, help="an epoch")
    words.add_argument("--epochs", type=int, default=4, help="a round, its warm-up included; 2 or more")
    words.add_argument("--rounds", type=int, default=3, help="of each arm, in turns")
    words.add_argument("--threads", type=int, default=cpu_count_available())
    given = words.parse_args()
    configure_process(threads=given.threads)
    print_head("training speed, ours and plain Keras")
    print(f"{given.threads} threads, {given.images} random images of 32 x 32 x 3, {given.rounds} rounds an arm")
    for name in given.recipes:
        _compare(name, given)


def _compare(name, given):
    from cnn.config.reading import read_recipe, recipe_with

    recipe = recipe_with(read_recipe(name), {"training.epochs": given.epochs})
    train, validation = _split(given.images), _split(int(given.images * VALIDATION_FRACTION))
    arms = {"ours": _ours, "keras": _keras}
    seconds = {arm: [] for arm in arms}
    for number in range(given.rounds):
        for arm in sorted(arms, reverse=bool(number % 2)):  # so that neither always has the warm machine
            seconds[arm].append(arms[arm](recipe, train, validation))
    print(f"\n-- {name}")
    rates = {
        arm: [given.images / second for round_ in rounds for second in round_[1:]] for arm, rounds in seconds.items()
    }
    print_arms("images/s, by epoch", rates)
    print_arms(
        "s, first epoch and building", {arm: [round_[0] for round_ in rounds] for arm, rounds in seconds.items()}
    )
    warm = {arm: [sum(round_[1:]) for round_ in rounds] for arm, rounds in seconds.items()}
    print_ratio("images/s, ours / keras", warm["keras"], warm["ours"])


def _ours(recipe, train, validation):
    from cnn.training.fit import fit

    seconds, last = [], time.perf_counter()

    def on_epoch(row):
        nonlocal last
        now = time.perf_counter()
        seconds.append(now - last)
        last = now
        return False

    with tempfile.TemporaryDirectory() as folder:
        fit(recipe, train, validation, head=_head(), seed=0, checkpoint=Path(folder), on_epoch=on_epoch)
    return seconds


def _keras(recipe, train, validation):
    import keras

    from cnn.models.build import build_model

    class Clock(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            marks.append(time.perf_counter())

    marks = [time.perf_counter()]
    model = build_model(recipe.model, (32, 32, 3), _head(), seed=0)
    model.compile(recipe.optimizer.name, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.learning_rate = recipe.optimizer.learning_rate
    model.fit(
        train.images,
        train.labels,
        batch_size=recipe.training.batch_size,
        epochs=recipe.training.epochs,
        validation_data=(validation.images, validation.labels),
        callbacks=[Clock()],
        verbose=0,
    )
    return np.diff(marks).tolist()


def _split(n):
    from cnn.data.arrays import Split

    rng = np.random.default_rng(n)
    return Split(images=rng.integers(0, 256, (n, 32, 32, 3), np.uint8), labels=rng.integers(0, 10, n))


def _head():
    from cnn.records import Head

    return Head(class_names=tuple("0123456789"))


if __name__ == "__main__":
    main()

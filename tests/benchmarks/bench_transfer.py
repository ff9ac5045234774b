"""Transfer learning against training from scratch, where images are few: Fashion-MNIST, cut in two.

A network learns one half of the classes from many images, and is then the source for the other half, of which there
are a few images a class. Both arms train on the same images with the same recipe, for the same epochs and the same
seeds, and are scored on the same test images with the weights of their best epoch on the same validation images: 100 a
class, which neither arm trains on. From scratch is tried at several learning rates, times the recipe's, each an arm of
its own, so that no arm wins for want of steps. What the source cost is not counted: it is there already.

How transfer divides the epochs and at which rates was decided on another cut of the classes, with other seeds: T-shirt,
Dress, Shirt, Sandal and Sneaker against the rest, seeds 100 and 101, among ten ways to do it. Most were within a point
of each other; what did harm was to leave the source's layers frozen for half of the epochs (-2 points) or all (-4).

    python tests/benchmarks/bench_transfer.py [--images 20] [--seeds 5] [--epochs 20] [--source 10000] [--rates 1,3]

References:
    Kumar, Raghunathan, Jones, Ma and Liang, "Fine-tuning can distort pretrained features and underperform
    out-of-distribution", ICLR 2022: the classifier first, then all of it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from figures import print_arms, print_facts, print_head

from cnn.config.environment import read_environment
from cnn.config.reading import read_recipe, recipe_with
from cnn.runtime import configure_process, cpu_count_available, derived_seed

HALVES = (("T-shirt/top", "Pullover", "Coat", "Sandal", "Bag"), ("Trouser", "Dress", "Shirt", "Sneaker", "Ankle boot"))
N_VALIDATION, N_SOURCE_EPOCHS = 500, 4
HEAD_RATE = 3.0
"""Times the recipe's rate, for a classifier that starts from nothing on layers that stay."""


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=int, default=20, help="a class of the new half")
    words.add_argument("--seeds", type=int, default=5, help="of each direction; 5 or more for a figure to be quoted")
    words.add_argument("--epochs", type=int, default=20, help="of each run, both phases together; 4 or more")
    words.add_argument("--source", type=int, default=10_000, help="images of the source's half")
    words.add_argument("--rates", default="1,3", help="learning rates of the arms from scratch, times the recipe's")
    words.add_argument("--threads", type=int, default=cpu_count_available())
    given = words.parse_args()
    configure_process(threads=given.threads)
    print_head("transfer learning and training from scratch")
    print(
        f"Fashion-MNIST, {given.images} images a class of 5, {given.epochs} epochs, {given.seeds} seeds a direction; "
        f"sources: the other 5 classes, {given.source} images, {N_SOURCE_EPOCHS} epochs"
    )
    began = time.monotonic()
    arms, seconds = _measured(given)
    print_arms("test accuracy, by run", arms)
    for arm in [name for name in arms if name != "transfer"]:
        better = [100 * (one - other) for one, other in zip(arms["transfer"], arms[arm], strict=True)]
        print_arms("points, by pair", {f"transfer - {arm}": better})
    print_arms("s a run", seconds)
    print_facts({"minutes in all": f"{(time.monotonic() - began) / 60:.1f}"})


def _measured(given):
    """Test accuracies and seconds by arm, in the same order of directions and seeds."""
    from cnn.records import best_row
    from cnn.training.transfer import backbone_weights

    data = _fashion()
    base = recipe_with(read_recipe("small"), {"training.epochs": given.epochs, "training.batch_size": 20})
    scratch = {f"scratch, {times:g} x the rate": _faster(base, times) for times in map(float, given.rates.split(","))}
    accuracies = {"transfer": [], **{arm: [] for arm in scratch}}
    seconds = {arm: [] for arm in accuracies}
    for old, new in (HALVES, HALVES[::-1]):
        learnt = recipe_with(base, {"training.epochs": N_SOURCE_EPOCHS, "training.batch_size": 128})
        source = _fitted(learnt, _drawn(data.train, old, data, given.source // len(old), 0), old, seed=0)
        print(f"source: {', '.join(old)}, validation accuracy {best_row(source.curve).val_accuracy:.3f}", flush=True)
        backbone = backbone_weights(source.model)
        for seed in range(1, given.seeds + 1):  # 0 is the source's, and that of trying the phases out
            few = _drawn(data.train, new, data, given.images, derived_seed("few", seed))
            arms = {"transfer": (_two_phases(base), backbone), **{arm: (it, None) for arm, it in scratch.items()}}
            for arm, (recipe, start) in arms.items():
                begun = time.perf_counter()
                fitted = _fitted(recipe, few, new, seed=seed, backbone=start)
                seconds[arm].append(time.perf_counter() - begun)
                accuracies[arm].append(_test_accuracy(fitted.model, data, new))
    return accuracies, seconds


def _two_phases(base):
    """A quarter of the epochs for the classifier alone, then the rest to fine-tune at the recipe's own rate."""
    first = base.training.epochs // 4
    then = {"epochs": base.training.epochs - first, "learning_rate": base.optimizer.learning_rate}
    section = {"from": "source.keras", "freeze": "all", "then": then}
    return _faster(recipe_with(base, {"training.epochs": first, "transfer": section}), HEAD_RATE)


def _faster(base, times):
    return recipe_with(base, {"optimizer.learning_rate": base.optimizer.learning_rate * times})


def _fashion():
    from cnn.data.sources.catalogue import SOURCES

    downloads = read_environment().downloads
    if downloads.exists():
        return SOURCES["fashion_mnist"].load(None, downloads)
    with tempfile.TemporaryDirectory() as folder:
        return SOURCES["fashion_mnist"].load(None, Path(folder))


def _drawn(split, names, data, n_each, seed):
    """So many images of each class, and the same 500 of the classes to validate on, which none of them is."""
    from cnn.data.arrays import Split

    rng, fixed = np.random.default_rng(seed), np.random.default_rng(0)
    chosen, held_out = [], []
    for label, name in enumerate(names):
        of_class = fixed.permutation(np.flatnonzero(split.labels == data.class_names.index(name)))
        held, rest = np.split(of_class, [N_VALIDATION // len(names)])
        chosen += [(place, label) for place in rng.permutation(rest)[:n_each]]
        held_out += [(place, label) for place in held]
    return [
        Split(images=split.images[[place for place, _ in part]], labels=np.array([label for _, label in part]))
        for part in (chosen, held_out)
    ]


def _fitted(recipe, splits, names, *, seed, backbone=None):
    from cnn.records import Head
    from cnn.training.fit import fit

    settings = {"head": Head(class_names=names), "seed": seed, "checkpoint": None, "backbone": backbone}
    return fit(recipe, *splits, on_epoch=lambda row: False, **settings)


def _test_accuracy(model, data, names):
    from cnn.training.scoring import probabilities

    labels = [data.class_names.index(name) for name in names]
    shown = np.flatnonzero(np.isin(data.test.labels, labels))
    answers = np.array(labels)[probabilities(model, data.test.images[shown]).argmax(axis=1)]
    return float((answers == data.test.labels[shown]).mean())


if __name__ == "__main__":
    main()

"""Images a second of the training pipeline with each augmentation, beside the same pipeline without any.

Both arms read the same images in the same order, in turns; nothing is trained. A network that trains a tenth as many
images a second waits for its pipeline next to nothing.

    python tests/benchmarks/bench_augment.py [--images 12800] [--side 32] [--rounds 5] [--threads 2]
"""

import argparse
import time

import numpy as np
from figures import print_arms, print_head, print_ratio

from cnn.runtime import configure_process, cpu_count_available

ARMS = {
    "flip": {"flip": True},
    "flip and shift": {"flip": True, "shift": 0.1},
    "rotate": {"rotate": 15},
    "zoom": {"zoom": 0.2},
    "brightness": {"brightness": 0.2},
    "contrast": {"contrast": 0.2},
    "noise": {"noise": 0.05},
    "cutout": {"cutout": 0.4},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
}
ARMS["all together"] = {name: value for arm in ARMS.values() for name, value in arm.items()}


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=int, default=12_800, help="an epoch")
    words.add_argument("--side", type=int, default=32, help="pixels")
    words.add_argument("--rounds", type=int, default=5, help="epochs of each arm, in turns, after one for the tracing")
    words.add_argument("--threads", type=int, default=cpu_count_available())
    given = words.parse_args()
    configure_process(threads=given.threads)
    print_head("augmentation")
    print(f"{given.threads} threads, {given.images} random images of {given.side} x {given.side} x 3, batches of 128")

    plain = _pipeline({}, given)
    rates, ratios = {}, {}
    for name, changes in ARMS.items():
        seconds = _in_turns({"without": plain, "with": _pipeline(changes, given)}, given.rounds)
        rates[name] = [given.images / second for second in seconds["with"]]
        rates.setdefault("without any", []).extend(given.images / second for second in seconds["without"])
        ratios[name] = seconds
    print_arms("images/s, by epoch", rates)
    for name, seconds in ratios.items():
        print_ratio(f"time, {name} / without", seconds["with"], seconds["without"])


def _pipeline(changes, given):
    from cnn.config.recipe import AugmentRecipe
    from cnn.data.pipeline import TrainingPipeline

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (given.images, given.side, given.side, 3), dtype=np.uint8)
    labels = rng.integers(0, 10, given.images)
    pipeline = TrainingPipeline(images, labels, batch_size=128, augment=AugmentRecipe(**changes), seed=0, n_classes=10)
    _drained(pipeline, 0)
    return pipeline


def _in_turns(arms, rounds):
    seconds = {arm: [] for arm in arms}
    for number in range(rounds):
        for arm in sorted(arms, reverse=bool(number % 2)):  # so that neither always has the warm machine
            begun = time.perf_counter()
            _drained(arms[arm], number + 1)
            seconds[arm].append(time.perf_counter() - begun)
    return seconds


def _drained(pipeline, epoch):
    for _ in pipeline.epoch(epoch):
        pass


if __name__ == "__main__":
    main()

"""One-epoch trials a minute: KerasTuner in one process, and our search with one worker and with as many as it chooses.

All arms train the same recipes: those KerasTuner's random search drew. KerasTuner builds the same network and trains it
as its users do, by `Tuner.search` and plain `model.fit`; ours is the whole search step, with tracking, pictures,
checkpoints and the scores of the clean gap, without the contact sheet, and timed until its last trial has ended.
Frameworks are imported beforehand in all of them.

    python tests/benchmarks/bench_keras_tuner.py [--trials 10] [--rounds 3] [--images 2000] [--source auto]
"""

import argparse
import contextlib
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

from figures import print_arms, print_facts, print_head, print_ratio
from searches import SOURCES, prepared_place, watched_search

from cnn.config.reading import read_recipe, recipe_with
from cnn.records import Proposal
from cnn.runtime import configure_process, cpu_count_available

SPACE = {
    "model.filters": {"type": "int", "low": 16, "high": 32, "step": 8},
    "optimizer.learning_rate": {"type": "float", "low": 0.001, "high": 0.03, "log": True},
}
BASE = {"optimizer.name": "adam", "optimizer.schedule": "constant", "optimizer.warmup_fraction": 0.0,
        "optimizer.weight_decay": 0.0, "augment.flip": False, "augment.shift": 0.0}  # fmt: skip


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--trials", type=int, default=10, help="of each search")
    words.add_argument("--rounds", type=int, default=3, help="of all arms, in turns")
    words.add_argument("--images", type=int, default=2000, help="training images, at most")
    words.add_argument("--source", choices=SOURCES, default="auto")
    given = words.parse_args()
    print_head("one-epoch trials a minute, ours and KerasTuner")
    with tempfile.TemporaryDirectory(prefix="cnn-bench-") as root:
        place = prepared_place(Path(root), given.source)
        print(f"{place.source}, at most {given.images} images; n = {given.rounds} rounds of {given.trials} trials")
        _compare(place, given)


def _compare(place, given):
    (place.root / "recipe.yaml").write_text(_base().model_dump_json(), encoding="utf-8")  # JSON is YAML
    keras_tuner, one, auto = "KerasTuner, one process", "ours, 1 worker", "ours, workers auto"
    seconds, cpu_seconds = ({keras_tuner: [], one: [], auto: []} for _ in range(2))
    drawn = []
    for number in range(given.rounds):
        arms = {
            keras_tuner: lambda: _in_fresh_process(place, given, drawn),
            one: lambda number=number: _ours(place, given, drawn, 1, f"one-{number}"),
            auto: lambda number=number: _ours(place, given, drawn, "auto", f"auto-{number}"),
        }
        # the first round begins with KerasTuner, whose draws the others need
        for arm in sorted(arms, reverse=bool(number % 2)):
            second, cpu_second = arms[arm]()
            seconds[arm].append(second)
            cpu_seconds[arm].append(cpu_second / given.trials)
    rates = {arm: [60 * given.trials / second for second in samples] for arm, samples in seconds.items()}
    print_arms("trials a minute, by round", rates)
    for arm in (one, auto):
        print_ratio(f"{arm} / KerasTuner", seconds[keras_tuner], seconds[arm])
    print_arms("s of processor time a trial, by round", cpu_seconds)
    print_facts({"recipes": f"the same {len(drawn)} in all arms"})


def _ours(place, given, drawn, workers, name):
    section = {"recipe": str(place.root / "recipe.yaml"), "space": SPACE, "train_limit": given.images}
    section |= {"engine": "random", "workers": workers, "finalists": 1, "finalist_seeds": 0}
    section["budget"] = {"trials": given.trials, "epochs": 1}
    watched = watched_search(
        place, place.params(**section), name, block=given.trials, searcher=lambda space, study: _Drawn(drawn)
    )
    return watched.block_s[0], watched.worker_cpu_s[0] + watched.coordinator_cpu_s[0]


class _Drawn:
    """A searcher that proposes what KerasTuner drew. Drawing at random costs neither side a millisecond."""

    steerable = False  # no verdict changes what was drawn

    def __init__(self, values):
        self._values = values

    def restore(self, trials, state): ...

    def ask(self, number):
        return Proposal(number=number, values=self._values[number], epochs=1)

    def report(self, number, epoch, score):
        return False

    def tell(self, outcome): ...

    def state(self):
        return ""


def _in_fresh_process(place, given, drawn):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        second, cpu_second, values = pool.apply(_keras_tuner, (place.data, given.trials, given.images, place.root))
    drawn[:] = values
    return second, cpu_second


def _keras_tuner(data, n_trials, n_images, root):
    """Seconds of KerasTuner's random search on all processors, of processor time too, and what it drew."""
    configure_process(threads=cpu_count_available())
    import keras
    import keras_tuner  # noqa: TID251 - the other side

    from cnn.data.prepared.splits import stratified_subset
    from cnn.data.prepared.store import open_training, read_prepared
    from cnn.models.build import build_model

    prepared = read_prepared(data)
    train, validation = open_training(prepared)
    train = train.part(stratified_subset(train.labels, n_images, 0))
    head, base = prepared.head, _base()

    def build(hp):
        values = {
            "model.filters": hp.Int("model.filters", 16, 32, step=8),
            "optimizer.learning_rate": hp.Float("optimizer.learning_rate", 0.001, 0.03, sampling="log"),
        }
        recipe = recipe_with(base, values)
        model = build_model(recipe.model, prepared.image_shape, head, seed=0)
        optimizer = keras.optimizers.Adam(recipe.optimizer.learning_rate)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    with tempfile.TemporaryDirectory(dir=root) as folder, _silent():
        tuner = keras_tuner.RandomSearch(
            build, objective="val_accuracy", max_trials=n_trials, seed=0, directory=folder, project_name="bench"
        )
        started, cpu = time.perf_counter(), time.process_time()
        tuner.search(
            train.images,
            train.labels,
            validation_data=(validation.images, validation.labels),
            batch_size=base.training.batch_size,
            epochs=1,
            verbose=0,
        )
        second, cpu_second = time.perf_counter() - started, time.process_time() - cpu
    trials = sorted(tuner.oracle.trials.values(), key=lambda trial: trial.trial_id)
    return second, cpu_second, [dict(trial.hyperparameters.values) for trial in trials]


def _base():
    return recipe_with(read_recipe("small"), BASE)


@contextlib.contextmanager
def _silent():
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


if __name__ == "__main__":
    main()

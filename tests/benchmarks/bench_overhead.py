"""What tracking, search engine and process handling add to short trials, against the bare training loop.

Ours is the whole search step with worker processes, MLflow on sqlite and a picture a trial. Bare is `fit` alone, in as
many processes with as many threads, on the same recipes and seeds, without checkpoints. Both take turns, block by
block: a block of the search, then the same trials bare while the search rests. Frameworks are imported beforehand in
both. What a search does once, however many trials it has, is told apart (the workers' start, the closing with its
report) or left out (the contact sheet).

    python tests/benchmarks/bench_overhead.py [--trials 50] [--blocks 5] [--seconds 2 20] [--engines optuna random]
"""

import argparse
import tempfile
import time
from pathlib import Path

from bare import bare_pool, checkpoint_seconds, train
from figures import print_arms, print_facts, print_head, print_ratio
from searches import SOURCES, prepared_place, watched_search

from cnn import wiring
from cnn.config.reading import read_recipe, recipe_with

SPACE = {
    "model.filters": {"type": "int", "low": 16, "high": 32, "step": 8},
    "model.batch_norm": {"type": "choice", "values": ["before_activation", "after_pool"]},
    "model.dropout": {"type": "float", "low": 0.0, "high": 0.3},
    "optimizer.learning_rate": {"type": "float", "low": 0.001, "high": 0.03, "log": True},
}
IMAGES_A_SECOND = 256  # training images for each second a trial shall last: a few epochs, as in a real search
GOALS = {2.0: "1.10", 20.0: "1.03"}


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--trials", type=int, default=50, help="of each search")
    words.add_argument("--blocks", type=int, default=5, help="in which the two arms take turns")
    words.add_argument("--seconds", type=float, nargs="+", default=[2.0, 20.0], help="a trial, about")
    words.add_argument("--engines", nargs="+", default=["optuna", "random"])
    words.add_argument("--source", choices=SOURCES, default="auto")
    words.add_argument("--workers", type=int, default=None, help="default: as the product chooses")
    given = words.parse_args()
    print_head("overhead of a search over the bare training loop")
    with tempfile.TemporaryDirectory(prefix="cnn-bench-") as root:
        place = prepared_place(Path(root), given.source)
        for seconds in given.seconds:
            _compare(place, seconds, given)


def _compare(place, seconds, given):
    workers = given.workers or "auto"
    block = max(1, given.trials // given.blocks)
    train_limit = max(64, int(IMAGES_A_SECOND * seconds))
    section = {"recipe": "small", "space": SPACE, "train_limit": train_limit, "workers": workers, "pruner": "none"}
    section |= {"finalists": 1, "finalist_seeds": 0, "budget": {"trials": block * given.blocks}}
    n_workers, threads = wiring.worker_counts(place.params(**section).search)
    pool = (n_workers, threads, place.data, train_limit)
    epochs, checkpoint_s = _calibrated(pool, seconds)
    print(
        f"\n-- trials of about {seconds:g} s: {place.source}, at most {train_limit} images, {epochs} epochs; "
        f"{n_workers} workers of {threads} threads; {given.blocks} blocks of {block} trials"
    )
    section["budget"]["epochs"] = epochs
    for engine in given.engines:
        measured = _both(place, section | {"engine": engine}, f"{engine}-{seconds:g}", block, pool)
        _print(engine, *measured, block=block, n_workers=n_workers, goal=GOALS.get(seconds, ""))
    print_facts({"checkpoint write, in the worker": f"{checkpoint_s * 1e3:.1f} ms an epoch"})


def _calibrated(pool, seconds):
    """Epochs that make a trial last about so long while all workers are busy; seconds of writing a checkpoint."""
    recipe = recipe_with(read_recipe("small"), {"training.epochs": 3, "model.filters": 24})
    tasks = [(recipe.model_dump(mode="json"), seed) for seed in range(pool[0])]
    with bare_pool(*pool) as processes:
        processes.map(train, tasks, chunksize=1)  # a process's first trial is slower
        whole, _, rows = processes.map(train, tasks, chunksize=1)[0]
        checkpoints = processes.map(checkpoint_seconds, tasks, chunksize=1)
    epoch = min(rows[1:])
    fixed = whole - len(rows) * epoch
    return max(1, round((seconds - fixed) / epoch)), sum(checkpoints) / len(checkpoints)


def _both(place, section, name, block, pool):
    bare_s, bare_cpu_s = [], []
    with bare_pool(*pool) as processes:

        def bare(jobs):
            started = time.perf_counter()
            trained = list(processes.imap_unordered(train, jobs, chunksize=1))
            bare_s.append(time.perf_counter() - started)
            bare_cpu_s.append(sum(cpu for _, cpu, _ in trained))

        watched = watched_search(place, place.params(**section), name, block=block, between=bare)
    return watched, bare_s, bare_cpu_s


def _print(engine, watched, bare_s, bare_cpu_s, *, block, n_workers, goal):
    ours, delivered, trials = f"ours, {engine}", f"ours, {engine}, all delivered", f"ours, {engine}, workers alone"
    with_rest = _sums(watched.block_s, watched.rest_s)
    arms = {"bare": bare_s, ours: watched.block_s, delivered: with_rest}
    print_arms("s a trial, by block", _scaled(arms, n_workers / block))
    print_ratio(f"{ours} / bare", watched.block_s, bare_s, goal=goal)
    print_ratio(f"{delivered} / bare", with_rest, bare_s)
    cpu_s = _sums(watched.worker_cpu_s, watched.coordinator_cpu_s)
    arms = {"bare": bare_cpu_s, trials: watched.worker_cpu_s, ours: cpu_s}
    print_arms("s of processor time a trial, by block", _scaled(arms, 1 / block))
    print_ratio(f"{ours} / bare", cpu_s, bare_cpu_s)
    print_facts(
        {
            "start of the workers": f"{watched.start_s:.1f} s, once",
            "closing: winner, files, report, flush": f"{watched.close_s:.1f} s, once",
        }
    )
    _print_parts(watched.clock, len(watched.jobs))


def _print_parts(clock, n_trials):
    """Where the coordinator's time goes: seconds on the clock, so those of waiting for disk and processor too."""
    print("in the coordinator, on the clock")
    for label, second in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        calls = clock.calls[label]
        print(
            f"  {label:24} {second / n_trials * 1e3:8.2f} ms a trial  {calls:5} calls of {second / calls * 1e3:.2f} ms"
        )


def _sums(some, others):
    return [one + other for one, other in zip(some, others, strict=True)]


def _scaled(arms, scale):
    return {arm: [second * scale for second in samples] for arm, samples in arms.items()}


if __name__ == "__main__":
    main()

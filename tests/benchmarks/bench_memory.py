"""Nights in a row against nights that know nothing of one another: same budgets, same seeds, same images.

Arms: `none`, each night in a home of its own; `best` and `full`, all nights in one home. Night n of every arm has the
seed of night n. For each arm: the best validation score up to each night, and the processor time until the independent
nights' final best is reached; an arm that never reaches it counts with all that it has used, and is said.

    python tests/benchmarks/bench_memory.py                                                           # some minutes
    python tests/benchmarks/bench_memory.py --source cifar10 --seeds 5 --threads 1                    # about an hour

The images come from the download cache (CNN_DATA_CACHE).
"""

import argparse
import io
import json
import statistics
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from figures import print_arms, print_facts, print_head
from plain_network import BASE, SPACE, environment_in, write_halved
from rich.console import Console

from cnn import wiring
from cnn.config.params import Params
from cnn.records import TrialState
from cnn.runtime import configure_process, cpu_count_available, derived_seed
from cnn.search.ledger import Ledger
from cnn.search.study import study_names
from cnn.steps.prepare import prepare
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker

ARMS = ("none", "best", "full")


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--source", default="fashion_mnist")
    words.add_argument("--seeds", type=int, default=2, help="rows of nights an arm; 5 or more to be quoted")
    words.add_argument("--first-seed", type=int, default=0)
    words.add_argument("--nights", type=int, default=5)
    words.add_argument("--trials", type=int, default=10, help="a night")
    words.add_argument("--epochs", type=int, default=6)
    words.add_argument("--images", type=int, default=1000, help="to train on, of half the side")
    words.add_argument("--validation", type=int, default=2000, help="other images, to validate on")
    words.add_argument("--threads", type=int, default=cpu_count_available())
    given = words.parse_args()
    configure_process(threads=given.threads)
    print_head("nights in a row against independent nights")
    print(
        f"{given.source}, {given.images} training and {given.validation} validation images of half the side, "
        f"{given.nights} nights of {given.trials} trials of {given.epochs} epochs, {given.seeds} seeds from "
        f"{given.first_seed} on, optuna/tpe, {given.threads} threads"
    )
    with tempfile.TemporaryDirectory(prefix="cnn-bench-") as folder:
        root = Path(folder)
        write_halved(given.source, root / "halved.npz")
        (root / "base.yaml").write_text(json.dumps(BASE), encoding="utf-8")
        with redirect_stdout(io.StringIO()):
            prepare(_params(root, given, 0, "none"), environment_in(root / "home"), root / "prepared")
        rows = [_row(root, given, seed) for seed in range(given.first_seed, given.first_seed + given.seeds)]
    _together(rows, given.nights)


def _row(root, given, seed):
    """By arm, a night's trials as (score, processor seconds), a list a night."""
    found = {arm: [] for arm in ARMS}
    for night in range(given.nights):
        for arm in ARMS if (seed + night) % 2 == 0 else ARMS[::-1]:  # in turns: neither has the warmer machine
            home = root / f"{arm}-{seed}" / (f"night-{night}" if arm == "none" else "nights")
            params = _params(root, given, derived_seed("night", seed, night) % 2**31, arm)
            found[arm].append(_night(home, root / "prepared", params))
    level = max(score for night in found["none"] for score, _ in night)
    print(f"seed {seed}: the independent nights' best is {level:.4f}")
    for arm, nights in found.items():
        bests = " ".join(f"{max(score for score, _ in night):.4f}" for night in nights)
        spent, reached = _until(nights, level)
        until = f"{level:.4f} {'reached' if reached else 'not reached'} in {spent:.0f} s"
        print(f"   {arm}: best by night {bests}; {until}", flush=True)
    return found


def _night(home, data, params):
    environment = environment_in(home)
    parts = wiring.search_parts(params, environment, MemoryTracker())
    search(params, environment, parts, Console(file=io.StringIO()), data=data, out=home / "out")
    with Ledger(environment.studies / study_names(environment.studies)[-1] / "ledger.db") as ledger:
        ended = [row for row in ledger.trials() if row.outcome and row.outcome.state is not TrialState.FAILED]
        return [(row.outcome.score, row.cost.cpu_s) for row in ended if row.outcome.score is not None]


def _until(nights, level):
    """Processor seconds until a score is reached, and whether it was."""
    spent = 0.0
    for score, seconds in (trial for night in nights for trial in night):
        spent += seconds
        if score >= level:
            return spent, True
    return spent, False


def _together(rows, n_nights):
    for night in range(n_nights):
        best = {arm: [max(s for one in row[arm][: night + 1] for s, _ in one) for row in rows] for arm in ARMS}
        print_arms(f"best validation score up to night {night + 1}", best)
    for arm in ARMS[1:]:
        differences = [other - own for own, other in zip(best["none"], best[arm], strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
        print_facts(
            {f"{arm} - none, last night": f"mean {statistics.fmean(differences):+.4f}, standard error {error:.4f}"}
        )
    levels = [max(score for night in row["none"] for score, _ in night) for row in rows]
    until = {arm: [_until(row[arm], level) for row, level in zip(rows, levels, strict=True)] for arm in ARMS}
    seconds = {arm: [spent for spent, _ in found] for arm, found in until.items()}
    print_arms("s of processor time to the independent nights' best", seconds)
    for arm in ARMS[1:]:
        print_facts({f"reached with {arm}": f"{sum(reached for _, reached in until[arm])} of {len(rows)}"})


def _params(root, given, seed, arm):
    n = given.images + given.validation
    section = {
        "recipe": str(root / "base.yaml"),
        "pruner": "none",
        "seed": seed,
        "space": SPACE,
        "budget": {"trials": given.trials, "epochs": given.epochs},
        "remedies": "off",
        "memory": arm,
        "finalist_seeds": 0,
        "executor": "inline",  # one process: TensorFlow is loaded once, and a search repeats bit for bit
        "contact_sheet": False,
    }
    prepared = {"train_limit": n, "validation_fraction": given.validation / n}
    source = {"source": "npz", "path": str(root / "halved.npz")}
    return Params.model_validate({"prepare": source | prepared, "search": section})


if __name__ == "__main__":
    main()

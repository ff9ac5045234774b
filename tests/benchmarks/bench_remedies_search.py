"""Search with remedies against search without: same budget, same seeds, homes of their own.

A line a seed and arm: the best validation accuracy, the gap at the best epoch and the verdict of that run, and the
processor time and trials until the plain search's final score was reached. Then both arms together, and the differences
seed by seed. A search that never reaches the score counts with all that it has used, and is said.

    python tests/benchmarks/bench_remedies_search.py                                                  # some minutes
    python tests/benchmarks/bench_remedies_search.py --sources cifar10,fashion_mnist --seeds 5 --halved
        --trials 15 --epochs 8 --images 1000 --validation 2000 --threads 1               # 25 minutes of one processor
    python tests/benchmarks/bench_remedies_search.py --sources cifar10,fashion_mnist --seeds 5 --trials 40 --epochs 12
        --images 6000 --validation 5000                                                               # most of a day

The images come from the download cache (CNN_DATA_CACHE); digits need none. The network is a plain one that has nothing
against overfitting, as a tutorial's, and the space holds what there is to add.
"""

import argparse
import io
import json
import statistics
import tempfile
from collections import defaultdict
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from figures import print_arms, print_facts, print_head
from plain_network import BASE, SPACE, environment_in, write_halved
from rich.console import Console

from cnn import wiring
from cnn.config.params import Params
from cnn.records import TrialState, best_row
from cnn.runtime import configure_process, cpu_count_available
from cnn.search.focus import is_whole
from cnn.search.ledger import Ledger
from cnn.search.rounds import read_pairs, read_rounds
from cnn.search.study import study_names
from cnn.steps.prepare import prepare
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker

OFF, ON = "remedies off", "remedies on"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one search came to.

    Args:
        trials: Those with a score as (score, accuracy, gap, processor seconds), by number.
        kinds: Where each comes from: `first` round, `focus`, `whole` space, `pair`.
    """

    trials: tuple[tuple[float, float, float, float], ...]
    kinds: tuple[str, ...]
    rounds: tuple[str, ...]

    @property
    def best(self):
        return max(self.trials)

    def until(self, score):
        """Processor seconds and trials until a score is reached, and whether it was."""
        spent = 0.0
        for n, trial in enumerate(self.trials, 1):
            spent += trial[3]
            if trial[0] >= score:
                return spent, n, True
        return spent, len(self.trials), False


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--sources", default="digits", help="digits, cifar10, fashion_mnist; several with commas")
    words.add_argument("--seeds", type=int, default=2)
    words.add_argument("--first-seed", type=int, default=0)
    words.add_argument("--halved", action="store_true", help="images of half the side, which cost a quarter")
    words.add_argument("--threads", type=int, default=cpu_count_available())
    words.add_argument("--trials", type=int, default=16)
    words.add_argument("--epochs", type=int, default=8)
    words.add_argument("--images", type=int, default=300, help="to train on")
    words.add_argument("--validation", type=int, default=400, help="other images, to validate on")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--engine", default="optuna")
    words.add_argument("--sampler", default="tpe")
    words.add_argument("--pruner", default="none")
    given = words.parse_args()
    configure_process(threads=given.threads)
    print_head("search with remedies against search without")
    print(
        f"{given.engine}/{given.sampler}, pruner {given.pruner}, {given.trials} trials of {given.epochs} epochs, "
        f"{given.rounds} rounds, {given.images} training and {given.validation} validation images"
        f"{' of half the side' * given.halved}, {given.seeds} seeds from {given.first_seed} on, {given.threads} threads"
    )
    with tempfile.TemporaryDirectory(prefix="cnn-bench-") as root:
        for source in given.sources.split(","):
            _compare(Path(root) / source, source, given)


def _compare(root, source, given):
    print(f"\n-- {source}", flush=True)
    data = root / "prepared"
    root.mkdir(parents=True)
    with redirect_stdout(io.StringIO()):
        if given.halved:
            write_halved(source, root / "halved.npz")
        (root / "base.yaml").write_text(json.dumps(BASE), encoding="utf-8")
        prepare(_params(root, source, given, 0, "off"), environment_in(root / "home"), data)
    pairs = []
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        # in turns, so that neither has the warmer machine
        found = {}
        for word in ("off", "on") if seed % 2 == 0 else ("on", "off"):
            found[word] = _found(root / f"{word}-{seed}", data, _params(root, source, given, seed, word))
        level = found["off"].best[0]
        print(f"seed {seed}")
        for word, arm in (("off", OFF), ("on", ON)):
            print_facts({arm: _line(found[word], level)})
        for word in ("off", "on"):
            print(f"   {word}: {_trials_line(found[word])}")
        for number, said in enumerate(found["on"].rounds, 1):
            print(f"   round {number}: {said}", flush=True)
        pairs.append((found["off"], found["on"], level))
    _together(pairs)


def _together(pairs):
    off, on = ([one[arm] for one in pairs] for arm in (0, 1))
    levels = [level for *_, level in pairs]
    reached = sum(one.until(level)[2] for one, level in zip(on, levels, strict=True))
    for unit, figure in (("best validation accuracy", 1), ("gap at the best epoch", 2)):
        before, after = ([one.best[figure] for one in arm] for arm in (off, on))
        print_arms(unit, {OFF: before, ON: after})
        differences = [b - a for a, b in zip(before, after, strict=True)]
        print_facts({"on - off": _spread(differences)})
    seconds = {
        arm: [one.until(level)[0] for one, level in zip(found, levels, strict=True)]
        for arm, found in ((OFF, off), (ON, on))
    }
    print_arms("s of processor time to the plain search's final score", seconds)
    print_facts({"reached with remedies": f"{reached} of {len(on)}"})
    _by_kind(on, off)


def _by_kind(on, off):
    """Later trials by where they come from: how far each is above the trial of its number in the plain search."""
    gains = defaultdict(list)
    for found, plain in zip(on, off, strict=True):
        for trial, kind, other in zip(found.trials, found.kinds, plain.trials, strict=False):
            gains[kind].append(trial[0] - other[0])
    for kind in ("focus", "whole", "pair"):
        if gains[kind]:
            print_facts({f"score of a trial, {kind} - plain": f"n {len(gains[kind])}, {_spread(gains[kind])}"})


def _spread(values):
    error = f", standard error {statistics.stdev(values) / len(values) ** 0.5:.4f}" if len(values) > 1 else ""
    return f"mean {statistics.fmean(values):+.4f}{error}, {min(values):+.4f} to {max(values):+.4f}"


def _line(found, level):
    score, accuracy, gap, _ = found.best
    spent, n, reached = found.until(level)
    until = f"{level:.4f} reached after {n} trials, {spent:.0f} s" if reached else f"{level:.4f} not reached"
    return f"score {score:.4f}, accuracy {accuracy:.4f}, gap {gap:+.4f}; {until}"


def _trials_line(found):
    marks = {"first": "", "focus": "f", "whole": "w", "pair": "p"}
    return " ".join(f"{trial[0]:.3f}{marks[kind]}" for trial, kind in zip(found.trials, found.kinds, strict=True))


def _found(home, data, params):
    environment = environment_in(home)
    parts = wiring.search_parts(params, environment, MemoryTracker())
    search(params, environment, parts, Console(file=io.StringIO()), data=data, out=home / "out")
    (study,) = study_names(environment.studies)
    with Ledger(environment.studies / study / "ledger.db") as ledger:
        ended = [row for row in ledger.trials() if row.outcome and row.outcome.state is not TrialState.FAILED]
        rows = [(row, best_row(row.outcome.curve)) for row in ended if row.outcome.curve]
        trials = tuple((best.val_score, best.val_accuracy, best.gap_accuracy, row.cost.cpu_s) for row, best in rows)
        opened, pairs = read_rounds(ledger), read_pairs(ledger)
        kinds = tuple(_kind(row.id.number, opened, pairs, params.search.seed) for row, _ in rows)
        rounds = tuple(" ".join(one.changes) or "the whole space" for one in opened)
        return Found(trials=trials, kinds=kinds, rounds=rounds)


def _kind(number, rounds, pairs, seed):
    if number in pairs:
        return "pair"
    if not rounds or (len(rounds) > 1 and number < rounds[1].first_trial):
        return "first"
    focus = [one.focus for one in rounds if one.first_trial <= number][-1]
    return "focus" if focus and not is_whole(seed, number) else "whole"


def _params(root, source, given, seed, remedies):
    n = given.images + given.validation
    section = {
        "recipe": str(root / "base.yaml"),
        "engine": given.engine,
        "sampler": given.sampler,
        "pruner": given.pruner,
        "seed": seed,
        "space": SPACE,
        "budget": {"trials": given.trials, "epochs": given.epochs},
        "rounds": given.rounds,
        "remedies": remedies,
        "finalist_seeds": 0,
        "executor": "inline",  # one process: TensorFlow is loaded once, and a search repeats bit for bit
        "contact_sheet": False,
    }
    origin = {"source": "npz", "path": str(root / "halved.npz")} if given.halved else {"source": source}
    prepared = origin | {"train_limit": n, "validation_fraction": given.validation / n}
    return Params.model_validate({"prepare": prepared, "search": section})


if __name__ == "__main__":
    main()

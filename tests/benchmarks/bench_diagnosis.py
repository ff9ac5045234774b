"""Verdicts against how the runs were made: precision and recall of each, on the tuning part and on the held-out part.

python tests/benchmarks/bench_diagnosis.py [--wrong]     # seconds: the curves are stored
python tests/benchmarks/labelled_training.py FOLDER      # trains them anew, half an hour
"""

import argparse
from collections import Counter
from dataclasses import dataclass

from labelled_training import read_curves

from cnn.diagnosis.diagnose import diagnose
from cnn.diagnosis.reading import Sizes
from cnn.records import epoch_row

PARTS = ("tuning", "held-out")


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Of how many a part is right."""

    right: int
    n: int

    @property
    def fraction(self):
        return self.right / self.n if self.n else float("nan")

    def __str__(self):
        return f"{self.fraction:5.3f} ({self.right}/{self.n})"


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--wrong", action="store_true", help="list the runs that are called something else")
    words.add_argument("--part", choices=PARTS, help="only this one; who tunes rules looks at `tuning` alone")
    given = words.parse_args()
    answers = verdicts(read_curves())
    for part in [given.part] if given.part else PARTS:
        _show(part, [(run, verdict) for run, verdict in answers if run["part"] == part], wrong=given.wrong)


def verdicts(runs):
    """Each run with the verdict on its curve."""
    return [(run, diagnose_run(run).verdict.value) for run in runs]


def diagnose_run(run):
    """The diagnosis of a stored run."""
    sizes = Sizes(**{name: run[name] for name in ("n_clean", "n_val", "n_classes")})
    return diagnose(curve_of(run), sizes, reason=run["reason"])


def curve_of(run):
    """The curve of a stored run."""
    columns = run["curve"]
    n_epochs = len(columns["val_loss"])
    rows = [{name: values[epoch] for name, values in columns.items()} for epoch in range(n_epochs)]
    return tuple(epoch_row({"epoch": epoch, "seconds": 0.0, **row}) for epoch, row in enumerate(rows))


def precision_and_recall(pairs):
    """(precision, recall) by label, of pairs of label and verdict."""
    labelled, called = Counter(label for label, _ in pairs), Counter(verdict for _, verdict in pairs)
    right = Counter(label for label, verdict in pairs if label == verdict)
    return {
        label: (Rate(right=right[label], n=called[label]), Rate(right=right[label], n=labelled[label]))
        for label in sorted(labelled)
    }


def accuracy_of(pairs):
    """The part of the runs whose verdict is their label."""
    return Rate(right=sum(label == verdict for label, verdict in pairs), n=len(pairs))


def _show(part, answers, *, wrong):
    pairs = [(run["label"], verdict) for run, verdict in answers]
    print(f"\n== {part}: {len(pairs)} runs\n{'':16} {'precision':>16} {'recall':>16}")
    for label, (precision, recall) in precision_and_recall(pairs).items():
        print(f"{label:16} {precision!s:>16} {recall!s:>16}")
    print(f"{'overall':16} {accuracy_of(pairs)!s:>16}")
    if wrong:
        for run, verdict in answers:
            if verdict != run["label"]:
                print(f"  {run['name']}: {verdict}; {diagnose_run(run).evidence[0]}")


if __name__ == "__main__":
    main()

"""Trains the runs of `labelled_runs` and keeps their curves: half an hour on one core, and resumable.

    python tests/benchmarks/labelled_training.py FOLDER
    python tests/benchmarks/labelled_training.py FOLDER --pack   # into labelled_curves.jsonl.gz, beside this file

The images come from the download cache (CNN_DATA_CACHE), `digits` from scikit-learn. A killed training goes on.
"""

import argparse
import gzip
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import labelled_runs
import numpy as np

from cnn.config.environment import read_environment
from cnn.runtime import configure_process, derived_seed

CURVES = Path(__file__).with_name("labelled_curves.jsonl.gz")
COLUMNS = ("train_loss", "train_accuracy", "clean_train_loss", "clean_train_accuracy", "val_loss", "val_accuracy")


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("folder", type=Path, help="takes a line a run")
    words.add_argument("--runs", type=int, default=None, help="at the most")
    words.add_argument("--pack", action="store_true", help="only pack what is there")
    given = words.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if not given.pack:
        _train(given.folder / "runs.jsonl", given.runs)
    lines = sorted((given.folder / "runs.jsonl").read_text(encoding="utf-8").splitlines())
    CURVES.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", mtime=0))


def read_curves():
    """All labelled runs: their name, label, part, sizes, ending and columns."""
    text = gzip.decompress(CURVES.read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def _train(path, most):
    configure_process(threads=1)
    done = {json.loads(line)["name"] for line in path.read_text().splitlines()} if path.exists() else set()
    sources = _sources()
    for name in [name for name in labelled_runs.names() if name not in done][:most]:
        document = _trained(name, labelled_runs.made(name, sources))
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(document, separators=(",", ":")) + "\n")
        last = {column: values[-1] for column, values in document["curve"].items() if values}
        print(f"{name:20} {document['seconds']:5.1f} s, {document['reason']}, {last}", flush=True)


def _trained(name, made):
    import keras

    from cnn.records import Head
    from cnn.training.fit import fit

    keras.backend.clear_session()
    started = time.perf_counter()
    head = Head(class_names=tuple(map(str, range(made.n_classes))))
    fitted = fit(
        made.recipe,
        made.train,
        made.validation,
        head=head,
        seed=derived_seed("training", name),
        checkpoint=None,
        on_epoch=lambda row: False,
    )
    curve = [asdict(row) for row in fitted.curve]
    return {
        "name": name,
        "label": name.partition("/")[0],
        "part": labelled_runs.part_of(name),
        "n_train": len(made.train),
        "n_clean": min(len(made.train), len(made.validation)),
        "n_val": len(made.validation),
        "n_classes": made.n_classes,
        "reason": fitted.reason,
        "seconds": round(time.perf_counter() - started, 1),
        "how": asdict(labelled_runs.choice(name)),
        "curve": {column: [_short(row[column]) for row in curve] for column in (*COLUMNS, "learning_rate")},
    }


def _sources():
    """Digits as they are, Fashion-MNIST at 14 x 14, CIFAR-10 at 16 x 16: training images of each."""
    from cnn.data.sources.catalogue import SOURCES

    downloads = read_environment().downloads
    sets = {name: SOURCES[name].load(None, downloads).train for name in labelled_runs.SOURCES}
    return {
        name: (split.images if name == "digits" else _halved(split.images), np.asarray(split.labels, np.int64))
        for name, split in sets.items()
    }


def _halved(images):
    """The mean of each 2 x 2 pixels."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2, channels)
    return np.concatenate([part.mean(axis=(2, 4)).round().astype(np.uint8) for part in np.array_split(blocks, 20)])


def _short(value):
    return float(f"{value:.5g}") if math.isfinite(value) else value


if __name__ == "__main__":
    main()

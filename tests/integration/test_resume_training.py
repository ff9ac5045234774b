"""A training process is killed with SIGKILL; a new one goes on; the result is the uninterrupted one, bit for bit."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

EPOCHS = 5
MODEL = {"blocks": 2, "filters": 8, "batch_norm": "before_activation", "dropout": 0.3, "head_dropout": 0.3}
RECIPES = {
    "adam": {
        "optimizer": {"name": "adam", "learning_rate": 0.01, "schedule": "one_cycle", "weight_decay": 0.01},
        "training": {"class_balance": "sampling"},
        "augment": {"flip": True, "shift": 0.1},
    },
    "sgd": {
        "optimizer": {"name": "sgd", "learning_rate": 0.05, "schedule": "one_cycle", "warmup_fraction": 0.4},
        "training": {"class_balance": "weights"},
        "augment": {
            "rotate": 15,
            "zoom": 0.2,
            "brightness": 0.1,
            "contrast": 0.2,
            "noise": 0.02,
            "cutout": 0.3,
            "mixup": 0.4,
            "cutmix": 1.0,
        },
        "transfer": {"from": "source.keras", "freeze": 1, "then": {"epochs": 2, "learning_rate": 0.01}},
    },
}


def main(optimizer, folder):
    """Train in this process, and say so after each epoch."""
    from cnn.runtime import configure_process

    configure_process(threads=2)
    from cnn.config.recipe import Recipe
    from cnn.data.arrays import Split
    from cnn.records import Head
    from cnn.training.fit import fit

    rng = np.random.default_rng(0)
    labels = np.arange(400) % 4
    images = rng.integers(0, 200, (400, 12, 12, 3)).astype(np.uint8)
    images[np.arange(400), labels * 3, :, 0] += 50
    train, validation = (Split(images=images[part], labels=labels[part]) for part in (slice(300), slice(300, None)))
    sections = RECIPES[optimizer]
    training = {"epochs": EPOCHS - (2 if "transfer" in sections else 0), "batch_size": 32} | sections["training"]
    recipe = Recipe.model_validate({"model": MODEL, **sections, "training": training})
    names = Head(class_names=("a", "b", "c", "d"))

    def on_epoch(row):
        print(row.epoch, flush=True)
        return False

    settings = {"head": names, "seed": 3, "checkpoint": folder / "run", "backbone": backbone(recipe)}
    fitted = fit(recipe, train, validation, on_epoch=on_epoch, **settings)
    curve = [{name: value for name, value in row.figures().items() if name != "seconds"} for row in fitted.curve]
    (folder / "curve.json").write_text(json.dumps(curve))
    np.savez(folder / "best.npz", *fitted.model.get_weights())


def backbone(recipe):
    """The weights a network for three other classes is made with."""
    from cnn.models.build import build_model
    from cnn.records import Head
    from cnn.training.transfer import backbone_weights

    model = build_model(recipe.model, (12, 12, 3), Head(class_names=("x", "y", "z")), seed=1)
    return backbone_weights(model) if recipe.transfer else None


def started(optimizer, folder):
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, optimizer, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(optimizer, folder):
    process = started(optimizer, folder)
    epochs = process.communicate(timeout=300)[0].split()
    assert process.returncode == 0
    # Each epoch is told once and in its order, those of the checkpoint included.
    assert epochs == [str(epoch) for epoch in range(EPOCHS)]


def killed(optimizer, folder, seed):
    """Kill it at a seeded moment of a seeded epoch."""
    moment = random.Random(seed)
    epoch = moment.randrange(EPOCHS - 2)
    process = started(optimizer, folder)
    for line in process.stdout:
        if int(line) == epoch:
            break
    time.sleep(moment.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    # It was killed, it did not end by itself.
    assert process.wait(timeout=60) == -signal.SIGKILL
    process.stdout.close()


def outcome(folder):
    """The curve, the best weights, and every variable after the last epoch."""
    newest = max((folder / "run").glob("epoch-*.checkpoint"))
    with np.load(folder / "best.npz") as best, newest.open("rb") as file:
        file.seek(65)
        with np.load(file) as last:
            arrays = {name: last[name] for name in last.files if name != "document"}
        arrays |= {name: best[name] for name in best.files}
    return json.loads((folder / "curve.json").read_text()), arrays


def check_same(one, other):
    (curve, arrays), (other_curve, other_arrays) = one, other
    # The figures are equal, not near.
    assert curve == other_curve
    # So is every bit of the best weights, the last weights, the optimizer and the generators.
    assert arrays.keys() == other_arrays.keys()
    assert all(np.array_equal(arrays[name], other_arrays[name]) for name in arrays)


@pytest.fixture(scope="module", params=RECIPES)
def reference(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    finished(request.param, folder)
    return request.param, outcome(folder)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(reference, tmp_path):
    optimizer, expected = reference
    killed(optimizer, tmp_path, seed=1)
    finished(optimizer, tmp_path)
    check_same(outcome(tmp_path), expected)


def test_a_torn_checkpoint_costs_an_epoch_and_nothing_else(reference, tmp_path):
    optimizer, expected = reference
    killed(optimizer, tmp_path, seed=2)
    newest = max((tmp_path / "run").glob("epoch-*.checkpoint"))
    newest.write_bytes(newest.read_bytes()[:1000])
    finished(optimizer, tmp_path)
    check_same(outcome(tmp_path), expected)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(10, 30))
def test_at_any_instant(reference, tmp_path, seed):
    optimizer, expected = reference
    killed(optimizer, tmp_path, seed)
    finished(optimizer, tmp_path)
    check_same(outcome(tmp_path), expected)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

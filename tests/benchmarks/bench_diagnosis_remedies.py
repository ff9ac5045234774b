"""The tutorial's own case: `tutorial_basic` on CIFAR-10, its diagnosis, and what its first remedies do.

The second run gets the processor time of the first, and ends with the epoch in which it has used it up. Goals: the
diagnosis is overfitting with the epoch at which validation loss turns, and its first two remedies halve the gap at the
best epoch without losing validation accuracy.

    python tests/benchmarks/bench_diagnosis_remedies.py [--seeds 1] [--remedies early_stopping,dropout]
    python tests/benchmarks/bench_diagnosis_remedies.py --images 45000 --validation 5000 --epochs 20 --batch 256

The images come from the download cache (CNN_DATA_CACHE).
"""

import argparse
import json
import time

from figures import print_facts, print_head

from cnn.config.environment import read_environment
from cnn.runtime import configure_process, cpu_count_available, derived_seed

REMEDIES = ("early_stopping", "augmentation")


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=int, default=6_000, help="to train on")
    words.add_argument("--validation", type=int, default=2_000, help="other images, to validate on")
    words.add_argument("--epochs", type=int, default=24)
    words.add_argument("--batch", type=int, default=32, help="the tutorial's is 256, for 45,000 images")
    words.add_argument("--seeds", type=int, default=1)
    words.add_argument("--first-seed", type=int, default=0)
    words.add_argument("--threads", type=int, default=cpu_count_available())
    words.add_argument("--remedies", default=",".join(REMEDIES), help="those that are applied, by name")
    given = words.parse_args()
    configure_process(threads=given.threads)
    print_head("the tutorial's network and its remedies, CIFAR-10")
    sizes = f"{given.images} training and {given.validation} validation images"
    print(f"{sizes}, batches of {given.batch}, {given.threads} threads, n {given.seeds}")
    train, validation = _images(given.images, given.validation)
    for seed in range(given.first_seed, given.first_seed + given.seeds):
        _compare(given, train, validation, seed)


def _compare(given, train, validation, seed):
    from cnn.config.reading import read_recipe, recipe_with
    from cnn.diagnosis.diagnose import diagnose
    from cnn.diagnosis.reading import Sizes
    from cnn.records import best_row

    recipe = recipe_with(
        read_recipe("tutorial_basic"), {"training.epochs": given.epochs, "training.batch_size": given.batch}
    )
    sizes = Sizes(n_clean=min(len(train), len(validation)), n_val=len(validation), n_classes=10)
    before, spent_s = _run(recipe, train, validation, seed)
    said = diagnose(before.curve, sizes, recipe=recipe.model_dump(mode="json"))
    chosen = [remedy for remedy in said.remedies if remedy.name in given.remedies.split(",")]
    values = {path: value for remedy in chosen for path, value in remedy.values.items()}
    mended = recipe_with(recipe, values | {"training.epochs": 10 * given.epochs})  # the processor time ends it
    after, used_s = _run(mended, train, validation, seed, limit_s=spent_s)
    then = diagnose(after.curve, sizes, reason=after.reason, recipe=mended.model_dump(mode="json"))
    first, last = best_row(before.curve), best_row(after.curve)
    print_facts(
        {
            f"-- seed {seed}: before": _line(before.curve, spent_s),
            "diagnosis": said.sentence,
            "validation loss turns at epoch": f"{said.figures['rise_epoch']:.0f}",
            "remedies": json.dumps(values),
            "after": _line(after.curve, used_s),
            "diagnosis after": then.sentence,
            "gap after / before": f"{last.gap_accuracy / first.gap_accuracy:.2f} (goal 0.5)",
            "validation accuracy gained": f"{last.val_accuracy - first.val_accuracy:+.4f}",
        }
    )


def _run(recipe, train, validation, seed, limit_s=float("inf")):
    from cnn.records import Head
    from cnn.training.fit import fit

    started = time.process_time()

    def on_epoch(row):
        print(f"  epoch {row.epoch + 1}: validation {row.val_accuracy:.4f}, gap {row.gap_accuracy:+.4f}", flush=True)
        return time.process_time() - started >= limit_s

    head = Head(class_names=tuple("0123456789"))
    fitted = fit(recipe, train, validation, head=head, seed=seed, checkpoint=None, on_epoch=on_epoch)
    return fitted, time.process_time() - started


def _images(n_train, n_val):
    from cnn.data.prepared.splits import stratified_subset
    from cnn.data.sources.catalogue import SOURCES

    everything = SOURCES["cifar10"].load(None, read_environment().downloads).train
    drawn = everything.part(stratified_subset(everything.labels, n_train + n_val, derived_seed(0, "remedies")))
    held = stratified_subset(drawn.labels, n_val, derived_seed(0, "validation"))
    kept = sorted(set(range(len(drawn))) - set(held.tolist()))
    return drawn.part(kept), drawn.part(held)


def _line(curve, seconds):
    from cnn.records import best_row

    best = best_row(curve)
    return (
        f"validation accuracy {best.val_accuracy:.4f}, gap {best.gap_accuracy:+.4f} at epoch {best.epoch + 1} of "
        f"{len(curve)}, {seconds:.0f} s of processor time"
    )


if __name__ == "__main__":
    main()

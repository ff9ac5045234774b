"""A folder of 20,000 pictures with fifty planted faults of ten kinds, prepared by us and read by Keras.

Faults: all must be found, each with its reason, and no good picture among them; else the exit code is 1. Memory: peak
of all our processes together. Time: `cnn.steps.prepare` from the folder to checked, hashed, split, written arrays
against `keras.utils.image_dataset_from_directory` reading the same folder once, in turns. Keras stops at the first bad
file, so that it reads the folder without the planted ones; we read all of it. The pictures are 64 x 64 JPEGs and PNGs
of smooth colours, made of a seed.

    python tests/benchmarks/bench_images.py [--images 20000] [--rounds 3] [--folder KEPT]
"""

import argparse
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
from figures import print_arms, print_facts, print_head, print_ratio

from cnn.data.findings import Reason

SIDE, N_CLASSES, N_EACH = 64, 10, 5

OURS = """
import csv, sys, time
from pathlib import Path
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.steps.prepare import prepare

if __name__ == "__main__":
    root, folder = map(Path, sys.argv[1:])
    keys = {"source": "folder", "path": str(root), "images": {"size": [64, 64]}, "on_bad": "skip"}
    space = {"model.filters": {"type": "int", "low": 8, "high": 16}}
    params = Params.model_validate({"prepare": keys, "search": {"space": space, "budget": {"trials": 1}}})
    began = time.perf_counter()
    prepare(params, Environment(home=folder / "home"), folder / "prepared")
    print("seconds", time.perf_counter() - began)
"""

KERAS = """
import sys, time
from cnn.runtime import configure_process

if __name__ == "__main__":
    configure_process(threads=None)
    import keras
    began = time.perf_counter()
    data = keras.utils.image_dataset_from_directory(sys.argv[1], image_size=(64, 64), batch_size=256, verbose=False)
    n = sum(len(labels) for _, labels in data)
    print("seconds", time.perf_counter() - began)
    print("images", n)
"""


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--images", type=int, default=20_000)
    words.add_argument("--rounds", type=int, default=3, help="of each arm, in turns")
    words.add_argument("--folder", type=Path, help="where the pictures are, or are made and left")
    given = words.parse_args()
    print_head("a user's own pictures, ours and image_dataset_from_directory")
    with tempfile.TemporaryDirectory() as temporary:
        root = given.folder or Path(temporary) / "pictures"
        if not root.exists():
            draw_pictures(root, given.images)
        faults = plant(root)
        sys.exit(_compare(root, faults, given, Path(temporary)))


def _compare(root, faults, given, temporary):
    from cnn.data.quality.cleaning import BAD_FILE

    seconds, cpu_seconds, peaks = {"ours": [], "keras": []}, {"ours": [], "keras": []}, []
    for number in range(given.rounds):
        for arm in sorted(seconds, reverse=number % 2 == 0):  # so that neither always has the warm disk cache
            folder = temporary / f"{arm}{number}"
            folder.mkdir()
            remove_or_plant = remove if arm == "keras" else plant
            remove_or_plant(root)
            before = _cpu_seconds()
            said, peak = _run(OURS if arm == "ours" else KERAS, folder, root, folder)
            seconds[arm].append(float(said["seconds"]))
            cpu_seconds[arm].append(_cpu_seconds() - before)
            if arm == "ours":
                peaks.append(peak)
                found = _listed(folder / "prepared" / BAD_FILE)
    print_arms("s, the folder once", seconds)
    print_ratio("seconds, ours / keras", seconds["ours"], seconds["keras"])
    print_arms("s of processor time, start and imports included", cpu_seconds)
    print_arms("MiB, peak of all processes", {"ours": [peak / 2**20 for peak in peaks]})
    wrong = {path: (reason, found.get(path)) for path, reason in faults.items() if found.get(path) != reason}
    spurious = sorted(set(found) - set(faults))
    print_facts(
        {
            "pictures": f"{given.images:,}, {given.images * SIDE * SIDE * 3 / 2**20:.0f} MiB of pixels",
            "faults planted": ", ".join(f"{n} {reason}" for reason, n in Counter(faults.values()).items()),
            "found with their reason": f"{len(faults) - len(wrong)} of {len(faults)}",
            "good ones among them": str(len(spurious)),
        }
    )
    for path, (wanted, got) in wrong.items():
        print(f"{path}: planted {wanted}, found {got}")
    for path in spurious[:10]:
        print(f"{path}: not planted, found {found[path]}")
    return int(bool(wrong or spurious))


def draw_pictures(root, n):
    """Smooth pictures of random colours, half of them PNG, half JPEG, 70 % train, 10 % val, 20 % test."""
    from PIL import Image

    rng = np.random.default_rng(0)
    shares = ["train"] * 7 + ["val"] + ["test"] * 2
    for number in range(n):
        place = root / shares[number // N_CLASSES % 10] / f"class{number % N_CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture = small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(place / (f"{number:05}.png" if number % 2 else f"{number:05}.jpg"))


def plant(root):
    """Five of each of ten kinds, the same each time; the reason that each must get, by path."""
    from PIL import Image

    kinds = {
        Reason.NOT_AN_IMAGE: ("png", lambda path, good: path.write_text("<html>not found</html>")),
        Reason.EMPTY: ("jpg", lambda path, good: path.touch()),
        Reason.TRUNCATED: ("png", lambda path, good: path.write_bytes(good.read_bytes()[: good.stat().st_size // 2])),
        Reason.TOO_LARGE: ("png", lambda path, good: path.write_bytes(_bomb())),
        Reason.WRONG_EXTENSION: ("jpg", shutil_copy),
        Reason.OTHER_FORMAT: ("ppm", lambda path, good: Image.open(good).save(path)),
        Reason.MISSING: ("png", lambda path, good: path.symlink_to("nowhere.png")),
        Reason.SAME_IMAGE: ("png", shutil_copy),
        Reason.NEAR_DUPLICATE: ("jpg", lambda path, good: Image.open(good).save(path, quality=60)),
    }
    faults = {}
    models = sorted(path for path in (root / "test").rglob("*.png") if not path.name.startswith("bad"))
    for kind, (reason, (ending, make)) in enumerate(kinds.items()):
        for number in range(N_EACH):
            path = root / f"train/class{(kind + number) % N_CLASSES}/bad{kind}{number}.{ending}"
            path.unlink(missing_ok=True)
            # The two kinds of twins have others as their models than the rest, whose models stay as they are.
            make(path, models[kind * N_EACH + number])
            faults[str(path.relative_to(root))] = reason.value
    for number in range(N_EACH):
        folder = root / f"test/unknown{number}"
        folder.mkdir(exist_ok=True)
        shutil_copy(folder / "bad.png", models[-1 - number])
        faults[str((folder / "bad.png").relative_to(root))] = Reason.UNKNOWN_LABEL.value
    return faults


def shutil_copy(path, good):
    shutil.copy(good, path)


def remove(root):
    """All that `plant` has planted, and its folders."""
    for path in root.rglob("bad*"):
        path.unlink()
    for folder in root.glob("test/unknown*"):
        folder.rmdir()


def _bomb():
    """A PNG that promises 2.5 thousand million pixels."""
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    pieces = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(pieces)


def _listed(path):
    import csv

    with path.open(newline="", encoding="utf-8") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}


def _run(script, folder, *words):
    """What a process of its own says in its last lines, and the peak memory of it and those it starts, in bytes."""
    file = folder / "arm.py"
    file.write_text(script)
    process = subprocess.Popen([sys.executable, str(file), *map(str, words)], stdout=subprocess.PIPE, text=True)
    peak, over = [0], threading.Event()

    def watch():
        while not over.wait(0.05):
            peak[0] = max(peak[0], _memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    lines = process.communicate()[0].splitlines()
    over.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"an arm failed with exit code {process.returncode}")
    return dict(line.split() for line in lines if line.startswith(("seconds ", "images "))), peak[0]


def _cpu_seconds():
    """Of all processes that have been started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _memory(pid):
    try:
        process = psutil.Process(pid)
        return sum(each.memory_info().rss for each in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()

"""A checkout under git, and a registry with a version that was made in it."""

import subprocess
import zipfile

import numpy as np

from cnn.durable import write_sealed
from cnn.reproduction.origin import find_origin, find_version
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.registry import Candidate, MemoryRegistry
from cnn.tracking.tracker import Run

NAME, NIGHT = "cats", "night-2026-11-24-0100"
SETTINGS = """
prepare: {source: digits}
search:
  recipe: digits
  space: {model.filters: {type: int, low: 4, high: 8}}
  budget: {trials: 1}
"""


def git(folder, *words):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    answer = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def new_checkout(folder):
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "params.yaml").write_text(SETTINGS)
    (folder / "code.py").write_text("one = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "begin")
    return folder


def save_night(checkout, night=NIGHT):
    """A commit beside the branch under the reference that `dvc exp save` uses."""
    head = git(checkout, "rev-parse", "HEAD")
    saved = git(checkout, "commit-tree", f"{head}^{{tree}}", "-p", head, "-m", night)
    git(checkout, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{night}", saved)
    return saved


class House:
    """A registry and a tracker with one version of a night."""

    def __init__(self, folder, checkout, **tags):
        self.registry, self.tracker = MemoryRegistry(folder / "registry"), MemoryTracker()
        self.files = folder / "files"
        self.files.mkdir()
        with zipfile.ZipFile(self.files / "model.keras", "w") as archive:
            archive.writestr("config.json", "{}")
        (self.files / "params.yaml").write_text(SETTINGS)
        write_sealed(self.files / "train.json", {"recipe": {"model": {"filters": 8}}})
        lineage = {"git_revision": git(checkout, "rev-parse", "HEAD"), "night": NIGHT} | tags
        self.version = self.register(lineage)
        self.tracker.start(Run(key=f"{NIGHT}/candidate", name="candidate"))
        self.tracker.set_tags(f"{NIGHT}/candidate", {"version": f"{NAME} 1"})

    def register(self, lineage, names=("params.yaml", "train.json")):
        return self.registry.register(
            NAME,
            Candidate(
                model=self.files / "model.keras", run_key=f"{NIGHT}/candidate", labels=("a",), image_shape=(4, 4, 1),
                example=np.zeros((1, 4, 4, 1), np.uint8), lineage=lineage,
                files=tuple(self.files / name for name in names),
            ),
        )  # fmt: skip

    def find(self, what):
        return find_version(what, NAME, self.registry, self.tracker)

    def origin(self, what, checkout):
        return find_origin(what, NAME, self.registry, self.tracker, checkout)

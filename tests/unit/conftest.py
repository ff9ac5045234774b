"""A checkout of its own for what reads the settings, the prepared images or the home."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from cnn.data.arrays import DataSet, Split
from cnn.data.prepared.store import write_prepared

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The shipped settings in a folder of their own, which is the working one, and a home of its own."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CNN_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CNN_NIGHT", "")  # a night sets it, for good
    return folder


@pytest.fixture
def prepared(checkout):
    """Sixty small images of ten classes, prepared in that checkout."""
    images, labels = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 1)).astype(np.uint8), np.arange(60) % 10
    part = Split(images=images, labels=labels)
    data = DataSet(source="digits", place="", class_names=tuple("0123456789"), train=part, test=part)
    return write_prepared(checkout / "data" / "prepared", data, {"train": part, "validation": part, "test": part})

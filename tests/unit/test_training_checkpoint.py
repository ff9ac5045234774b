import logging

import numpy as np
import pytest
from making import epoch_row

from cnn.training.checkpoint import Checkpoint, CheckpointFolder, discard


def checkpoint(n_epochs):
    curve = tuple(epoch_row(epoch) for epoch in range(n_epochs))
    state = [np.full((20, 5), n_epochs, np.float32), np.array(n_epochs, np.int64), np.array([1, 2], np.uint32)]
    return Checkpoint(curve=curve, state=state, best=[np.arange(12.0) + n_epochs])


def written(tmp_path, n_epochs):
    folder = CheckpointFolder(tmp_path, "run")
    for number in range(1, n_epochs + 1):
        folder.write(checkpoint(number))
    return folder


def same(one, other):
    pairs = [*zip(one.state, other.state, strict=True), *zip(one.best, other.best, strict=True)]
    return one.curve == other.curve and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def test_what_was_written_reads_back(tmp_path):
    written(tmp_path, 3)
    # Curve, state and best weights come back with their types, shapes and every bit.
    assert same(CheckpointFolder(tmp_path, "run").read(), checkpoint(3))


def test_the_previous_checkpoint_is_kept_and_no_older_one(tmp_path):
    written(tmp_path, 5)
    # Two files, whatever the number of epochs.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00003.checkpoint", "epoch-00004.checkpoint"]


def test_an_empty_or_missing_folder_has_no_checkpoint(tmp_path):
    # A run that never finished an epoch starts from the beginning.
    assert CheckpointFolder(tmp_path / "none", "run").read() is None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("damage", ["torn", "flipped", "empty"])
def test_damage_is_named_and_the_previous_checkpoint_used(tmp_path, caplog, damage, seed):
    written(tmp_path, 3)
    newest = tmp_path / "epoch-00002.checkpoint"
    content = bytearray(newest.read_bytes())
    place = int(np.random.default_rng(seed).integers(len(content)))
    if damage == "flipped":
        content[place] ^= 1
    newest.write_bytes(content if damage == "flipped" else content[: place if damage == "torn" else 0])
    with caplog.at_level(logging.WARNING):
        found = CheckpointFolder(tmp_path, "run").read()
    # Wherever the damage is, the newest file is not used, the log names it, and the one before stands in.
    assert same(found, checkpoint(2))
    assert "epoch-00002.checkpoint" in caplog.text


def test_when_all_are_damaged_there_is_none(tmp_path):
    written(tmp_path, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
    # No damaged byte is ever used.
    assert CheckpointFolder(tmp_path, "run").read() is None


def test_another_runs_checkpoint_is_refused(tmp_path, caplog):
    written(tmp_path, 2)
    # A sound file of another recipe, seed or data set is as unusable as a damaged one, and the log says which it was.
    assert CheckpointFolder(tmp_path, "another run").read() is None
    assert "another recipe" in caplog.text


def test_writing_goes_on_over_what_was_refused(tmp_path):
    written(tmp_path, 4)
    folder = CheckpointFolder(tmp_path, "another run")
    folder.read()
    folder.write(checkpoint(1))
    # The later epochs of the refused run don't stand in the way of the new one.
    assert same(CheckpointFolder(tmp_path, "another run").read(), checkpoint(1))


def test_discard_leaves_other_files_alone(tmp_path):
    written(tmp_path, 2)
    (tmp_path / ".epoch-00009.checkpoint.x1y2.part").write_bytes(b"left by a kill")
    (tmp_path / "lock").touch()
    discard(tmp_path)
    # All of the run's own files go, half-written ones too; the folder's other tenants stay.
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]

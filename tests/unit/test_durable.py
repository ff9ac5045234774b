"""Files that survive a kill and notice damage."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cnn.durable import read_sealed, storage_errors, write_atomic, write_sealed, write_text
from cnn.errors import IntegrityError, StorageError

DOCUMENT = {"score": 0.1 + 0.2, "recipe": {"filters": 8, "plan": None, "names": ["a", "ä"]}, "kept": True}


@pytest.fixture(params=["winner.yaml", "train.json"])
def sealed(request, tmp_path):
    path = tmp_path / request.param
    write_sealed(path, DOCUMENT)
    return path


def test_a_sealed_file_reads_back(sealed):
    # Floats, nulls and umlauts included; the seal itself is not part of it.
    assert read_sealed(sealed) == DOCUMENT


def test_a_torn_sealed_file_is_named(sealed):
    body = sealed.read_bytes()
    for length in range(len(body) - 1):
        sealed.write_bytes(body[:length])
        # Cut anywhere but at its last line break, it is not used.
        with pytest.raises(IntegrityError, match=sealed.name):
            read_sealed(sealed)


def test_a_flipped_byte_is_noticed(sealed):
    body = bytearray(sealed.read_bytes())
    at = body.index(b"8")
    body[at] = ord("9")
    sealed.write_bytes(body)
    # A recipe with 9 filters is not the one that was written.
    with pytest.raises(IntegrityError, match="sha256"):
        read_sealed(sealed)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(IntegrityError, match="no such file"):
        read_sealed(tmp_path / "winner.yaml")


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(file):
        file.write(b"new")
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_atomic(path, fail)
    # The old content stands, and no half file lies beside it.
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_killed_writer_leaves_a_whole_file(tmp_path):
    path = tmp_path / "file"
    script = f"""
import pathlib
from cnn.durable import write_text
for n in range(10**9):
    write_text(pathlib.Path({str(path)!r}), str(n % 10) * 100_000)
    print(n, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as writer:
        for _ in range(5):
            next(writer.stdout)
        os.kill(writer.pid, signal.SIGKILL)
    text = path.read_text()
    # One generation, whole.
    assert text == text[0] * 100_000


def test_a_full_disk_is_one_line():
    # /dev/full refuses every byte.
    full = Path("/dev/full")
    with pytest.raises(StorageError, match="full disk"), storage_errors(full), full.open("wb", buffering=0) as file:
        file.write(b"x")


def test_a_file_where_a_folder_belongs_is_one_line(tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(StorageError, match="a file where a folder belongs"):
        write_text(tmp_path / "folder" / "file", "x")

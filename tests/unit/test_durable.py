"""Files that survive a kill and notice damage."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from cnn.durable import check_file, made_alone, read_sealed, storage_errors, write_atomic, write_sealed, write_text
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


def test_a_file_that_cannot_be_used_says_what_to_run(tmp_path):
    path = tmp_path / "winner.yaml"
    # Missing: the command that makes it.
    with pytest.raises(IntegrityError, match=r"run cnn search$"):
        read_sealed(path, made_by="cnn search")
    with pytest.raises(IntegrityError, match=r"run cnn search$"):
        check_file(path, "0" * 64, made_by="cnn search")
    path.write_text("trial: 0\n")
    # Damaged: the same once more.
    with pytest.raises(IntegrityError, match=r"run cnn search again$"):
        read_sealed(path, made_by="cnn search")
    with pytest.raises(IntegrityError, match=r"run cnn search again$"):
        check_file(path, "0" * 64, made_by="cnn search")


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


def test_a_database_that_a_kill_left_half_made_is_made_again(tmp_path):
    path = tmp_path / "some.db"
    script = f"""
import os, signal, sqlite3
from pathlib import Path
from cnn.durable import made_alone
with made_alone(Path({str(path)!r})):
    sqlite3.connect({str(path)!r}).execute("CREATE TABLE half (made INTEGER)")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.stat().st_size > 0
    with made_alone(path):
        # What was begun is gone.
        assert not path.exists()
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE whole (made INTEGER)")
    with made_alone(path), closing(sqlite3.connect(path)) as db:
        # What was finished stays.
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("whole",)]


OPENERS = {
    "ledger": """
from cnn.search.ledger import Ledger
def start(home):
    with Ledger(home / "ledger.db") as ledger:
        ledger.write(begun="yes")
""",
    "spool": """
from contextlib import closing
from cnn.tracking.spool import Kind, Spool
def start(home):
    with closing(Spool(home)) as spool:
        spool.append("here", "run", Kind.FIGURES, {"step": 0})
""",
    "study storage": """
from cnn.search.engines.optuna_mirror import make_storage
def start(home):
    make_storage(f"sqlite:///{home}/optuna.db")
""",
}
ROUNDS = """
import sys
from pathlib import Path
for line in sys.stdin:
    start(Path(line.strip()))
    print("started", flush=True)
"""


@pytest.mark.parametrize("opener", OPENERS)
def test_first_starts_at_once_do_not_disturb_each_other(opener, tmp_path):
    words = [sys.executable, "-c", OPENERS[opener] + ROUNDS]
    starts = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in starts:  # the first one also waits for its imports
        process.stdin.write(f"{tmp_path / str(process.pid)}\n")
        process.stdin.flush()
        process.stdout.readline()
    for n in range(6):
        for process in starts:
            process.stdin.write(f"{tmp_path / str(n)}\n")
            process.stdin.flush()
        for process in starts:
            process.stdout.readline()
    # Each start of each round found a whole database.
    ends = [(process.communicate()[1], process.returncode) for process in starts]
    assert ends == [("", 0)] * len(starts)


FULL = """
import sys
from pathlib import Path
from cnn.durable import made_alone
from cnn.errors import StorageError
folder = Path(sys.argv[1])
try:
    with (folder / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
except OSError:
    pass
try:
    with made_alone(folder / "some.db"):
        pass
except StorageError as error:
    print(error)
"""


def test_a_full_disk_is_said_before_a_database_is_begun(tmp_path):
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, mount], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespaces here")
    command = [*unshare, f'{mount} && exec "$@"', "sh", sys.executable, "-c", FULL, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    # One line, although not even the lock's few bytes find room.
    assert (run.stderr, run.returncode) == ("", 0)
    assert "full disk" in run.stdout

"""Asking whether the embedded database is one must not take its locks away from whoever has it open here."""

import sqlite3
import subprocess
import sys
from contextlib import closing

from cnn.tracking.server import check_server

OTHER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("INSERT INTO runs VALUES (2)")
db.commit()
db.close()
"""


def test_a_look_leaves_the_locks_of_a_database_that_is_open_here(tmp_path):
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE runs (number INTEGER)")
        db.execute("INSERT INTO runs VALUES (1)")
        db.commit()
        check_server(f"sqlite:///{path}")
        # another process comes and goes: without our locks it takes itself for the last one, and the log away with it
        subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)
        # The log is still the one that we have open, and we see what the other has written.
        assert path.with_name("mlflow.db-wal").exists()
        assert db.execute("SELECT number FROM runs ORDER BY number").fetchall() == [(1,), (2,)]

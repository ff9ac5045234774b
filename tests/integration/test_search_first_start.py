"""The very first start in a new home is killed while MLflow makes its database: the next one is none the worse."""

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from cnn.config.environment import Environment
from cnn.tracking.client import connect

pytestmark = pytest.mark.slow

KILLED = """
import os, signal, sqlite3, sys, threading, time
from contextlib import closing
from pathlib import Path
from cnn.config.environment import Environment
from cnn.tracking.client import connect

home, table = Path(sys.argv[1]), sys.argv[2]

def kill():
    while True:
        time.sleep(0.001)
        if (home / "mlflow.db").exists():
            with closing(sqlite3.connect(home / "mlflow.db")) as db:
                if db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchall():
                    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=kill, daemon=True).start()
connect(Environment(home=home))
"""


def test_a_half_made_database_is_made_again(tmp_path):
    # MLflow's migrations are no transactions: killed between two of them, they can never be finished.
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), "trace_info"], timeout=120, check=False)
    assert process.returncode == -signal.SIGKILL
    with closing(sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)) as db:
        db.execute("DELETE FROM alembic_version")  # between a migration and the note that it is done
    client = connect(Environment(home=tmp_path))
    # The database is whole: it takes a run.
    run = client.create_run("0")
    client.log_metric(run.info.run_id, "val_accuracy", 0.5)
    assert client.get_run(run.info.run_id).data.metrics == {"val_accuracy": 0.5}
    # The next start keeps it.
    assert connect(Environment(home=tmp_path)).get_run(run.info.run_id).info.run_id == run.info.run_id

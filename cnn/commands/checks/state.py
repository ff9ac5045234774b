"""Whether what earlier nights left behind is sound and complete."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cnn.commands.checks.finding import Finding, ok, problem, warning
from cnn.config.environment import Environment
from cnn.durable import read_sealed
from cnn.errors import IntegrityError, UserError
from cnn.nights import Nights
from cnn.search.study import study_names
from cnn.steps.promote import LEDGER
from cnn.tracking.promotions import read_promotions
from cnn.tracking.server import check_server, sqlite_file
from cnn.tracking.spool import Spool

_DVC_S = 60.0
_STUDY_MEND = "move the study's folder away; a new search starts afresh"


def databases(environment: Environment) -> Iterator[Finding]:
    """Every sqlite file, page by page."""
    for subject, path, mend in _files(environment):
        if not path.exists():
            yield ok(subject, "none yet")
        elif damage := sqlite_damage(path):
            yield problem(subject, f"{path}: {damage}", mend)
        else:
            yield ok(subject, f"sound, {_megabytes(path)}")
    yield from _ledgers(environment.studies)


def _files(environment: Environment) -> Iterator[tuple[str, Path, str]]:
    if environment.mlflow_uri.startswith("sqlite"):
        yield "mlflow.db", sqlite_file(environment.mlflow_uri), "put a copy of it back, or move it away to begin anew"
    if environment.optuna_url.startswith("sqlite"):
        yield "optuna.db", sqlite_file(environment.optuna_url), "move it away; it only mirrors the studies"
    yield "spool.db", environment.home / "spool.db", "the next command sets it aside and begins a new one"


def _ledgers(studies: Path) -> Iterator[Finding]:
    paths = [studies / name / "ledger.db" for name in study_names(studies)]
    damaged = [(path, damage) for path in paths if (damage := sqlite_damage(path))]
    yield from (problem("studies", f"{path}: {damage}", _STUDY_MEND) for path, damage in damaged)
    if not damaged:
        yield ok("studies", f"ledgers sound: {len(paths)}" if paths else "none yet")


def sqlite_damage(path: Path) -> str:
    """What sqlite finds wrong with a file, which is only read; empty when it is sound."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=20)) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        return str(error)
    return "" if found == "ok" else str(found)


def ledgers(environment: Environment) -> Iterator[Finding]:
    """The promotions and the nights' records, seal by seal; nights that were interrupted."""
    try:
        lines = read_promotions(environment.home / LEDGER)
        yield ok("promotions", f"decisions, all sealed: {len(lines)}" if lines else "none yet")
    except IntegrityError as error:
        yield problem("promotions", f"{error.subject}: {error.received}", error.change)
    yield from _nights(environment.home / "nights")


def _nights(folder: Path) -> Iterator[Finding]:
    nights, damaged = Nights(folder), [path for path in sorted(folder.glob("*.json")) if not _is_sealed(path)]
    open_nights = [night for night in nights.all() if not night.finished]
    for path in damaged:
        yield problem("nights", f"{path}: a damaged record", "move it away; versions and experiments do not need it")
    for night in open_nights:
        if nights.runs(night.name):
            yield ok("nights", f"{night.name} is under way")
        else:
            yield warning("nights", f"{night.name} was interrupted", f"go on with it: cnn nightly in {night.checkout}")
    if not damaged and not open_nights:
        yield ok("nights", f"finished: {len(nights.all())}" if nights.all() else "none yet")


def _is_sealed(path: Path) -> bool:
    try:
        read_sealed(path)
    except IntegrityError:
        return False
    return True


def tracking(environment: Environment) -> Iterator[Finding]:
    """Whether the tracking address answers, and what waits to be told to it."""
    try:
        check_server(environment.mlflow_uri)
        yield ok("tracking", "it answers")
    except UserError as error:
        yield problem("tracking", f"{error.subject}: {error.received}", error.change)
    path = environment.home / "spool.db"
    if path.exists() and not sqlite_damage(path):
        yield _spooled(environment)


def _spooled(environment: Environment) -> Finding:
    spool = Spool(environment.home)
    try:
        waiting = spool.n_waiting(environment.mlflow_uri)
    finally:
        spool.close()
    if waiting:
        return warning("spool", f"{waiting} events wait for the tracker", "deliver them: cnn doctor --reconcile")
    return ok("spool", "all delivered")


def remote(environment: Environment) -> Iterator[Finding]:
    """Whether the DVC remote is known, and checks what it hands out."""
    name = environment.dvc_remote
    if not name:
        yield ok("DVC remote", "none: what nights make stays on this machine")
        return
    settings = _dvc_settings()
    if f"remote.{name}.url" not in settings:
        yield problem("DVC remote", f"dvc knows no remote {name}", f"dvc remote add {name} URL, or set CNN_DVC_REMOTE")
    elif settings.get(f"remote.{name}.verify", "").lower() != "true":
        mend = f"dvc remote modify {name} verify true"
        yield warning("DVC remote", f"{name} does not check what it hands out", mend)
    else:
        yield ok("DVC remote", f"{name}, verified")


def _dvc_settings() -> dict[str, str]:
    command = [sys.executable, "-m", "dvc", "config", "--list"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_DVC_S, check=False)
    except subprocess.TimeoutExpired:
        return {}
    pairs = (line.partition("=") for line in run.stdout.splitlines())
    return {key: value for key, _, value in pairs}


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:,.1f} MB"

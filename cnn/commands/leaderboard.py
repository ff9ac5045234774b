"""The trials of the latest search, best first."""

import csv
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cnn.config.outputs import LEADERBOARD

_FIRST = ("run", "state", "val_score", "val_accuracy", "gap_accuracy", "best_epoch", "epochs")


def leaderboard_rows(path: Path = LEADERBOARD) -> list[dict[str, str]]:
    """The leaderboard as it was written, best first; empty when there is none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def show_leaderboard(console: Console, *, n: int = 10) -> None:
    """The best `n` runs, with those hyperparameters in which runs differ."""
    rows = leaderboard_rows()
    if not rows:
        return
    names = [name for name in rows[0] if name not in _FIRST and len({row[name] for row in rows}) > 1]
    table = Table(title=f"Best {min(n, len(rows))} of {len(rows)} runs", title_justify="left")
    scored = any(row["val_score"] != row["val_accuracy"] for row in rows)  # the task's score is no accuracy
    for heading in ("run", *(["val score"] if scored else []), "val accuracy", "gap", "best epoch"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("hyperparameters")
    for row in rows[:n]:
        accuracy, gap = _figure(row["val_accuracy"], "{:.4f}"), _figure(row["gap_accuracy"], "{:+.4f}")
        epoch = f"{row['best_epoch']} of {row['epochs']}"
        score = [_figure(row["val_score"], "{:.4f}")] if scored else []
        table.add_row(row["run"], *score, accuracy, gap, epoch, _values(row, names))
    console.print(table)


def _values(row: dict[str, str], names: list[str]) -> str:
    """Names without their section, numbers to three digits; what a trial does not have is left out."""
    given = [(_label(name), row[name]) for name in names if row[name]]
    return ", ".join(f"{name} {_figure(text, '{:.3g}')}" for name, text in given)


def _label(path: str) -> str:
    """`model.filters` is `filters`, but `optimizer.name` is `optimizer`."""
    section, _, name = path.rpartition(".")
    return section if name == "name" else name


def _figure(text: str, form: str) -> str:
    try:
        return form.format(float(text))
    except ValueError:
        return text

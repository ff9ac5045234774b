"""The trials of the latest search, best first."""

import csv
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cnn.config.outputs import LEADERBOARD

_MEASURES = {"parameters": "parameters", "multiply_adds": "multiply adds", "latency_ms": "ms"}
_SIZES = tuple(_MEASURES.values())
_FIRST = ("run", "state", "val_score", "val_accuracy", "gap_accuracy", "best_epoch", "epochs", "pareto", *_MEASURES)
_READABLE = 24  # characters for hyperparameters


def leaderboard_rows(path: Path = LEADERBOARD) -> list[dict[str, str]]:
    """The leaderboard as it was written, best first; empty when there is none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def show_leaderboard(console: Console, *, n: int = 10) -> None:
    """The best `n` runs and the winner, with those hyperparameters in which runs differ; last, who won and why."""
    rows = leaderboard_rows()
    if not rows:
        return
    summary = _summary()
    won = str(summary.get("winner", ""))
    shown = [*rows[:n], *(row for row in rows[n:] if row["run"] == won)]
    names = [name for name in rows[0] if name not in _FIRST and len({row[name] for row in rows}) > 1]
    figures = _columns(rows, shown, won)
    values = {"hyperparameters": [_values(row, names) for row in shown]}
    title = f"Best {min(n, len(rows))} of {len(rows)} runs"
    if console.width - console.measure(_table(title, figures)).maximum >= _READABLE:
        console.print(_table(title, figures | values))
    else:  # beside so many figures the last column would be a few letters wide
        console.print(_table(title, {name: cells for name, cells in figures.items() if name not in _SIZES}))
        sizes = {name: figures[name] for name in ("run", *_SIZES) if name in figures}
        console.print(_table("", sizes | values))
    if because := summary.get("winner_because"):
        console.print(because, highlight=False, soft_wrap=True, markup=False)


def _columns(rows: list[dict[str, str]], shown: list[dict[str, str]], won: str) -> dict[str, list[str]]:
    """What is known of the shown runs, by heading; what would say nothing of any run is left out."""
    columns = {"run": [f"{row['run']}{' (winner)' if row['run'] == won else ''}" for row in shown]}
    if any(row["state"] != "completed" for row in rows):
        columns["state"] = [row["state"] for row in shown]
    if any(row["val_score"] != row["val_accuracy"] for row in rows):  # the task's score is no accuracy
        columns["val score"] = [_figure(row["val_score"], "{:.4f}") for row in shown]
    columns["val accuracy"] = [_figure(row["val_accuracy"], "{:.4f}") for row in shown]
    columns["gap"] = [_figure(row["gap_accuracy"], "{:+.4f}") for row in shown]
    columns["best epoch"] = [f"{row['best_epoch']} of {row['epochs']}" for row in shown]
    if "pareto" in rows[0]:
        columns["front"] = [row["pareto"] for row in shown]
    for name, heading in _MEASURES.items():
        if any(row.get(name) for row in rows):
            columns[heading] = [_count(row[name]) for row in shown]
    return columns


def _table(title: str, columns: dict[str, list[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for heading, cells in columns.items():
        if heading == "hyperparameters":
            table.add_column(heading)
        else:  # a heading of two words may take two lines, a figure never
            width = max(map(len, [*cells, *heading.split()]))
            table.add_column(heading, justify="right", min_width=width)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _summary() -> dict[str, Any]:
    """Who won the search that wrote the leaderboard; empty when it is not known."""
    path = LEADERBOARD.with_name("search.json")
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _values(row: dict[str, str], names: list[str]) -> str:
    """Names without their section, numbers to three digits; what a trial does not have is left out."""
    given = [(_label(name), row[name]) for name in names if row[name]]
    return ", ".join(f"{name} {_figure(text, '{:.3g}')}" for name, text in given)


def _label(path: str) -> str:
    """`model.filters` is `filters`, but `optimizer.name` is `optimizer`."""
    section, _, name = path.rpartition(".")
    return section if name == "name" else name


def _count(text: str) -> str:
    """Whole numbers with separators, milliseconds to three digits."""
    return f"{int(text):,}" if text.isdigit() else _figure(text, "{:.3g}")


def _figure(text: str, form: str) -> str:
    try:
        return form.format(float(text))
    except ValueError:
        return text

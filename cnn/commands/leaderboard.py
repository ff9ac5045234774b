"""The trials of the latest search, best first."""

import csv
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cnn.config.outputs import LEADERBOARD

_MEASURES = {"parameters": "parameters", "multiply_adds": "multiply-adds", "latency_ms": "ms"}
_FIRST = ("run", "state", "val_score", "val_accuracy", "gap_accuracy", "best_epoch", "epochs", "pareto", *_MEASURES)


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
    names = [name for name in rows[0] if name not in _FIRST and len({row[name] for row in rows}) > 1]
    table = Table(title=f"Best {min(n, len(rows))} of {len(rows)} runs", title_justify="left")
    scored = any(row["val_score"] != row["val_accuracy"] for row in rows)  # the task's score is no accuracy
    measures = [name for name in _MEASURES if any(row.get(name) for row in rows)]
    front = ["front"] if "pareto" in rows[0] else []
    ended = ["state"] if any(row["state"] != "completed" for row in rows) else []
    more = [*front, *(_MEASURES[name] for name in measures)]
    for heading in ("run", *ended, *(["val score"] if scored else []), "val accuracy", "gap", "best epoch", *more):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("hyperparameters")
    summary = _summary()
    won = str(summary.get("winner", ""))
    for row in [*rows[:n], *(row for row in rows[n:] if row["run"] == won)]:
        accuracy, gap = _figure(row["val_accuracy"], "{:.4f}"), _figure(row["gap_accuracy"], "{:+.4f}")
        epoch = f"{row['best_epoch']} of {row['epochs']}"
        score = [_figure(row["val_score"], "{:.4f}")] if scored else []
        said = [*([row["pareto"]] if front else []), *(_count(row[name]) for name in measures)]
        state = [row["state"]] if ended else []
        run = f"{row['run']}{' (winner)' if row['run'] == won else ''}"
        table.add_row(run, *state, *score, accuracy, gap, epoch, *said, _values(row, names))
    console.print(table)
    if because := summary.get("winner_because"):
        console.print(because, highlight=False, soft_wrap=True, markup=False)


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

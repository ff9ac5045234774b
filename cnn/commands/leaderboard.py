"""The trials of the latest search, best first."""

import csv
from pathlib import Path

from rich.console import Console
from rich.table import Table

LEADERBOARD = Path("outputs/search/leaderboard.csv")

_FIRST = ("run", "state", "val_accuracy", "gap_accuracy", "best_epoch", "epochs")


def leaderboard_rows(path: Path = LEADERBOARD) -> list[dict[str, str]]:
    """The leaderboard as it was written, best first; empty when there is none."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def show_leaderboard(console: Console, *, n: int = 10) -> None:
    """The best `n` runs; hyperparameters of all runs in which they differ."""
    rows = leaderboard_rows()
    if not rows:
        return
    names = [name for name in rows[0] if name not in _FIRST and len({row[name] for row in rows}) > 1]
    table = Table(title=f"Best {min(n, len(rows))} of {len(rows)} runs", title_justify="left")
    for heading in ("run", "val accuracy", "gap", "best epoch", *(name.partition(".")[2] for name in names)):
        table.add_column(heading, justify="right")
    for row in rows[:n]:
        table.add_row(
            row["run"],
            _figure(row["val_accuracy"], "{:.4f}"),
            _figure(row["gap_accuracy"], "{:+.4f}"),
            f"{row['best_epoch']} of {row['epochs']}",
            *(_figure(row[name], "{:.3g}") for name in names),
        )
    console.print(table)


def _figure(text: str, form: str) -> str:
    try:
        return form.format(float(text))
    except ValueError:
        return text

"""The screen a night ends with: what was tried, how good the candidate is, what became of it, where to look."""

from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from cnn.commands.leaderboard import show_leaderboard
from cnn.config.environment import Environment
from cnn.config.outputs import EVALUATED, SEARCHED
from cnn.config.params import Params
from cnn.durable import read_sealed
from cnn.nights import Night, Nights
from cnn.records import Task


def show_morning(night: Night, params: Params, environment: Environment, console: Console) -> None:
    """Leaderboard, test accuracy with its interval, gap, version, verdict, time by part, and the next commands."""
    show_leaderboard(console, n=5)
    console.print(_durations(night))
    metrics = read_sealed(EVALUATED / "evaluate.json", made_by="cnn evaluate")
    console.print(Panel(_summary(night, params, metrics), title=night.name, title_align="left", expand=False))
    page = Nights(environment.home / "nights").page(night.name)
    console.print(f"  morning page: {page}", highlight=False, markup=False, soft_wrap=True)
    console.print(_next_commands(environment), highlight=False, soft_wrap=True)


def _summary(night: Night, params: Params, metrics: dict[str, Any]) -> str:
    task = Task(metrics.get("task", Task.MULTICLASS))
    figures = {"test accuracy": "accuracy", f"test {task.score_words}": task.score_name}
    lines = [
        *(_figure(words, metrics, name, params.evaluate.confidence) for words, name in figures.items()),
        f"gap            {metrics['gap_at_best']:+.4f}  (clean training minus validation accuracy)",
        f"registry       {night.version}",
        f"verdict        {night.verdict}",
        f"reproduce      {night.saved}",
        f"to look at     {EVALUATED / 'report.html'}, {SEARCHED / 'study.html'}",
    ]
    return "\n".join(lines)


def _figure(words: str, metrics: dict[str, Any], name: str, confidence: float) -> str:
    """A test figure with its interval, in a line."""
    value, low, high = (metrics[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{words:<13}  [bold]{value:.4f}[/bold]  ({low:.4f} to {high:.4f} at {confidence:.0%})"


def _durations(night: Night) -> Table:
    table = Table(title="Where the time went", title_justify="left")
    table.add_column("part")
    table.add_column("min:s", justify="right")
    for part, seconds in {**night.seconds, "together": sum(night.seconds.values())}.items():
        table.add_row(part, f"{int(seconds) // 60}:{int(seconds) % 60:02d}")
    return table


def _next_commands(environment: Environment) -> str:
    looks = {
        "cnn ui": "every trial's curves in MLflow, the study in optuna-dashboard",
        "cnn status --open": "the morning page, in the browser",
        "dvc exp list -A": "the names of the nights, for cnn compare and cnn reproduce",
    }
    return "\n".join(f"  {command:<18} {what}" for command, what in looks.items())

"""What the gate said of a challenger, rule by rule."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.promotion.ruling import NOT_TRIED, Ruling
from cnn.promotion.verdict import Verdict

_MARKS = {True: "[green]passed[/]", False: "[red]failed[/]", None: f"[dim]{NOT_TRIED}[/]"}


def show_verdict(verdict: Verdict, console: Console) -> None:
    """The rules that were tried as a table, how much error is left, and the verdict."""
    tried = [ruling for ruling in verdict.rules if ruling.passed is not None or ruling.sentence != NOT_TRIED]
    if tried:
        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
        for heading in ("rule", "result", "figure", "limit"):
            table.add_column(heading, no_wrap=True, justify="right" if heading in ("figure", "limit") else "left")
        table.add_column("what was found", overflow="fold")
        for ruling in tried:
            table.add_row(*_cells(ruling))
        console.print(table)
    if verdict.look is not None and verdict.left is not None:
        console.print(spent(verdict.test_hash, verdict.look, verdict.left), highlight=False)
    console.print(escape(verdict.sentence()), highlight=False)


def spent(test_hash: str, n_looks: int, left: float) -> str:
    """How much of the error that may be made at a test set is spent.

    Example:
        >>> spent("3f9a21bc77", 4, 0.4)
        'test images 3f9a21bc: looked at 4 times; 40 % of promote.alpha is left; fresh ones begin anew'
    """
    times = "once" if n_looks == 1 else f"{n_looks} times"
    share = f"{100 * left:.0f} % of promote.alpha is left; fresh ones begin anew"
    return f"test images {test_hash[:8]}: looked at {times}; {share}"


def _cells(ruling: Ruling) -> tuple[str, str, str, str, str]:
    figure, limit = ("" if value is None else f"{value:.3g}" for value in (ruling.figure, ruling.limit))
    return ruling.rule, _MARKS[ruling.passed], figure, limit, escape(ruling.sentence)

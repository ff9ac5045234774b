"""Whether this machine is ready for a night: a table of findings, each with the way to mend it."""

from collections.abc import Callable, Iterable, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn.commands.checks import installation, machine, state
from cnn.commands.checks.finding import Finding, Grade
from cnn.config.environment import Environment


def doctor(environment: Environment, console: Console) -> bool:
    """Run all checks and show what they found.

    Returns:
        Whether there is no problem; warnings are none.
    """
    findings: list[Finding] = []
    for name, check in checks(environment).items():
        with console.status(f"checking {name}"):
            findings += check()
    console.print(findings_table(findings))
    problems, warnings = (
        sum(finding.grade is grade for finding in findings) for grade in (Grade.PROBLEM, Grade.WARNING)
    )
    console.print(_summary(problems, warnings), highlight=False)
    return not problems


def checks(environment: Environment) -> Mapping[str, Callable[[], Iterable[Finding]]]:
    """All checks in the order of the table, by what is looked at."""
    return {
        "Python": installation.python,
        "packages": installation.packages,
        "programs": installation.programs,
        "TensorFlow and its devices, which takes 10 to 25 s": installation.devices,
        "disks": lambda: machine.disk(environment),
        "ports": lambda: machine.listeners(environment),
        "databases": lambda: state.databases(environment),
        "ledgers": lambda: state.ledgers(environment),
        "tracking": lambda: state.tracking(environment),
        "the DVC remote": lambda: state.remote(environment),
    }


def findings_table(findings: Iterable[Finding]) -> Table:
    """One row a finding; what to do about it stands below what was found."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mend = f"\n[bold]{escape(finding.mend)}[/bold]" if finding.mend else ""
        table.add_row(_MARKS[finding.grade], escape(finding.subject), escape(finding.found) + mend)
    return table


_MARKS = {
    Grade.OK: "[green]OK[/green]",
    Grade.WARNING: "[yellow]warning[/yellow]",
    Grade.PROBLEM: "[red]problem[/red]",
}


def _summary(problems: int, warnings: int) -> str:
    counts = [_count(problems, "problem"), _count(warnings, "warning")]
    if problems:
        return f"[red]{' and '.join(filter(None, counts))}[/red]"
    return f"[green]ready for a night[/green]{f', {counts[1]}' if warnings else ''}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' if n > 1 else ''}" if n else ""

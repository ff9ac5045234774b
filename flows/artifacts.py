"""What a night leaves in the Prefect UI."""

from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: TID251

from cnn.commands.leaderboard import leaderboard_rows
from cnn.steps.promote import Verdict


def leaderboard(night: str) -> None:
    """The trials of the night, best first."""
    rows = [dict(row) for row in leaderboard_rows()]
    create_table_artifact(table=rows, key="leaderboard", description=f"Trials of {night}, best first")


def verdict(night: str, verdict: Verdict) -> None:
    """Whether the champion moved, and why."""
    figures = "\n".join(f"| {name} | {value:.4f} |" for name, value in verdict.figures.items())
    table = f"\n\n| figure | value |\n|---|---|\n{figures}" if figures else ""
    create_markdown_artifact(markdown=f"**{night}**: {verdict.sentence()}{table}", key="verdict")

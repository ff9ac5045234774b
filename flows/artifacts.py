"""What a night leaves in the Prefect UI, and its morning page."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact  # noqa: TID251

from cnn import wiring
from cnn.commands.leaderboard import leaderboard_rows
from cnn.commands.night_page import write_page
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.nights import Nights
from cnn.steps.promote import Verdict
from flows.patience import outlasting

log = logging.getLogger(__name__)

_PAGE_FOLDER = "night"


def leaderboard(night: str) -> None:
    """The trials of the night, best first."""
    rows = [dict(row) for row in leaderboard_rows()]
    outlasting(
        lambda: create_table_artifact(table=rows, key="leaderboard", description=f"Trials of {night}, best first")
    )


def verdict(night: str, verdict: Verdict) -> None:
    """Whether the champion moved, and why."""
    figures = "\n".join(f"| {name} | {value:.4f} |" for name, value in verdict.figures.items())
    table = f"\n\n| figure | value |\n|---|---|\n{figures}" if figures else ""
    said = f"**{night}**: {verdict.sentence()}{table}"
    outlasting(lambda: create_markdown_artifact(markdown=said, key="verdict"))


@contextmanager
def morning_page(night: str, params: Params, environment: Environment) -> Iterator[None]:
    """The night's page when it ends, good or bad; whoever presses Ctrl-C does not wait for it.

    It goes to Prefect and to MLflow too. What is wrong with a page is a warning: the night matters more.
    """
    try:
        yield
    except Exception:
        _leave_page(night, params, environment)
        raise
    _leave_page(night, params, environment)


def _leave_page(night: str, params: Params, environment: Environment) -> None:
    try:
        path, essentials = write_page(night, params, environment)
        create_markdown_artifact(markdown=essentials, key="morning-page", description=f"The morning of {night}")
        _to_tracker(night, path, params, environment)
    except Exception as error:
        log.warning("the morning page of %s did not get everywhere: %s", night, error or type(error).__name__)


def _to_tracker(night: str, path: Path, params: Params, environment: Environment) -> None:
    """Among the files of the candidate's run; of the search's, if it did not come to a candidate."""
    keys = [Nights(environment.home / "nights").read(night).run, night]
    with wiring.tracker(environment, params.search.experiment, source="cnn nightly") as tracker:
        for key in filter(None, keys):
            if tracker.read_run(key) is not None:
                tracker.log_file(key, path, _PAGE_FOLDER)
                return

"""A version made again by a deployment: the command's own work, and its result where Prefect shows it."""

from prefect import flow  # noqa: TID251
from prefect.artifacts import create_markdown_artifact  # noqa: TID251
from prefect.client.schemas.objects import State  # noqa: TID251
from prefect.states import Completed, Failed  # noqa: TID251
from rich.console import Console

from cnn.commands.reproduce import Reproduction
from cnn.commands.reproduce import reproduce as make_again
from cnn.config.environment import read_environment
from cnn.config.reading import read_params


@flow(name="reproduce")
def reproduce(what: str, search: bool = False, keep: bool = False) -> State:
    """Make a version again from its commit, data and settings, and compare it with what it was.

    The flow fails when what comes out is another model.

    Args:
        what: A version (7, NAME/7, champion), a night, or a candidate's run.
        search: Search again too; else the winner that was kept is trained.
        keep: Leave the worktree in CNN_HOME/reproductions.
    """
    made = make_again(what, read_params(), read_environment(), Console(), search=search, keep=keep)
    create_markdown_artifact(markdown=page(made), key="reproduction")
    said = f"{made.subject}: {made.outcome.sameness}: {made.outcome.reason}"
    return Failed(message=said) if made.exit_code else Completed(message=said)


def page(made: Reproduction) -> str:
    """The result as Markdown."""
    figures = "\n".join(
        f"| {one.name} | {one.then:.6g} | {one.now:.6g} | {one.difference:+.3g} |" for one in made.outcome.figures
    )
    table = f"\n\n| figure | then | now | difference |\n|---|---|---|---|\n{figures}" if figures else ""
    conditions = "".join(f"\n- {one.what}: {one.then}, now {one.now}" for one in made.changes or ())
    listed = f"\n\nConditions that changed:\n{conditions}" if conditions else ""
    return f"**{made.subject}: {made.outcome.sameness}**\n\n{made.outcome.reason}{table}{listed}"

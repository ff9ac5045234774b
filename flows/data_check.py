"""What changed in the data, as a task of the night and as a flow of its own."""

from prefect import flow  # noqa: TID251
from prefect.artifacts import create_markdown_artifact  # noqa: TID251
from rich.console import Console

from cnn.commands.data_check import (
    DataCheck,
    Finding,
    check_may_train,
    known_registry,
    may_train,
)
from cnn.commands.data_check import data_check as check
from cnn.commands.data_screen import show_data_check
from cnn.config.environment import Environment, Event, read_environment
from cnn.config.params import Params
from cnn.config.reading import read_params
from cnn.reports.night_words import data_sentences, plain
from flows import notices, stages
from flows.patience import outlasting


@flow(name="data-check")
def data_check(prepare: bool = True, strict: bool = True) -> str:
    """Say what has changed in the data since the champion and the last night; a line.

    Args:
        prepare: Read the source anew first; else the data are taken as they were prepared.
        strict: Fail when a night would not train on these data, as data_check.stops in params.yaml says.

    Raises:
        DataError: A night would not train on them.
        StageError: They cannot be prepared.
    """
    params, environment = read_params(), read_environment()
    if prepare:
        _prepared_anew(params, environment)
    found = checked(params, environment)
    if strict:
        check_may_train(found, params.data_check)
    return found.summary()


def _prepared_anew(params: Params, environment: Environment) -> None:
    """The source read again; what cannot be prepared cannot be checked, and somebody wants to know."""
    try:
        stages.run_stage("prepare", force=params.prepare.path is not None)
    except stages.StageError as error:
        notices.notify(environment, Event.DATA_CHECK_FAILED, "the data check failed", error.reason)
        raise


def checked(params: Params, environment: Environment, *, night: str = "") -> DataCheck:
    """The check with what it leaves: its words on the screen, an artifact, and a notice if it failed or ends a night.

    Args:
        night: The night that asks; empty for none.
    """
    found = check(params, environment, known_registry(environment), night=night)
    if found.finding is not Finding.OK:
        show_data_check(found, Console())
        lines = [f"**data {found.finding}**", "", *(f"- {plain(said)}" for said in data_sentences(found.document()))]
        outlasting(lambda: create_markdown_artifact(markdown="\n".join(lines), key="data-check"))
    if found.finding is Finding.FAILED or not may_train(found, params.data_check):
        notices.notify(environment, Event.DATA_CHECK_FAILED, "the data check failed", found.summary())
    return found

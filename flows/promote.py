"""The challenger becomes champion, or not: the last step of a night as a flow of its own."""

from typing import Annotated

from prefect import flow  # noqa: TID251
from pydantic import Field  # noqa: TID251

from cnn import wiring
from cnn.config.environment import read_environment
from cnn.config.reading import read_params
from cnn.steps.promote import promote as promote_step
from flows import artifacts, notices


@flow(name="promote")
def promote(
    name: str | None = None,
    version: Annotated[int | None, Field(ge=1)] = None,
    force: Annotated[str | None, Field(min_length=3)] = None,
) -> str:
    """Decide about a version; the verdict in a sentence.

    Args:
        name: The registered model; empty for register.name of params.yaml.
        version: Its version; empty for the challenger.
        force: Why it should be champion whatever the gate says; the reason is kept. Empty to let the gate decide.

    Raises:
        UserError: There is no such version, or what is kept of it is damaged.
    """
    words = [f"register.name={name}"] if name else []
    params, environment = read_params(overrides=words), read_environment()
    with wiring.tracker(environment, params.search.experiment, source="flow promote") as tracker:
        registry = wiring.registry(environment)
        verdict = promote_step(params, environment, tracker, registry, number=version, force=force)
    artifacts.verdict(f"{params.register_.name} version {verdict.challenger}", verdict)
    notices.about(verdict, params.register_.name, environment)
    return verdict.sentence()

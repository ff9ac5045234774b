"""What the deployments run: a night that a schedule, a form or a resumption has started."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prefect import flow  # noqa: TID251
from prefect.client.orchestration import get_client  # noqa: TID251
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, State  # noqa: TID251
from prefect.runtime import deployment, flow_run  # noqa: TID251
from prefect.states import Cancelled, Crashed  # noqa: TID251

from cnn.config.deployed import LimitHours, MissedHours, Overrides, Resumes
from cnn.config.environment import Environment, read_environment
from cnn.nights import Night, Nights
from flows import nightly as by_hand
from flows.notices import failures_noticed
from flows.patience import outlasting
from flows.reconcile import home_tag
from flows.stages import NightTooLong

_HOUR_S = 3600.0


@flow(name="nightly")
def nightly(
    overrides: Overrides | None = None,
    time_limit_hours: LimitHours = 20.0,
    missed_within_hours: MissedHours = 12.0,
    resumes: Resumes = 3,
) -> State | None:
    """A whole night: prepare, search, train, evaluate, register, promote. It goes on with one that was interrupted.

    The last two parameters are heeded by the worker, in `flows.watch`.

    Args:
        overrides: Words KEY=VALUE, each a key of params.yaml for this and the next nights, as train.epochs=30.
        time_limit_hours: A night that takes longer is ended; the next one goes on where it stopped.
        missed_within_hours: A night that was due while this machine was down is made up for when it is back, once,
            unless it was due more hours ago than this.
        resumes: How often a night whose process was killed is started again by itself.
    """
    environment, limit_s = read_environment(), time_limit_hours * _HOUR_S
    if Nights(environment.home / "nights").run_in(Path.cwd()) and not outlasting(_waits):
        return Cancelled(message="skipped: another night is under way")
    try:
        with (
            failures_noticed(environment),
            _limited(limit_s),
            by_hand.opened(overrides or [], environment, patience_s=limit_s) as night,
        ):
            outlasting(lambda: _name_run(night, environment))
            by_hand.nightly.fn(night.name)
    except httpx.TransportError as error:  # none of the night's faults: it is started again where it was
        return Crashed(message=f"Prefect does not answer ({type(error).__name__})")
    return None


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raises NightTooLong in whatever is done when the time is up, a wait for a stage included: it is told to end.

    Prefect's own limit comes between two steps of Python, and a night waits for hours in one.
    """

    def end(*_: object) -> None:
        raise NightTooLong(f"the night has taken {seconds / _HOUR_S:g} hours: time_limit_hours")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _waits() -> bool:
    """Whether a night waits for one that was begun by hand, as the deployment has it for its own runs."""
    with get_client(sync_client=True) as client:
        options = client.read_deployment(str(deployment.id)).concurrency_options
    return options is None or options.collision_strategy is ConcurrencyLimitStrategy.ENQUEUE


def _name_run(night: Night, environment: Environment) -> None:
    """The run bears the name of its night, as one by hand does."""
    with get_client(sync_client=True) as client:
        tags = {*flow_run.tags, home_tag(environment)}
        client.update_flow_run(flow_run.id, name=night.name, tags=sorted(tags))

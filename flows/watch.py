"""What a worker looks after between two questions for work: nights that were missed, that crashed, that left something.

Prefect's server knows what is due and what has said that it runs; this machine knows which processes live.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client  # noqa: TID251
from prefect.client.schemas.filters import (  # noqa: TID251
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType  # noqa: TID251
from prefect.client.schemas.sorting import FlowRunSort  # noqa: TID251
from prefect.states import Cancelled, Crashed  # noqa: TID251

from cnn.config.environment import Environment, Event
from cnn.runtime import is_alive
from cnn.service.plans import name_in, work_pool
from cnn.service.state import is_night
from flows.notices import notify

log = logging.getLogger(__name__)

NIGHTLY = "nightly"
RESUMED, GIVEN_UP = "resumed-", "given-up"

_RUN_ID = "PREFECT__FLOW_RUN_ID"
_WAITS = "AwaitingConcurrencySlot"
_DUE = timedelta(seconds=90)  # a run that is due for less is about to be taken
_PENDING = timedelta(minutes=5)  # from being taken to its process
_LEFT_S = 90.0
_HOUR_S = 3600.0


@dataclass(slots=True)
class Watch:
    """Looks after the runs of this machine's work pool; what it does twice does nothing.

    Args:
        told: When leftovers of a run were asked to end, by process id.
    """

    environment: Environment
    told: dict[int, float] = field(default_factory=dict)

    def look(self) -> list[str]:
        """A sentence for each thing that was done."""
        pool = work_pool(self.environment)
        with get_client(sync_client=True) as client:
            return [*drop_missed(client, pool), *mark_crashed(client, pool), *self._resume(client, pool)]

    def _resume(self, client: SyncPrefectClient, pool: str) -> Iterable[str]:
        """Start the latest night again if it has crashed, once nothing of it is left."""
        run = next(iter(_runs(client, pool, NIGHTLY, _ENDED | _OPEN, limit=1)), None)
        if run is None or not is_to_be_resumed(run, datetime.now(UTC)) or self._end_leftovers(str(run.id)):
            return
        n, most = resumptions(run.tags) + 1, int(_bound(run, "resumes", 3))
        if n > most or run.deployment_id is None:
            client.update_flow_run(run.id, tags=[*run.tags, GIVEN_UP])
            body = f"{run.name} was started {n} times, and its process died each time"
            notify(self.environment, Event.NIGHT_FAILED, "the night failed", body)
            yield f"{run.name} crashed, and is not started again"
            return
        tags = [*(tag for tag in run.tags if not tag.startswith(RESUMED)), f"{RESUMED}{n}"]
        client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters,
            tags=tags,
            idempotency_key=f"resumption of {run.id}",  # two workers, or one that was killed here, start it once
        )
        yield f"{run.name} crashed, and is started again ({n} of {most})"

    def _end_leftovers(self, run: str) -> bool:
        """Whether processes of a run are there still; they are asked to end, and killed if they do not.

        A killed night leaves its stage, which keeps what it has when it is asked to end. Its workers it ends itself.
        """
        left = processes_of(run)
        if any(is_night(process) for process in left):
            return True  # it is ending by itself
        for process in left:
            with suppress(psutil.Error):
                if process.pid not in self.told and "cnn.search.worker" not in process.cmdline():
                    process.terminate()
                if time.monotonic() - self.told.setdefault(process.pid, time.monotonic()) > _LEFT_S:
                    process.kill()
        return bool(left)


def drop_missed(client: SyncPrefectClient, pool: str) -> list[str]:
    """Cancel the nights that are not to be made up for; a sentence for each."""
    said = []
    for run, reason in missed(_runs(client, pool, NIGHTLY, {StateType.SCHEDULED}), datetime.now(UTC)):
        client.set_flow_run_state(run.id, Cancelled(message=reason), force=True)
        said.append(f"{run.name} {reason}")
    return said


def missed(scheduled: Iterable[FlowRun], now: datetime) -> list[tuple[FlowRun, str]]:
    """Nights not to be made up for, each with its reason: of those that were due while nobody took them, the last one
    runs, and none that is too old.

    What a person has started is not among them, and neither is a night that waits for the one under way: it was taken
    in time.
    """
    due = [(run.expected_start_time, run) for run in scheduled if run.expected_start_time and _nobody_took(run, now)]
    last = max((moment for moment, _ in due), default=now)
    found = []
    for moment, run in due:
        if moment != last:
            found.append((run, "missed: a later one makes up for it"))
        elif (hours := (now - moment).total_seconds() / _HOUR_S) > _bound(run, "missed_within_hours", 12.0):
            found.append((run, f"missed: it was due {hours:.1f} hours ago"))
    return found


def is_to_be_resumed(latest: FlowRun, now: datetime) -> bool:
    """Whether the latest night has crashed, lately enough, and nobody has given it up."""
    state = latest.state
    if state is None or not state.is_crashed() or GIVEN_UP in latest.tags:
        return False
    return (now - state.timestamp).total_seconds() / _HOUR_S <= _bound(latest, "missed_within_hours", 12.0)


def mark_crashed(client: SyncPrefectClient, pool: str) -> list[str]:
    """Runs of this home's pool that are shown as running, and whose process is gone with the worker that would say so.

    The processes are looked up after the runs: one that has ended meanwhile has said how, which is asked for once more.
    """
    open_runs = [run for run in _runs(client, pool, None, _OPEN - {StateType.SCHEDULED}) if not _just_taken(run)]
    gone = [run for run in open_runs if not processes_of(str(run.id), nights_only=True)]
    said = []
    for run in gone:
        state = client.read_flow_run(run.id).state
        if state is not None and state.type in _OPEN:
            client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
            said.append(f"{run.name} was left running: marked as crashed")
    return said


def resumptions(tags: Sequence[str]) -> int:
    """How often a run is a night started again.

    Example:
        >>> resumptions(["home-3f9a21bc", "resumed-2"]), resumptions([])
        (2, 0)
    """
    numbers = [tag.removeprefix(RESUMED) for tag in tags if tag.startswith(RESUMED)]
    return max((int(number) for number in numbers if number.isdigit()), default=0)


def processes_of(run: str, *, nights_only: bool = False) -> list[psutil.Process]:
    """Living processes of a flow run, by the id in their environment, which what they start inherits.

    Args:
        nights_only: Only the process that speaks to Prefect.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(_RUN_ID) == run and is_alive(process) and (not nights_only or is_night(process)):
                found.append(process)
    return found


_OPEN = {StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
_ENDED = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED}


def _runs(
    client: SyncPrefectClient, pool: str, deployment: str | None, states: set[StateType], *, limit: int = 200
) -> list[FlowRun]:
    """Runs of a pool, the latest first; those scheduled for later are not among them."""
    named = DeploymentFilter(name=DeploymentFilterName(any_=[name_in(pool, deployment)])) if deployment else None
    found = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(states))),
        ),
        deployment_filter=named,
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        sort=FlowRunSort.START_TIME_DESC,  # of those without, when they are due
        limit=200,
    )
    now = datetime.now(UTC)
    return [run for run in found if run.expected_start_time is None or run.expected_start_time <= now][:limit]


def _nobody_took(run: FlowRun, now: datetime) -> bool:
    waits = run.state is not None and run.state.name == _WAITS
    is_late = run.expected_start_time is not None and now - run.expected_start_time > _DUE
    return run.auto_scheduled and is_late and not waits


def _just_taken(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_pending() and _age(run.state.timestamp) < _PENDING


def _age(moment: datetime | None) -> timedelta:
    return datetime.now(UTC) - moment if moment else timedelta(0)


def _bound(run: FlowRun, name: str, otherwise: float) -> float:
    return float(run.parameters.get(name, otherwise))

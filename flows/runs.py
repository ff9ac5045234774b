"""Flow runs of a work pool: what Prefect's server says of them, and which processes live for them."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import psutil
from prefect.client.orchestration import SyncPrefectClient  # noqa: TID251
from prefect.client.schemas.filters import (  # noqa: TID251
    DeploymentFilter,
    DeploymentFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType  # noqa: TID251
from prefect.client.schemas.sorting import FlowRunSort  # noqa: TID251

from cnn.runtime import is_alive
from cnn.service.plans import name_in
from cnn.service.state import flow_run_of, is_night

NIGHTLY = "nightly"
TAKEN = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
OPEN = {StateType.SCHEDULED, *TAKEN}
ENDED = {StateType.COMPLETED, StateType.FAILED, StateType.CRASHED}

_PAGE = 200  # the most that the server gives at once


def runs(
    client: SyncPrefectClient, pool: str, states: set[StateType], *, deployment: str | None = None, page: int = _PAGE
) -> Iterator[FlowRun]:
    """Runs of a pool in some states, the latest first; those scheduled for later are not among them.

    Args:
        deployment: Only its runs, by its name in `infra/prefect.yaml`; None: all.
        page: How many are asked for at once.
    """
    due = FlowRunFilterExpectedStartTime.model_validate({"before_": datetime.now(UTC)})
    named = DeploymentFilter(name=DeploymentFilterName(any_=[name_in(pool, deployment)])) if deployment else None
    wanted = FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(states)))
    offset = 0
    while True:
        found = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=wanted, expected_start_time=due),
            deployment_filter=named,
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            sort=FlowRunSort.START_TIME_DESC,  # of those without, when they are due
            limit=page,
            offset=offset,
        )
        yield from found
        if len(found) < page:
            return
        offset += page


def processes_of(run: str, *, nights_only: bool = False) -> list[psutil.Process]:
    """Living processes of a flow run, by the id in their environment, which what they start inherits.

    Args:
        nights_only: Only the process that speaks to Prefect.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if flow_run_of(process) == run and is_alive(process) and (not nights_only or is_night(process)):
                found.append(process)
    return found

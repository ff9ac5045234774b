"""Three ledgers compared: the studies, MLflow, Prefect. Whatever is shown as running and is not is ended."""

from prefect.client.orchestration import get_client  # noqa: TID251
from prefect.client.schemas.filters import (  # noqa: TID251
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType  # noqa: TID251
from prefect.client.schemas.sorting import FlowRunSort  # noqa: TID251
from prefect.states import Crashed  # noqa: TID251

from cnn import wiring
from cnn.config.environment import Environment, read_environment
from cnn.config.reading import read_params
from cnn.nights import Nights
from cnn.search.reconcile import reconcile


def reconcile_all(*, flow_run: str = "") -> list[str]:
    """End what is dead in MLflow and in Prefect; a sentence for each.

    Args:
        flow_run: Id of the flow run that asks; empty outside a flow.
    """
    environment, params = read_environment(), read_params()
    with wiring.tracker(environment, params.search.experiment, source="cnn doctor") as tracker:
        said = reconcile(environment.studies, tracker, params.search.experiment)
    return said + reconcile_flow_runs(environment, flow_run=flow_run)


def home_tag(environment: Environment) -> str:
    """The tag of this home's flow runs: homes that share a Prefect server may have nights of equal names."""
    return f"home-{environment.home_id()}"


def reconcile_flow_runs(environment: Environment, *, flow_run: str = "") -> list[str]:
    """Mark as crashed the flow runs of nights that no process holds.

    A night that goes on has an earlier flow run of the same name: only one process can hold a night, so whatever bears
    the name of the flow run that asks, and is another one, is dead.
    """
    nights = Nights(environment.home / "nights")
    running = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
        tags=FlowRunFilterTags(all_=[home_tag(environment)]),
    )
    said = []
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=running, sort=FlowRunSort.START_TIME_DESC, limit=200)
        own = {run.name for run in runs if str(run.id) == flow_run}
        for run in runs:
            is_alive = str(run.id) == flow_run or (run.name not in own and nights.runs(run.name))
            if is_alive or not nights.knows(run.name):
                continue
            client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
            said.append(f"flow run {run.name} was left running: marked as crashed; its night can be gone on with")
    return said

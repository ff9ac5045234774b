"""Three ledgers compared: the studies, MLflow, Prefect. Whatever is shown as running and is not is ended."""

from prefect.client.orchestration import get_client  # noqa: TID251
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType  # noqa: TID251
from prefect.client.schemas.objects import StateType  # noqa: TID251
from prefect.client.schemas.sorting import FlowRunSort  # noqa: TID251
from prefect.states import Crashed  # noqa: TID251

from cnn import wiring
from cnn.config.environment import Environment, read_environment
from cnn.config.reading import read_params
from cnn.nights import Nights
from cnn.search.reconcile import reconcile


def reconcile_all(*, apart_from: str = "") -> list[str]:
    """End what is dead in MLflow and in Prefect; a sentence for each.

    Args:
        apart_from: A night that is under way in this very process.
    """
    environment, params = read_environment(), read_params()
    with wiring.tracker(environment, params.search.experiment, source="cnn doctor") as tracker:
        said = reconcile(environment.studies, tracker, params.search.experiment)
    return said + reconcile_flow_runs(environment, apart_from=apart_from)


def reconcile_flow_runs(environment: Environment, *, apart_from: str = "") -> list[str]:
    """Mark as crashed the flow runs of nights that no process holds."""
    nights = Nights(environment.home / "nights")
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    said = []
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=running, sort=FlowRunSort.START_TIME_DESC, limit=200)
        for run in runs:
            if run.name == apart_from or not nights.knows(run.name) or nights.runs(run.name):
                continue
            client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
            said.append(f"flow run {run.name} was left running: marked as crashed; the next night goes on with it")
    return said

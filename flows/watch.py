"""What a worker looks after between two questions for work: nights that were missed, that crashed, that left something.

Prefect's server knows what is due and what has said that it runs; this machine knows which processes live.
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client  # noqa: TID251
from prefect.client.schemas.objects import FlowRun, StateType  # noqa: TID251
from prefect.exceptions import PrefectException  # noqa: TID251
from prefect.states import Cancelled, Crashed  # noqa: TID251

from cnn.config.environment import Environment, Event
from cnn.errors import IntegrityError
from cnn.nights import Nights
from cnn.service.plans import work_pool
from cnn.service.state import flow_run_of, is_night
from flows.notices import notify
from flows.runs import ENDED, NIGHTLY, OPEN, TAKEN, processes_of, runs

RESUMED, GIVEN_UP, ASKED = "resumed-", "given-up", "asked-to-end"

NO_ANSWER = (httpx.HTTPError, PrefectException)
"""What may come of a question to Prefect: silence, or a refusal, as of a run that somebody has just deleted."""

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

    def ask_to_end(self, night: psutil.Process) -> None:
        """Ask a night to end, and have its run say that it was asked: its next start makes up for no death."""
        run = flow_run_of(night)
        with suppress(psutil.Error):
            night.terminate()
        with suppress(*NO_ANSWER, ValueError), get_client(sync_client=True) as client:
            tags = client.read_flow_run(UUID(run)).tags
            client.update_flow_run(UUID(run), tags=[*tags, ASKED])

    def _resume(self, client: SyncPrefectClient, pool: str) -> Iterable[str]:
        """Start the latest night again if it has crashed, once nothing of it is left."""
        run = next(runs(client, pool, ENDED | OPEN, deployment=NIGHTLY, page=1), None)
        if run is None or not is_to_be_resumed(run, datetime.now(UTC)) or self._has_finished(run):
            return
        if self._end_leftovers(str(run.id)):
            return
        n, most = deaths(run.tags), int(_bound(run, "resumes", 3))
        if n > most or run.deployment_id is None:
            client.update_flow_run(run.id, tags=[*run.tags, GIVEN_UP])
            body = f"{run.name} is not started again: its process died {n} times in a row"
            notify(self.environment, Event.NIGHT_FAILED, "the night failed", body)
            yield body
            return
        kept = [tag for tag in run.tags if not tag.startswith(RESUMED) and tag != ASKED]
        client.create_flow_run_from_deployment(
            run.deployment_id,
            parameters=run.parameters,
            tags=[*kept, f"{RESUMED}{n}"],
            idempotency_key=f"resumption of {run.id}",  # two workers, or one that was killed here, start it once
        )
        how = "was asked to end" if ASKED in run.tags else "crashed"
        yield f"{run.name} {how}, and is started again ({n} of {most})"

    def _has_finished(self, run: FlowRun) -> bool:
        """Whether a crashed run's night came to its end all the same, as far as this machine knows.

        It could not say so, or somebody has gone on with it by hand: started again, it would be another night.
        """
        with suppress(IntegrityError):
            return Nights(self.environment.home / "nights").read(run.name).finished
        return False

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
    for run, reason in missed(runs(client, pool, {StateType.SCHEDULED}, deployment=NIGHTLY), datetime.now(UTC)):
        client.set_flow_run_state(run.id, Cancelled(message=reason), force=True)
        said.append(f"{run.name} {reason}")
    return said


def missed(scheduled: Iterable[FlowRun], now: datetime) -> list[tuple[FlowRun, str]]:
    """Nights not to be made up for, each with its reason: of those that were due while nobody took them, the last one
    runs, and none that is too old.

    What a person has started is not among them, and neither is a night that waits for the one under way: it is offered
    anew twice a minute.
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
    open_runs = [run for run in runs(client, pool, TAKEN) if not _just_taken(run)]
    gone = [run for run in open_runs if not processes_of(str(run.id), nights_only=True)]
    said = []
    for run in gone:
        state = client.read_flow_run(run.id).state
        if state is not None and state.type in OPEN:
            client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
            said.append(f"{run.name} was left running: marked as crashed")
    return said


def deaths(tags: Sequence[str]) -> int:
    """How often in a row a night's process has died, by the tags of its latest run; being asked to end is no death.

    Example:
        >>> deaths(["home-3f9a21bc"]), deaths(["resumed-2"]), deaths(["resumed-2", "asked-to-end"])
        (1, 3, 2)
    """
    numbers = [tag.removeprefix(RESUMED) for tag in tags if tag.startswith(RESUMED)]
    earlier = max((int(number) for number in numbers if number.isdecimal()), default=0)
    return earlier + (ASKED not in tags)


def _nobody_took(run: FlowRun, now: datetime) -> bool:
    """Whether the schedule's run waits for a worker: one that waits for its turn is scheduled anew each time."""
    moment = run.next_scheduled_start_time or run.expected_start_time
    return run.auto_scheduled and moment is not None and now - moment > _DUE


def _just_taken(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_pending() and _age(run.state.timestamp) < _PENDING


def _age(moment: datetime | None) -> timedelta:
    return datetime.now(UTC) - moment if moment else timedelta(0)


def _bound(run: FlowRun, name: str, otherwise: float) -> float:
    return float(run.parameters.get(name, otherwise))

"""What a worker is asked to do, and what it answers: plain values that travel as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from cnn.errors import StorageError
from cnn.records import Cost, Curve, EpochRow, Outcome, Size, TrialState, epoch_row


class JobId(NamedTuple):
    """Trial `number` of the study; `repeat` 0 is the trial itself, 1 and up train a finalist with a fresh seed."""

    number: int
    repeat: int = 0

    def __str__(self) -> str:
        return f"{self.number}" if self.repeat == 0 else f"{self.number}/seed-{self.repeat}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One training run.

    Args:
        recipe: The resolved recipe as a JSON document.
        folder: Where its checkpoint lies; a job whose folder holds one goes on from there.
        size: Of its network, where it has been measured before.
    """

    id: JobId
    recipe: Mapping[str, Any]
    seed: int
    folder: Path
    size: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What all jobs of a search share.

    Args:
        data: Folder of the prepared arrays.
        train_limit: Train on a stratified part of so many images; None for all.
        threads: Threads of one worker.
        start: Folder of the weights that recipes with `transfer` start from; empty for none.
        limits: The most a network may have, by measure (`Size`'s fields); one with more is not trained.
    """

    data: Path
    train_limit: int | None
    seed: int
    threads: int
    start: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    """A job finished an epoch, having cost so much since it was last started."""

    id: JobId
    row: EpochRow
    cost: Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSized:
    """A job's network was measured, before its first epoch."""

    id: JobId
    size: Size


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """A job ended by itself; `outcome.cost` counts from when it was last started."""

    id: JobId
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLost:
    """The worker died under the job."""

    id: JobId
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobBlocked:
    """The machine, and no recipe, keeps a job from being trained: a full disk, a read-only folder."""

    id: JobId
    subject: str
    received: str
    expected: str
    change: str

    def error(self) -> StorageError:
        """What the user is told."""
        return StorageError(self.subject, received=self.received, expected=self.expected, change=self.change)


Event = JobSized | EpochDone | JobEnded | JobLost
Message = JobSized | EpochDone | JobEnded | JobBlocked
"""What a worker says."""


def job_document(job: Job) -> dict[str, Any]:
    """A job as JSON."""
    body = {"id": list(job.id), "recipe": dict(job.recipe), "seed": job.seed, "folder": str(job.folder)}
    return body | ({} if job.size is None else {"size": asdict(job.size)})


def job_from(document: Mapping[str, Any]) -> Job:
    """A job from its JSON document."""
    return Job(
        id=JobId(*document["id"]),
        recipe=document["recipe"],
        seed=document["seed"],
        folder=Path(document["folder"]),
        size=Size(**document["size"]) if "size" in document else None,
    )


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """An outcome as JSON; NaN stays NaN. The size is no part of it: it is said and written down before the outcome."""
    document = asdict(outcome) | {"state": outcome.state.value}
    del document["size"]
    return document


def outcome_from(document: Mapping[str, Any]) -> Outcome:
    """An outcome from its JSON document."""
    return Outcome(
        number=document["number"],
        state=TrialState(document["state"]),
        reason=document["reason"],
        curve=tuple(epoch_row(row) for row in document["curve"]),
        cost=Cost(**document["cost"]),
    )


def encode(message: Message) -> bytes:
    """A message as one line of JSON."""
    body: dict[str, Any] = {"id": list(message.id)}
    match message:
        case JobSized():
            body |= {"size": asdict(message.size)}
        case EpochDone():
            body |= {"row": asdict(message.row), "cost": asdict(message.cost)}
        case JobEnded():
            body |= {"outcome": outcome_document(message.outcome)}
        case JobBlocked():
            body |= {"blocked": {name: value for name, value in asdict(message).items() if name != "id"}}
    return json.dumps(body).encode() + b"\n"


def decode(line: bytes) -> Message:
    """The message of a line."""
    body = json.loads(line)
    job_id = JobId(*body["id"])
    if "blocked" in body:
        return JobBlocked(id=job_id, **body["blocked"])
    if "size" in body:
        return JobSized(id=job_id, size=Size(**body["size"]))
    if "row" in body:
        return EpochDone(id=job_id, row=epoch_row(body["row"]), cost=Cost(**body["cost"]))
    return JobEnded(id=job_id, outcome=outcome_from(body["outcome"]))


def cut_off(job: JobId, state: TrialState, reason: str, curve: Curve) -> Outcome:
    """How a job ends that its worker will say nothing more of."""
    return Outcome(number=job.number, state=state, reason=reason, curve=curve, cost=Cost(epochs=len(curve)))


def with_cost(outcome: Outcome, cost: Cost) -> Outcome:
    """The outcome with what earlier attempts had cost added."""
    return replace(outcome, cost=outcome.cost + cost)

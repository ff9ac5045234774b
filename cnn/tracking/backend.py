"""Events into MLflow, by `MlflowClient` with explicit run ids.

Each event may come twice, after a kill or a lost answer: a run is found by its tag before it is created, MLflow drops
a metric whose key, step, time and value it has, params say the same, tags and files overwrite.
"""

import getpass
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from mlflow.entities import Metric, Param, RunTag  # noqa: TID251
from mlflow.exceptions import MlflowException  # noqa: TID251

from cnn.config.environment import Environment
from cnn.errors import IntegrityError
from cnn.tracking.client import HOME, KEY, PARENT, artifact_root, checked_key, connect, experiment_id, find_run
from cnn.tracking.delivery import Refused, UnknownRun
from cnn.tracking.spool import Event, Kind, Spool

_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE", "MALFORMED_REQUEST")
_MOST_METRICS, _MOST_PARAMS, _MOST_TAGS = 900, 100, 100  # a call; MLflow takes 1,000 of all kinds together
_LONGEST_PARAM, _LONGEST_TAG, _LONGEST_NAME = 6000, 8000, 250  # characters

_Item = TypeVar("_Item")


class MlflowBackend:
    """Delivers events of one spool to the environment's tracking address."""

    def __init__(self, environment: Environment, spool: Spool, source: str) -> None:
        self._environment, self._spool, self._source = environment, spool, source
        self._client, self._home = connect(environment), environment.home_id()
        self._run_ids: dict[str, str] = {}
        spool.sweep()

    def deliver(self, run: str, events: Sequence[Event]) -> None:
        try:
            if events[0].kind is Kind.START:
                self._start(run, events[0])
            else:
                self._say(self._run_id(run), events)
        except IntegrityError as error:  # of the spool's copy of a file
            raise Refused(str(error)) from error
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                self._run_ids.clear()  # a server that lost one run, as with its database, has lost its parent too
                raise UnknownRun(run) from error
            if error.error_code in _REFUSALS:
                raise Refused(str(error)) from error
            raise

    def _say(self, run_id: str, events: Sequence[Event]) -> None:
        body = events[0].body
        match events[0].kind:
            case Kind.FILE:
                self._upload(run_id, body)
            case Kind.END:
                self._client.set_terminated(run_id, status=body["state"], end_time=events[0].said_ms)
            case _:
                self._log(run_id, events)

    def _start(self, run: str, event: Event) -> None:
        found = find_run(self._client, run, self._home)
        run_id = found.info.run_id if found else self._create(run, event)
        self._run_ids[run] = run_id
        if found and found.info.status != "RUNNING":
            self._client.update_run(run_id, status="RUNNING")
        params = [
            Param(name[:_LONGEST_NAME], _cut(value, _LONGEST_PARAM)) for name, value in event.body["params"].items()
        ]
        for some in _chunks(params, _MOST_PARAMS):
            self._client.log_batch(run_id, params=some)

    def _create(self, run: str, event: Event) -> str:
        body = event.body
        experiment = experiment_id(self._client, body["experiment"], artifact_root(self._environment))
        tags = {KEY: checked_key(run), HOME: self._home, "mlflow.user": _user(), "mlflow.source.name": self._source}
        tags |= {"mlflow.source.type": "LOCAL", **body["tags"]}
        if "git_revision" in body["tags"]:
            tags["mlflow.source.git.commit"] = body["tags"]["git_revision"].removesuffix("+changes")
        tags |= self._parent_tags(body["parent"]) if body["parent"] else {}
        tags = {name: _cut(value, _LONGEST_TAG) for name, value in tags.items()}
        created = self._client.create_run(experiment, start_time=event.said_ms, tags=tags, run_name=body["name"])
        return str(created.info.run_id)

    def _parent_tags(self, parent: str) -> dict[str, str]:
        """Where a run hangs; one whose parent nobody can begin stands alone, or it would wait for ever."""
        try:
            return {PARENT: parent, "mlflow.parentRunId": self._run_id(parent)}
        except UnknownRun:
            if self._spool.start_of(self._environment.mlflow_uri, parent):
                raise
            return {PARENT: parent}

    def _run_id(self, run: str) -> str:
        if run not in self._run_ids:
            found = find_run(self._client, run, self._home)
            if found is None:
                raise UnknownRun(run)
            self._run_ids[run] = found.info.run_id
        return self._run_ids[run]

    def _log(self, run_id: str, events: Sequence[Event]) -> None:
        tags: dict[str, str] = {}
        for event in events:
            tags |= event.body["tags"] if event.kind is Kind.TAGS else {}
        metrics = [metric for event in events if event.kind is Kind.FIGURES for metric in _metrics(event)]
        labels = [RunTag(name, _cut(value, _LONGEST_TAG)) for name, value in tags.items()]
        batches = zip_longest(_chunks(metrics, _MOST_METRICS), _chunks(labels, _MOST_TAGS), fillvalue=())
        for some, few in batches:
            self._client.log_batch(run_id, metrics=some, tags=few)

    def _upload(self, run_id: str, body: Mapping[str, Any]) -> None:
        """MLflow names a file after its source: the spool's copy is given its old name in a folder of its own."""
        with tempfile.TemporaryDirectory(dir=self._spool.files.parent) as folder:
            named = Path(folder) / body["name"]
            shutil.copyfile(self._spool.kept_file(body["sha256"]), named)
            self._client.log_artifact(run_id, str(named), body["folder"] or None)


def _metrics(event: Event) -> list[Any]:
    step = event.body["step"]
    return [Metric(name, value, event.said_ms, step) for name, value in event.body["figures"].items()]


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _cut(value: object, longest: int) -> str:
    text = str(value)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"

"""Runs as MLflow gives them back."""

import re
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlparse

from cnn.config.environment import Environment
from cnn.records import EpochRow
from cnn.tracking.client import KEY, PARENT, answering, checked_key, connect, find_run, of_home, search_runs
from cnn.tracking.tracker import LoggedRun, RunState

_EPOCH_FIGURES = tuple(EpochRow(**dict.fromkeys(EpochRow.__dataclass_fields__, 0)).figures())


class MlflowReader:
    """`RunReader` on the environment's tracking address.

    Raises:
        ServiceError: The server does not answer.
    """

    def __init__(self, environment: Environment) -> None:
        self._uri, self._home = environment.mlflow_uri, environment.home_id()
        self._client = answering(lambda: connect(environment), self._uri)

    def open_runs(self, experiment: str) -> tuple[str, ...]:
        condition = f"attributes.status = 'RUNNING' and {of_home(self._home)}"
        runs = self._ask(lambda: search_runs(self._client, condition, experiment))
        return tuple(sorted(run.data.tags[KEY] for run in runs if KEY in run.data.tags))

    def read_run(self, key: str) -> LoggedRun | None:
        run = self._find(key)
        return None if run is None else self._ask(lambda: self._logged(key, run))

    def read_file(self, key: str, path: str) -> bytes:
        run = self._find(key)
        if run is None or path not in self._files(run.info.run_id):
            raise FileNotFoundError(f"{key}: {path}")
        with TemporaryDirectory() as folder:
            return Path(self._ask(lambda: self._client.download_artifacts(run.info.run_id, path, folder))).read_bytes()

    def trial_folders(self, study: str) -> list[Path]:
        """Where the files of a study's trials lie on this machine; empty where a server keeps them."""
        condition = f"tags.`{PARENT}` = '{checked_key(study)}' and {of_home(self._home)}"
        runs = self._ask(lambda: search_runs(self._client, condition))
        trials = [run for run in runs if run.data.tags[KEY] != f"{study}/candidate"]
        places = [urlparse(run.info.artifact_uri) for run in trials]
        return [Path(unquote(place.path)) for place in places if place.scheme in ("file", "")]

    def _find(self, key: str) -> Any | None:
        """By its key, or by the id that MLflow gave it, as its UI shows."""
        if re.fullmatch("[0-9a-f]{32}", key):
            from mlflow.exceptions import MlflowException  # noqa: TID251

            try:
                return self._ask(lambda: self._client.get_run(key))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                return None
        return self._ask(lambda: find_run(self._client, key, self._home))

    def _logged(self, key: str, run: Any) -> LoggedRun:
        tags = run.data.tags
        state = run.info.status
        return LoggedRun(
            key=key,
            name=run.info.run_name,
            parent=tags.get(PARENT, ""),
            params=dict(run.data.params),
            tags={name: value for name, value in tags.items() if not name.startswith(("mlflow.", "cnn."))},
            figures=dict(run.data.metrics),
            epochs=self._epochs(run),
            state=RunState(state) if state in tuple(RunState) else None,
            files=tuple(sorted(self._files(run.info.run_id))),
        )

    def _epochs(self, run: Any) -> tuple[dict[str, float], ...]:
        by_step: dict[int, dict[str, float]] = {}
        for name in _EPOCH_FIGURES:
            if name in run.data.metrics:
                for metric in self._client.get_metric_history(run.info.run_id, name):
                    by_step.setdefault(metric.step, {})[name] = metric.value
        return tuple(by_step[step] for step in sorted(by_step))

    def _files(self, run_id: str, folder: str | None = None) -> list[str]:
        found: list[str] = []
        for entry in self._client.list_artifacts(run_id, folder):
            found += self._files(run_id, entry.path) if entry.is_dir else [entry.path]
        return found

    def _ask(self, call: Callable[[], Any]) -> Any:
        return answering(call, self._uri)

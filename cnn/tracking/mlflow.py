"""The tracker that speaks to MLflow: a spool on this machine's disk, and one thread that empties it.

MLflow is imported in that thread, so that neither a command's start nor an epoch waits for it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cnn.config.environment import Environment
from cnn.records import EpochRow
from cnn.tracking.delivery import Backend, Delivery
from cnn.tracking.spool import Kind, Spool
from cnn.tracking.tracker import LoggedRun, Run, RunState

if TYPE_CHECKING:
    from cnn.tracking.reader import MlflowReader


class MlflowTracker:
    """`Tracker` and `RunReader` on the environment's tracking address.

    Args:
        experiment: Where new runs appear.
        source: What MLflow shows as a run's source, such as `cnn search`.
    """

    def __init__(self, environment: Environment, experiment: str, *, source: str = "cnn") -> None:
        self._environment, self._experiment, self._source = environment, experiment, source
        self._destination = environment.mlflow_uri
        self._spool = Spool(environment.home)
        self._delivery = Delivery(self._spool, self._destination, self._connect)
        self._reader: MlflowReader | None = None

    def start(self, run: Run) -> None:
        body = {"experiment": self._experiment, "name": run.name, "parent": run.parent}
        self._say(run.key, Kind.START, body | {"params": dict(run.params), "tags": dict(run.tags)})

    def log_epoch(self, key: str, row: EpochRow) -> None:
        body = {"step": row.epoch, "figures": row.figures()}
        self._say(key, Kind.FIGURES, body, said_once=f"epoch {row.epoch}")

    def log_figures(self, key: str, figures: Mapping[str, float], *, step: int = 0) -> None:
        plain = {name: float(value) for name, value in figures.items()}
        self._say(key, Kind.FIGURES, {"step": step, "figures": plain}, said_once=f"{step} {sorted(plain.items())}")

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        self._say(key, Kind.TAGS, {"tags": {name: str(value) for name, value in tags.items()}})

    def log_file(self, key: str, path: Path, folder: str = "") -> None:
        self._spool.append_file(self._destination, key, path, folder)
        self._delivery.wake()

    def end(self, key: str, state: RunState) -> None:
        self._say(key, Kind.END, {"state": state})

    def flush(self, timeout_s: float) -> bool:
        return self._delivery.flush(timeout_s)

    def close(self) -> None:
        if self._delivery.close():
            self._spool.close()

    def unended(self) -> tuple[str, ...]:
        return self._spool.unended(self._destination)

    def open_runs(self, experiment: str) -> tuple[str, ...]:
        return self._reading().open_runs(experiment)

    def read_run(self, key: str) -> LoggedRun | None:
        return self._reading().read_run(key)

    def read_file(self, key: str, path: str) -> bytes:
        return self._reading().read_file(key, path)

    def _say(self, key: str, kind: Kind, body: Mapping[str, object], *, said_once: str = "") -> None:
        self._spool.append(self._destination, key, kind, body, said_once=said_once)
        self._delivery.wake()

    def _connect(self) -> Backend:
        from cnn.tracking.client import import_mlflow

        import_mlflow()
        from cnn.tracking.backend import MlflowBackend

        return MlflowBackend(self._environment, self._spool, self._source)

    def _reading(self) -> "MlflowReader":
        if self._reader is None:
            from cnn.tracking.reader import MlflowReader

            self._reader = MlflowReader(self._environment)
        return self._reader

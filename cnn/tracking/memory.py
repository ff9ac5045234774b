"""A tracker that keeps everything in dicts: for `tracking: none` and for tests of whoever speaks to a tracker."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cnn.records import EpochRow
from cnn.tracking.tracker import LoggedRun, Run, RunState


@dataclass(slots=True)
class _Kept:
    run: Run
    experiment: str
    tags: dict[str, str]
    figures: dict[str, tuple[int, float]] = field(default_factory=dict)
    epochs: dict[int, dict[str, float]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    state: RunState | None = None


class MemoryTracker:
    """Tracker and reader at once; nothing outlives the process.

    Example:
        >>> tracker = MemoryTracker()
        >>> tracker.start(Run(key="study/0", name="trial 0", params={"model.filters": 32}))
        >>> tracker.log_figures("study/0", {"best_val_accuracy": 0.75})
        >>> tracker.end("study/0", RunState.FINISHED)
        >>> tracker.read_run("study/0").figures
        {'best_val_accuracy': 0.75}
    """

    def __init__(self, experiment: str = "memory") -> None:
        self._experiment = experiment
        self._runs: dict[str, _Kept] = {}

    def start(self, run: Run) -> None:
        kept = self._runs.setdefault(run.key, _Kept(run, self._experiment, dict(run.tags)))
        kept.state = None

    def log_epoch(self, key: str, row: EpochRow) -> None:
        kept = self._runs[key]
        if row.epoch not in kept.epochs:
            kept.epochs[row.epoch] = row.figures()
            self._latest(kept, row.figures(), row.epoch)

    def log_figures(self, key: str, figures: Mapping[str, float], *, step: int = 0) -> None:
        self._latest(self._runs[key], figures, step)

    def set_tags(self, key: str, tags: Mapping[str, str]) -> None:
        self._runs[key].tags.update(tags)

    def log_file(self, key: str, path: Path, folder: str = "") -> None:
        self._runs[key].files[f"{folder}/{path.name}".lstrip("/")] = path.read_bytes()

    def end(self, key: str, state: RunState) -> None:
        self._runs[key].state = state

    def flush(self, timeout_s: float) -> bool:
        return True

    def close(self) -> None:
        pass

    def open_runs(self, experiment: str) -> tuple[str, ...]:
        return tuple(
            sorted(k for k, kept in self._runs.items() if kept.state is None and kept.experiment == experiment)
        )

    def read_run(self, key: str) -> LoggedRun | None:
        kept = self._runs.get(key)
        if kept is None:
            return None
        return LoggedRun(
            key=key,
            name=kept.run.name,
            parent=kept.run.parent,
            params={name: str(value) for name, value in kept.run.params.items()},
            tags=dict(kept.tags),
            figures={name: value for name, (_, value) in kept.figures.items()},
            epochs=tuple(kept.epochs[epoch] for epoch in sorted(kept.epochs)),
            state=kept.state,
            files=tuple(sorted(kept.files)),
        )

    def read_file(self, key: str, path: str) -> bytes:
        try:
            return self._runs[key].files[path]
        except KeyError:
            raise FileNotFoundError(f"{key}: {path}") from None

    @staticmethod
    def _latest(kept: _Kept, figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            if step >= kept.figures.get(name, (step, 0.0))[0]:
                kept.figures[name] = (step, float(value))

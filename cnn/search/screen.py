"""The search as a person sees it: a live table in a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cnn.records import Curve, EpochRow, Outcome, TrialState, best_row
from cnn.search.job import JobId

_PLAIN_INTERVAL_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a search stands.

    Args:
        outcomes: Of the trials that are over.
        running: Curves so far of the jobs under way.
        left_s: Seconds left on the clock; None without such a bound.
        trials_left: Trials left; None without such a bound.
    """

    outcomes: tuple[Outcome, ...]
    running: Mapping[JobId, Curve]
    left_s: float | None
    trials_left: int | None

    def count(self, state: TrialState) -> int:
        """Trials that ended so."""
        return sum(outcome.state is state for outcome in self.outcomes)

    def best(self) -> Outcome | None:
        """The trial with the highest score so far: of those that ran to their end, for only they can win."""
        scored = [outcome for outcome in self.outcomes if outcome.score is not None]
        ended = [outcome for outcome in scored if outcome.state is TrialState.COMPLETED]
        return max(ended or scored, key=lambda outcome: outcome.score or 0.0, default=None)


class Screen:
    """Shows progress on a console.

    Args:
        epochs: Most epochs a trial may train.
    """

    def __init__(self, console: Console, title: str, epochs: int) -> None:
        self._console, self._title, self._epochs = console, title, epochs
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Refresh the table; without a terminal a line a minute."""
        if self._live:
            self._live.update(self._table(progress), refresh=True)
        elif time.monotonic() - self._last_line > _PLAIN_INTERVAL_S:
            self._last_line = time.monotonic()
            self._console.print(_summary(progress), highlight=False, soft_wrap=True)

    def ended(self, job: JobId, outcome: Outcome) -> None:
        """A job is over: one line, above the table."""
        line = Text.assemble(f"trial {job}: ", (outcome.state.value, _COLOURS[outcome.state]))
        if outcome.curve:
            best = best_row(outcome.curve)
            line.append(
                f"{_score(best)}  accuracy {best.val_accuracy:.4f}  gap {best.gap_accuracy:+.4f}"
                f"  best epoch {best.epoch + 1} of {len(outcome.curve)}"
            )
        line.append(f"  {outcome.cost.wall_s:.0f} s")
        if outcome.reason != "all epochs":
            line.append(f"  ({outcome.reason})", "dim")
        self._say(line)

    def opened(self, number: int, changes: Sequence[str]) -> None:
        """A round begins: one line, above the table."""
        self._say(Text.assemble((f"round {number}: ", "bold"), " ".join(changes) or "the whole space"))

    def _say(self, line: Text) -> None:
        (self._live.console if self._live else self._console).print(line, highlight=False, soft_wrap=True)

    def _table(self, progress: Progress) -> RenderableType:
        table = Table(title=self._title, title_justify="left", expand=False)
        for heading in ("trial", "epoch", "val score", "gap", "s / epoch"):
            table.add_column(heading, justify="right")
        for job, curve in sorted(progress.running.items()):
            table.add_row(f"{job}", *self._cells(curve))
        return Group(table, Text(_summary(progress)))

    def _cells(self, curve: Curve) -> tuple[str, str, str, str]:
        if not curve:
            return f"0 / {self._epochs}", "", "", ""
        last: EpochRow = curve[-1]
        epoch = f"{last.epoch + 1} / {self._epochs}"
        return epoch, f"{last.val_score:.4f}", f"{last.gap_accuracy:+.4f}", f"{last.seconds:.1f}"


_COLOURS = {
    TrialState.COMPLETED: "green",
    TrialState.PRUNED: "yellow",
    TrialState.FAILED: "red",
    TrialState.INFEASIBLE: "dim",
}


def _score(row: EpochRow) -> str:
    """The score, where it is not the accuracy that is shown anyway."""
    return "" if row.val_score == row.val_accuracy else f"  score {row.val_score:.4f}"


def _summary(progress: Progress) -> str:
    parts = [f"{progress.count(TrialState.COMPLETED)} done", f"{len(progress.running)} running"]
    parts += [f"{progress.count(state)} {state.value}" for state in (TrialState.PRUNED, TrialState.FAILED)]
    if n_infeasible := progress.count(TrialState.INFEASIBLE):
        parts.append(f"{n_infeasible} infeasible")
    best = progress.best()
    if best is not None:
        row = best_row(best.curve)
        parts.append(f"best {row.val_score:.4f} (trial {best.number}, gap {row.gap_accuracy:+.4f})")
    if progress.trials_left is not None:
        parts.append(f"{progress.trials_left} trials left")
    if progress.left_s is not None:
        parts.append(f"{int(progress.left_s) // 60}:{int(progress.left_s) % 60:02d} left")
    return " · ".join(parts)

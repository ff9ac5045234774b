"""The search as a person sees it."""

import logging
from io import StringIO

import pytest
from making import epoch_row
from rich.console import Console

from cnn.records import Cost, Outcome, TrialState
from cnn.runtime import warn_on_screen
from cnn.search.job import JobId
from cnn.search.screen import Progress, Screen


def curve(*accuracies):
    return tuple(
        epoch_row(epoch, accuracy, clean_train_accuracy=accuracy + 0.05, seconds=2.5)
        for epoch, accuracy in enumerate(accuracies)
    )


def outcome(number, *accuracies, state=TrialState.COMPLETED, reason="all epochs"):
    cost = Cost(wall_s=12.3, cpu_s=20.0, epochs=len(accuracies))
    return Outcome(number=number, state=state, reason=reason, curve=curve(*accuracies), cost=cost)


PRUNED = outcome(1, 0.9, state=TrialState.PRUNED, reason="pruned at epoch 1")
FAILED = outcome(2, state=TrialState.FAILED, reason="out of memory")
PROGRESS = Progress(
    outcomes=(outcome(0, 0.5, 0.75), PRUNED, FAILED),
    running={JobId(4): curve(0.25), JobId(5): ()},
    left_s=125.0,
    trials_left=7,
)


def shown(*, terminal, draw):
    """Everything a console has received."""
    said = StringIO()
    console = Console(file=said, width=150, force_terminal=terminal, color_system=None, legacy_windows=False)
    with Screen(console, "study-1", 6) as screen:
        draw(screen)
    return said.getvalue()


def test_the_table_shows_what_runs():
    text = shown(terminal=True, draw=lambda screen: screen.show(PROGRESS))
    rows = {
        cells[0]: cells[1:]
        for cells in ([cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines())
        if cells
    }
    # The study's name above; for each run its epoch of how many, accuracy, gap and pace.
    assert "study-1" in text
    assert rows["4"] == ["1 / 6", "0.2500", "+0.0500", "2.5"]
    # One that has finished no epoch yet has nothing to show.
    assert rows["5"] == ["0 / 6", "", "", ""]


@pytest.mark.parametrize(
    "words",
    [
        "1 done · 2 running · 1 pruned · 1 failed",  # trials by how they stand
        "best 0.7500 (trial 0, gap +0.0500)",  # the best so far and its gap; one that was pruned can't win
        "7 trials left · 2:05 left",  # what the budget still allows
    ],
)
def test_the_line_below_the_table_sums_up(words):
    assert words in shown(terminal=True, draw=lambda screen: screen.show(PROGRESS))


def test_the_table_goes_away_at_the_end():
    text = shown(terminal=True, draw=lambda screen: screen.show(PROGRESS))
    # The cursor is shown again and the table's lines are erased: what stays are the lines of trials that ended.
    assert "\x1b[?25h" in text
    assert text.count("\x1b[2K") >= 6


def test_a_warning_stands_above_the_table(monkeypatch):
    logger = logging.getLogger("cnn")
    for name in ("handlers", "propagate", "level"):
        monkeypatch.setattr(logger, name, getattr(logger, name))
    warn_on_screen()

    def draw(screen):
        screen.show(PROGRESS)
        logging.getLogger("cnn.search").warning("the disk is nearly full")

    # Written past the table, the table's next refresh would wipe it away.
    text = shown(terminal=True, draw=draw)
    assert "cnn: the disk is nearly full" in text
    assert text.index("the disk is nearly full") < text.rindex("study-1")


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (outcome(0, 0.5, 0.75, 0.5), "trial 0: completed  accuracy 0.7500  gap +0.0500  best epoch 2 of 3  12 s"),
        (PRUNED, "trial 1: pruned  accuracy 0.9000  gap +0.0500  best epoch 1 of 1  12 s  (pruned at epoch 1)"),
        (FAILED, "trial 2: failed  12 s  (out of memory)"),
    ],
)
def test_an_ended_trial_is_one_line(terminal, ended, line):
    text = shown(terminal=terminal, draw=lambda screen: screen.ended(JobId(ended.number), ended))
    # Best accuracy, its gap and epoch, what it took, and why it ended unless it simply did.
    assert line in [printed.removeprefix("\x1b[?25l").rstrip() for printed in text.splitlines()]


def test_a_long_reason_is_not_broken_without_a_terminal():
    reason = "ValueError: " + "x" * 200
    text = shown(
        terminal=False,
        draw=lambda screen: screen.ended(JobId(2), outcome(2, state=TrialState.FAILED, reason=reason)),
    )
    # One line in a log file, however wide.
    assert text.splitlines() == [f"trial 2: failed  12 s  ({reason})"]


def test_a_finalists_run_is_named():
    text = shown(terminal=False, draw=lambda screen: screen.ended(JobId(0, 1), outcome(0, 0.5)))
    assert text.startswith("trial 0/seed-1: completed")


def test_without_a_terminal_there_is_a_line_a_minute(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("cnn.search.screen.time.monotonic", lambda: clock[0])

    def draw(screen):
        for second in range(0, 150, 10):
            clock[0] = 1000.0 + second
            screen.show(PROGRESS)

    lines = shown(terminal=False, draw=draw).splitlines()
    # 150 seconds: two lines, each a whole summary, without a control character.
    assert len(lines) == 2
    assert all(line.startswith("1 done · 2 running") and line.isprintable() for line in lines)


def test_no_bound_says_nothing_about_what_is_left():
    progress = Progress(outcomes=(), running={}, left_s=None, trials_left=None)
    text = shown(terminal=True, draw=lambda screen: screen.show(progress))
    # Neither a best nor an end is known.
    assert "0 done · 0 running · 0 pruned · 0 failed" in text
    assert "left" not in text
    assert "best" not in text

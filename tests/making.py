"""Values that tests need and whose figures, but for the ones they name, don't matter."""

from cnn.records import EpochRow, Outcome, Proposal
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow


def epoch_row(epoch: int = 0, accuracy: float = 0.5, **figures: float) -> EpochRow:
    """An epoch of an ordinary curve. The figures are sums of halves, so that their differences are exact.

    Args:
        accuracy: On validation images.
        figures: Others of the row's fields, by name.
    """
    ordinary = {
        "train_loss": 1.5,
        "train_accuracy": 0.5,
        "clean_train_loss": 1.25,
        "clean_train_accuracy": 0.625,
        "val_loss": 1.75,
        "learning_rate": 0.0078125,
        "seconds": 2.0,
    }
    return EpochRow(**{"epoch": epoch, "val_accuracy": accuracy} | ordinary | figures)


def ledger_row(outcome: Outcome, repeat: int = 0) -> LedgerRow:
    """What the ledger says of a run that ended so.

    Args:
        repeat: 0 for a trial, from 1 for a finalist's fresh runs.
    """
    return LedgerRow(
        id=JobId(outcome.number, repeat),
        proposal=Proposal(number=outcome.number, values={}, epochs=max(1, len(outcome.curve))),
        seed=0,
        cost=outcome.cost,
        deaths=0,
        outcome=outcome,
    )


LONG_STAGE = """
import os, signal, time
from pathlib import Path

told = []
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: told.append(number))
Path("begun").write_text(str(os.getpid()))
while not told:
    time.sleep(0.05)
time.sleep(1)
Path("ended_well").touch()
raise SystemExit(130)
"""
"""A stage that runs until it is told to end; as a search, it then needs a moment, and may be told more than once."""

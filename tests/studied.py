"""A search that is over, as a report's facts: what decides its scores is known."""

import math

import numpy as np
from making import epoch_row

from cnn.config.params import SearchParams
from cnn.records import Cost, Head, Outcome, Proposal, TrialState
from cnn.reports.study import study_report
from cnn.reports.study_facts import StudyFacts
from cnn.search.job import JobId
from cnn.search.ledger import LedgerRow

VALUES = {
    "model.batch_norm": "none",
    "model.dropout": 0.1,
    "model.filters": 8,
    "optimizer.learning_rate": 0.001,
}
HOSTILE = "<script>alert(1)</script>"
PARAMS = SearchParams.model_validate(
    {
        "space": {
            "model.batch_norm": {"type": "choice", "values": ["none", "after_activation"]},
            "model.dropout": {"type": "float", "low": 0.0, "high": 0.5},
            "model.filters": {"type": "int", "low": 8, "high": 32, "step": 8},
            "optimizer.learning_rate": {"type": "float", "low": 0.0001, "high": 0.1, "log": True},
        },
        "budget": {"trials": 30, "epochs": 6},
        "finalists": 2,
        "finalist_seeds": 1,
    }
)


def quality(values):
    """Only the learning rate matters: best at 0.01."""
    return 0.8 - 0.2 * abs(math.log10(values["optimizer.learning_rate"]) + 2)


def curve(score, n, gap=0.05):
    rising = [score * (0.5 + 0.5 * (epoch + 1) / n) for epoch in range(n)]
    return tuple(
        epoch_row(epoch, value, clean_train_accuracy=value + gap, val_loss=2 - value, clean_train_loss=1.9 - value)
        for epoch, value in enumerate(rising)
    )


def row(number, repeat, values, score, *, state=TrialState.COMPLETED, reason="all epochs"):
    n = {TrialState.COMPLETED: 6, TrialState.PRUNED: 2, TrialState.FAILED: 0}[state]
    cost = Cost(wall_s=10.0, cpu_s=60.0, epochs=n)
    outcome = Outcome(number=number, state=state, reason=reason, curve=curve(score, n, 0.01 * number), cost=cost)
    return LedgerRow(
        id=JobId(number, repeat),
        proposal=Proposal(number=number, values=values, epochs=6),
        seed=0,
        cost=cost,
        deaths=0,
        outcome=outcome,
    )


def ledger(n=30):
    rng, rows = np.random.default_rng(0), []
    for number in range(n):
        values = {
            "model.batch_norm": ["none", "after_activation"][number % 2],
            "model.dropout": float(rng.uniform(0, 0.5)),
            "model.filters": int(rng.choice([8, 16, 24, 32])),
            "optimizer.learning_rate": float(10 ** rng.uniform(-4, -1)),
        }
        if number == 7:
            rows.append(row(number, 0, values, 0.0, state=TrialState.FAILED, reason=HOSTILE))
        elif number % 3 == 2:
            rows.append(row(number, 0, values, quality(values), state=TrialState.PRUNED, reason="pruned at epoch 2"))
        else:
            rows.append(row(number, 0, values, quality(values)))
    completed = [one for one in rows if one.outcome.state is TrialState.COMPLETED]
    best, second = sorted(completed, key=lambda one: -one.outcome.score)[:2]
    # The second of the search is the better one when trained again.
    rows.append(row(best.id.number, 1, best.proposal.values, best.outcome.score - 0.1))
    rows.append(row(second.id.number, 1, second.proposal.values, second.outcome.score - 0.01))
    return rows


def facts_of(rows, **changes):
    ordinary = {
        "name": "study-1",
        "source": "digits",
        "head": Head(class_names=tuple("0123456789")),
        "engine": "optuna/tpe",
        "params": PARAMS,
        "rows": rows,
        "n_train": 6000,
        "n_val": 5000,
    }
    return StudyFacts(**ordinary | changes)


def titled(facts, title):
    return next(section for section in study_report(facts).sections if section.title.startswith(title))

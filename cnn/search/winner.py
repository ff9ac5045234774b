"""Who has won a search, or why nobody has."""

from collections.abc import Sequence

from cnn.config.params import SearchParams
from cnn.errors import SpaceError
from cnn.records import Outcome, TrialState
from cnn.search import limits
from cnn.search.finalists import Standing, contenders, standings
from cnn.search.ledger import LedgerRow
from cnn.search.results import rule


def winner_of(rows: Sequence[LedgerRow], params: SearchParams) -> Standing:
    """The first of the finalists.

    Raises:
        SpaceError: No trial brought a model, or none was within the limits.
    """
    table = standings(rows, params.finalists, params.objective)
    if table:
        return table[0]
    outcomes = [row.outcome for row in rows if row.outcome]
    raise _none_fits(outcomes, params) or _none_trained(rows, outcomes)


def winner_words(rows: Sequence[LedgerRow], params: SearchParams) -> str:
    """Who has won and why, in a sentence; whoever scored better but did not run to its end is named in it."""
    first, *others = standings(rows, params.finalists, params.objective)
    parts = [_reason([first, *others], rows, params), *map(_against, others[:1]), _unconfirmed([first, *others], rows)]
    if not params.finalist_seeds:
        parts[-1] = "no finalist was trained again: search.finalist_seeds is 0"
    said = "; ".join(filter(None, (*parts, _cut_off(first, rows))))
    return f"winner: trial {first.row.id.number}, because {said}"


def _reason(table: Sequence[Standing], rows: Sequence[LedgerRow], params: SearchParams) -> str:
    first, n = table[0], len(table[0].fresh_scores)
    if params.objective.weighs_gap:
        return f"it has {rule(params.objective)}: score {first.mean:.4f}, gap {first.mean_gap:.4f}"
    if not any(one.fresh_scores for one in table):
        trials = [row for row in rows if row.id.repeat == 0]
        racing = contenders(trials)
        to_end = any(row.outcome and row.outcome.state is TrialState.COMPLETED for row in racing)
        of_all = f"{len(racing)} that ran to their end" if to_end else f"{len(racing)}, none of which ran to its end"
        return f"its score, {first.score:.4f}, is the best of the {of_all}"
    if _confirmed(table):
        runs = f"mean of its {n} fresh-seed runs" if n > 1 else "score of its fresh-seed run"
        return f"the {runs}, {first.mean:.4f}, is the best of the finalists"
    return f"the mean of all its runs, {first.mean_of_all:.4f}, is the best of the finalists"


def _against(second: Standing) -> str:
    number = second.row.id.number
    if second.n_failed:
        return f"the runner-up, trial {number}, failed when it was trained again"
    gap = f", gap {second.mean_gap:.4f}" if second.fresh_gaps else ""
    return f"the runner-up, trial {number}, has {second.mean:.4f}{gap}"


def _unconfirmed(table: Sequence[Standing], rows: Sequence[LedgerRow]) -> str:
    if any(one.fresh_scores for one in table):
        return "" if _confirmed(table) else "the budget ended before every finalist was trained again"
    failed = any(one.n_failed for one in table)
    why = "their fresh-seed runs failed" if failed else "the budget ended before"
    return f"no finalist was trained again to its end: {why}"


def _confirmed(table: Sequence[Standing]) -> bool:
    return all(one.fresh_scores for one in table if not one.n_failed)


def _cut_off(first: Standing, rows: Sequence[LedgerRow]) -> str:
    trials = [row for row in rows if row.id.repeat == 0]
    racing = {row.id for row in contenders(trials)}
    scores = {row.id: row.outcome.score for row in trials if row.outcome and row.id not in racing}
    better = {job: score for job, score in scores.items() if score is not None and score > first.score}
    if not better:
        return ""
    job, score = max(better.items(), key=lambda pair: pair[1])
    return f"trial {job.number} had {score:.4f}, but did not run to its end and could not win"


def _none_trained(rows: Sequence[LedgerRow], outcomes: Sequence[Outcome]) -> SpaceError:
    reasons = sorted({outcome.reason for outcome in outcomes if outcome.state is not TrialState.INFEASIBLE})
    trials = "1 trial" if len(rows) == 1 else f"{len(rows)} trials"
    received = f"{trials} and none with a model ({'; '.join(reasons[:3]) or 'the budget is too small'})"
    failed = any(outcome.state is TrialState.FAILED for outcome in outcomes)
    change = "edit search in params.yaml" if failed else "raise search.budget in params.yaml"
    return SpaceError("search", received=received, expected="at least one", change=change)


def _none_fits(outcomes: Sequence[Outcome], params: SearchParams) -> SpaceError | None:
    nearest = limits.nearest(outcomes, params.objective.limits)
    if nearest is None or any(outcome.state is not TrialState.INFEASIBLE for outcome in outcomes):
        return None
    return SpaceError(
        "search.objective",
        received=f"{len(outcomes)} trials, all over its limits (the nearest: {nearest.reason})",
        expected="at least one within them",
        change="raise the limit or let search.space have smaller networks",
    )

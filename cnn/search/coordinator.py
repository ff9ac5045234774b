"""One coordinator: it alone asks the engine, writes the ledger, watches the budget and speaks to the tracker.

Each step is written to the ledger before the next one depends on it:

    ask     engine -> ledger (trial and engine state in one transaction) -> executor
    size    executor -> ledger (in a search with limits, before the first epoch)
    epoch   executor -> engine (prune?) -> answer -> ledger (cost) -> tracker
    end     executor -> engine -> ledger (outcome and engine state in one transaction) -> tracker
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cnn.config.params import SearchParams
from cnn.config.reading import recipe_with
from cnn.config.recipe import Recipe
from cnn.errors import Interrupted, SpaceError, UserError
from cnn.records import Cost, Outcome, Proposal, Size, TrialState
from cnn.runtime import derived_seed
from cnn.search.budget import Budget
from cnn.search.engines.searcher import Pause, Searcher
from cnn.search.executors.executor import Executor
from cnn.search.finalists import Standing, pending_repeats
from cnn.search.job import EpochDone, Event, Job, JobEnded, JobId, JobLost, JobSized, cut_off, with_cost
from cnn.search.ledger import LedgerRow
from cnn.search.logbook import Logbook
from cnn.search.runs import Runs
from cnn.search.screen import Screen
from cnn.search.steering import Asked, Steering
from cnn.search.study import Study
from cnn.search.winner import winner_of

log = logging.getLogger(__name__)

_DEATHS = 2  # a trial that kills its worker so often has failed
_GRACE_S = 60.0  # how long after the budget's end a job may take to finish its epoch


class Coordinator:
    """Runs one study to its winner.

    Args:
        base: The recipe that proposals vary.
        steering: Rounds and remedies; None: a plain search.
        first: Tried before the engine proposes any.
    """

    def __init__(
        self,
        params: SearchParams,
        base: Recipe,
        study: Study,
        *,
        searcher: Searcher,
        executor: Executor,
        logbook: Logbook,
        budget: Budget,
        screen: Screen,
        steering: Steering | None = None,
        first: Sequence[Proposal] = (),
    ) -> None:
        self._params, self._base, self._study = params, base, study
        self._searcher, self._executor, self._logbook = searcher, executor, logbook
        self._budget, self._screen, self._steering, self._first = budget, screen, steering, first
        self._ledger = study.ledger
        self._runs = Runs(self._ledger.rows())
        self._exhausted = self._waiting = False
        self._stop_reasons: dict[JobId, str] = {}
        self._ended_at: float | None = None
        self._interrupted = False

    def run(self) -> Standing:
        """Search, then try the finalists again.

        Raises:
            SpaceError: No trial brought a model, or none was within the limits.
            StorageError: The ledger or a checkpoint cannot be written.
            Interrupted: `interrupt` was called; what was found is kept, and the next start goes on.
        """
        self._searcher.restore(self._ledger.stored_trials(), self._ledger.read("engine_state"))
        self._repeat_untold()
        if self._steering:
            self._steering.restore(self._runs.trials())
            self._logbook.rounds(self._steering.rounds)
        try:
            self._drive(self._next_trial)
            self._drive(self._next_repeat)
            if self._steering:
                self._steering.close()
        except UserError:  # of this machine: a full disk, say; the next start goes on
            self._logbook.interrupt(list(self._runs.under_way))
            raise
        self._logbook.wait()
        self._note_heard()
        return self._winner()

    def _repeat_untold(self) -> None:
        """Tell the tracker of runs that were over when the last start was killed, before it had heard of them."""
        for row in self._runs.all():
            if row.outcome is not None and not row.told:
                self._logbook.repeat(row.id, self.recipe(row).model_dump(mode="json"), row.seed, row.outcome)

    def _note_heard(self) -> None:
        for job in self._logbook.heard():
            self._ledger.told(job)

    def interrupt(self) -> None:
        """Have `run` end soon. Safe in a signal handler."""
        self._interrupted = True

    # ---- the loop

    def _drive(self, next_job: Callable[[], JobId | None]) -> None:
        """Keep the executor busy until there is no next job and none under way."""
        unfinished = deque(self._runs.unfinished())
        while True:
            # there may be fewer slots than when the search was cut off
            while self._executor.n_free() and (job := unfinished.popleft() if unfinished else next_job()) is not None:
                self._submit(self._runs.by_id[job])
            self._screen.show(self._runs.progress(self._budget.left_s(), self._params.budget.trials))
            if not self._runs.under_way:
                return
            for event in self._executor.poll(0.5):
                self._handle(event)
            self._note_heard()
            self._watch_clock()
            if self._interrupted:
                self._logbook.interrupt(list(self._runs.under_way))
                self._note_heard()
                raise Interrupted(self._study.name)

    def _next_trial(self) -> JobId | None:
        trials = self._runs.trials()
        if self._exhausted or self._waiting or self._runs.hopeless():
            return None
        running = {job.number: cost for job, cost in self._runs.under_way.items()}
        if not self._budget.admits(self._runs.n_counted(), self._runs.costs(), running):
            return None
        asked = self._asked(trials)
        if isinstance(asked.proposal, Pause):
            self._exhausted = asked.proposal is Pause.EXHAUSTED
            self._waiting = asked.proposal is Pause.WAIT
            return None
        facts = {**asked.facts, "engine_state": self._searcher.state()}
        return self._begin(JobId(asked.proposal.number), asked.proposal, asked.seed, facts=facts)

    def _asked(self, trials: list[LedgerRow]) -> Asked:
        if self._steering:
            opened = self._steering.turn(trials, self._budget.progress(self._runs.n_counted(), self._runs.costs()))
            if opened:
                self._logbook.rounds(self._steering.rounds)
                self._screen.opened(len(self._steering.rounds), opened.changes)
        number = len(trials)
        if number < len(self._first):
            self._searcher.enter(self._first[number])
            return Asked(proposal=self._first[number])
        return (
            self._steering.ask(self._searcher, trials) if self._steering else Asked(proposal=self._searcher.ask(number))
        )

    def _next_repeat(self) -> JobId | None:
        params = self._params
        pending = pending_repeats(self._runs.all(), params.finalists, params.finalist_seeds, params.objective)
        if not pending or not self._budget.admits_final(self._runs.costs()):
            return None
        trial = self._runs.by_id[JobId(pending[0].number)]
        return self._begin(pending[0], trial.proposal, size=trial.size)

    def _begin(
        self,
        job: JobId,
        proposal: Proposal,
        seed: int | None = None,
        *,
        size: Size | None = None,
        facts: Mapping[str, str] | None = None,
    ) -> JobId:
        seed = derived_seed(self._params.seed, "trial", *job) if seed is None else seed
        self._ledger.begin(job, proposal, seed, size=size, **(facts or {}))
        row = LedgerRow(id=job, proposal=proposal, seed=seed, cost=Cost(), deaths=0, outcome=None, size=size)
        self._runs.by_id[job] = row
        return job

    def _submit(self, row: LedgerRow) -> None:
        recipe = self.recipe(row).model_dump(mode="json")
        self._runs.begin(row.id)
        self._logbook.begin(row.id, recipe, row.seed)
        folder = self._study.trial_folder(row.id)
        self._executor.submit(Job(id=row.id, recipe=recipe, seed=row.seed, folder=folder, size=row.size))

    def recipe(self, row: LedgerRow) -> Recipe:
        """The resolved recipe of a run."""
        return recipe_with(self._base, {**row.proposal.values, "training.epochs": row.proposal.epochs})

    # ---- what happened

    def _handle(self, event: Event) -> None:
        if event.id not in self._runs.under_way:
            return
        match event:
            case JobSized():
                self._sized(event)
            case EpochDone():
                self._epoch(event)
            case JobEnded():
                self._end(event.id, event.outcome)
            case JobLost():
                self._lost(event)

    def _sized(self, event: JobSized) -> None:
        self._ledger.size(event.id, event.size)
        self._runs.by_id[event.id] = replace(self._runs.by_id[event.id], size=event.size)

    def _epoch(self, event: EpochDone) -> None:
        row = self._runs.by_id[event.id]
        # the epochs of the checkpoint are reported again, and have been paid for
        spent = replace(event.cost, epochs=max(0, event.cost.epochs - row.cost.epochs))
        self._runs.under_way[event.id] = spent
        self._executor.answer(event.id, stop=self._must_stop(event))
        self._ledger.spend(event.id, row.cost + spent, elapsed_s=self._budget.elapsed_s())
        curves = self._runs.curves
        if event.row.epoch >= len(curves[event.id]):  # a resumed job first repeats what its checkpoint holds
            curves[event.id] += (event.row,)
        self._logbook.epoch(event.id, event.row)

    def _must_stop(self, event: EpochDone) -> bool:
        epoch = event.row.epoch
        if self._budget.spent(self._runs.costs()):
            self._stop_reasons[event.id] = f"the budget ended at epoch {epoch + 1}"
        elif self._prunes(event.id, epoch, event.row.val_score):
            self._stop_reasons[event.id] = f"pruned at epoch {epoch + 1}"
        else:
            self._stop_reasons.pop(event.id, None)
        return event.id in self._stop_reasons

    def _prunes(self, job: JobId, epoch: int, score: float) -> bool:
        if job.repeat > 0:
            return False
        paired = self._steering is not None and self._steering.is_pair(job.number)
        return self._searcher.report(job.number, epoch, score) and not paired

    def _end(self, job: JobId, outcome: Outcome) -> None:
        row = self._runs.by_id[job]
        outcome = replace(with_cost(outcome, replace(row.cost, epochs=0)), size=row.size)
        if outcome.state is TrialState.PRUNED:
            outcome = replace(outcome, reason=self._stop_reasons.get(job, outcome.reason))
        engine_state = None
        if job.repeat == 0:
            self._searcher.tell(outcome)
            engine_state = self._searcher.state()
        self._ledger.finish(job, outcome, elapsed_s=self._budget.elapsed_s(), engine_state=engine_state)
        self._study.discard(job)
        self._runs.by_id[job] = replace(row, outcome=outcome, cost=outcome.cost)
        if self._steering and job.repeat == 0:
            self._steering.ended(job.number, self._runs.trials())
        self._logbook.end(job, outcome)
        self._screen.ended(job, outcome)
        self._forget(job)

    def _lost(self, event: JobLost) -> None:
        job, curve, row = event.id, self._runs.curves[event.id], self._runs.by_id[event.id]
        deaths = self._ledger.bury(job)
        self._runs.by_id[job] = row = replace(row, deaths=deaths, cost=row.cost + self._runs.under_way[job])
        self._runs.under_way[job] = Cost()
        log.warning("trial %s: %s (death %d)", job, event.reason, deaths)
        if self._ended_at is not None:
            self._end(job, cut_off(job, TrialState.PRUNED, f"the budget ended at epoch {len(curve) + 1}", curve))
        elif deaths >= _DEATHS:
            self._end(job, cut_off(job, TrialState.FAILED, f"{event.reason}, {deaths} times", curve))
        else:
            self._submit(row)

    def _forget(self, job: JobId) -> None:
        self._runs.forget(job)
        self._stop_reasons.pop(job, None)
        self._waiting = False

    # ---- the budget

    def _watch_clock(self) -> None:
        """Jobs end with their epoch once the budget is spent; one that takes too long loses its worker."""
        if not self._budget.spent(self._runs.costs()):
            return
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        if time.monotonic() - self._ended_at > _GRACE_S:
            for job in self._runs.under_way:
                self._executor.kill(job)

    # ---- what comes out

    def _winner(self) -> Standing:
        try:
            return winner_of(self._runs.all(), self._params)
        except SpaceError as error:
            self._logbook.fail(error.received)
            raise

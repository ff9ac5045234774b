"""An end to any engine: it has nothing more to propose once going on promises too little."""

import math
from collections.abc import Callable, Sequence

from cnn.records import Outcome, Proposal, TrialState, Values
from cnn.runtime import derived_seed
from cnn.search.engines.searcher import Adjust, Known, Pause, Searcher, StoredTrial
from cnn.search.expected_gain import NEXT, expected_gain, fewest_trials
from cnn.search.space import Space

IN_A_ROW = 3
"""After so many trials in a row, little must be expected before a search is ended."""


class Terminating:
    """A searcher that has nothing more to propose once going on promises too little.

    Args:
        searcher: Proposes until then.
        min_gain: Of the score, over the next `NEXT` trials.
        say: Is told once, in a sentence, why the search ends.
    """

    def __init__(
        self, searcher: Searcher, space: Space, *, min_gain: float, seed: int, say: Callable[[str], object]
    ) -> None:
        self._searcher, self._space = searcher, space
        self._min_gain, self._seed, self._say = min_gain, seed, say
        self._proposals: dict[int, Values] = {}
        self._scored: dict[int, float] = {}
        self._gains: dict[int, float] = {}
        self._over = False

    @property
    def steerable(self) -> bool:
        return self._searcher.steerable

    @property
    def learns(self) -> bool:
        return self._searcher.learns

    def remember(self, known: Sequence[Known]) -> None:
        self._searcher.remember(known)

    def restore(self, trials: Sequence[StoredTrial], state: str) -> None:
        for trial in trials:
            self._proposals[trial.proposal.number] = trial.proposal.values
            if trial.outcome is not None:
                self._note(trial.outcome)
        self._searcher.restore(trials, state)

    def ask(self, number: int, adjust: Adjust | None = None) -> Proposal | Pause:
        if self._promises_little():
            return Pause.EXHAUSTED
        proposal = self._searcher.ask(number, adjust)
        if isinstance(proposal, Proposal):
            self._proposals[number] = proposal.values
        return proposal

    def enter(self, proposal: Proposal) -> None:
        self._proposals[proposal.number] = proposal.values
        self._searcher.enter(proposal)

    def report(self, number: int, epoch: int, score: float) -> bool:
        return self._searcher.report(number, epoch, score)

    def tell(self, outcome: Outcome) -> None:
        self._note(outcome)
        self._searcher.tell(outcome)

    def state(self) -> str:
        return self._searcher.state()

    def _note(self, outcome: Outcome) -> None:
        score = outcome.score
        if outcome.state is TrialState.COMPLETED and score is not None and math.isfinite(score):
            self._scored[outcome.number] = score

    def _promises_little(self) -> bool:
        """After so many trials in a row, by their number: a function of what has ended, whoever asks, and when."""
        ended = sorted(self._scored)
        enough = [len(ended) - late for late in range(IN_A_ROW)]
        if self._over or enough[-1] < fewest_trials(self._space):
            return self._over
        self._over = all(self._gain(ended[:n]) < self._min_gain for n in enough)
        if self._over:
            self._say(
                f"the search ends early: the next {NEXT} trials together are expected to raise the score by "
                f"{self._gain(ended):.4f}, less than search.min_gain, {self._min_gain:g}"
            )
        return self._over

    def _gain(self, numbers: Sequence[int]) -> float:
        key = derived_seed(self._seed, "expected gain", *numbers)
        if key not in self._gains:
            trials = [(self._proposals[number], self._scored[number]) for number in numbers]
            self._gains[key] = expected_gain(self._space, trials, seed=key)
        return self._gains[key]

"""Random search: ours, the reference every other engine has to beat."""

from collections.abc import Sequence

import numpy as np

from cnn.records import Outcome, Proposal
from cnn.search.engines.searcher import Adjust, Known, StoredTrial
from cnn.search.focus import adjusted
from cnn.search.space import Space


class RandomSearcher:
    """Independent draws; proposal `number` is a pure function of (seed, number), so there is nothing to keep.

    On a small space the same values may be drawn twice. It never prunes and never runs dry.

    References:
        Bergstra and Bengio, Random search for hyper-parameter optimization, JMLR 13 (2012).
    """

    steerable = True

    def __init__(self, space: Space, *, seed: int, epochs: int) -> None:
        self._space = space
        self._seed = seed
        self._epochs = epochs

    learns = False

    def remember(self, known: Sequence[Known]) -> None:
        pass

    def restore(self, trials: Sequence[StoredTrial], state: str) -> None:
        pass

    def ask(self, number: int, adjust: Adjust | None = None) -> Proposal:
        values = self._space.sample(np.random.default_rng([self._seed, number]))
        return Proposal(number=number, values=adjusted(self._space, values, adjust), epochs=self._epochs)

    def enter(self, proposal: Proposal) -> None:
        pass

    def report(self, number: int, epoch: int, score: float) -> bool:
        return False

    def tell(self, outcome: Outcome) -> None:
        pass

    def state(self) -> str:
        return ""

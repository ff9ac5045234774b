import numpy as np
import pytest

from cnn.evaluation.comparison import mcnemar, paired_interval


def outcomes(wins, losses, both, neither):
    challenger = [True] * wins + [False] * losses + [True] * both + [False] * neither
    champion = [False] * wins + [True] * losses + [True] * both + [False] * neither
    return challenger, champion


def test_exact_p_value_by_hand():
    result = mcnemar(*outcomes(wins=5, losses=1, both=10, neither=4))
    # P(X >= 5) for six fair coins is (6 + 1) / 64.
    assert result.p_value == pytest.approx(7 / 64)
    # The difference is of accuracies over all images: 4 / 20.
    assert result.difference == pytest.approx(0.2)
    # The four counts are those that went in.
    assert (result.wins, result.losses, result.n) == (5, 1, 20)


def test_equal_models_are_never_better():
    result = mcnemar(*outcomes(wins=0, losses=0, both=70, neither=30))
    # Without a discordant image there is no evidence at all.
    assert result.p_value == 1.0
    # The interval then holds zero.
    assert result.low < 0.0 < result.high


def test_swapping_the_two_mirrors_the_interval():
    challenger, champion = outcomes(wins=30, losses=12, both=100, neither=20)
    ahead, behind = mcnemar(challenger, champion), mcnemar(champion, challenger)
    # What one gains the other loses.
    assert (ahead.low, ahead.high) == pytest.approx((-behind.high, -behind.low))
    # One-sided: the loser is nowhere near significance.
    assert ahead.p_value < 0.01 and behind.p_value > 0.99


def test_interval_stays_within_what_a_difference_can_be():
    low, high = paired_interval(1, 0, 1, confidence=0.999)
    # A difference of accuracies lies in [-1, 1].
    assert (low, high) == pytest.approx((max(low, -1.0), 1.0))


def test_the_test_keeps_its_level():
    rng = np.random.default_rng(0)
    wins = rng.binomial(100, 0.5, size=1000)
    refusals = [mcnemar(*outcomes(wins=w, losses=100 - w, both=0, neither=0)).p_value <= 0.05 for w in wins]
    # Between two equally good models at most one comparison in twenty says otherwise (three standard errors allowed).
    assert np.mean(refusals) <= 0.05 + 3 * (0.05 * 0.95 / 1000) ** 0.5


@pytest.mark.parametrize(
    ("challenger", "champion"),
    [([], []), ([True], [True, False]), ([[True]], [[True]])],
    ids=["nothing", "unequal", "two-dimensional"],
)
def test_what_is_not_paired_is_refused(challenger, champion):
    # Two lists that do not belong to the same images cannot be compared.
    with pytest.raises(ValueError, match="one shape"):
        mcnemar(challenger, champion)

"""What KerasTuner's oracles do behind our contract. Importing them imports Keras."""

import pytest
from making import epoch_row

from cnn.config.space import Choice, Float, Int
from cnn.records import Outcome, Proposal, TrialState
from cnn.search.engines.searcher import Pause
from cnn.search.space import Space

pytestmark = pytest.mark.slow

NAME = Choice(type="choice", values=("adam", "sgd"))


def searcher(space: dict, sampler: str, epochs: int = 3):
    from cnn.search.engines.keras_tuner import KerasTunerSearcher

    made = KerasTunerSearcher(Space(space), seed=0, epochs=epochs, sampler=sampler)
    made.restore((), "")
    return made


def tell(engine, proposal: Proposal, accuracy: float = 0.5) -> None:
    curve = (epoch_row(accuracy=accuracy),)
    engine.tell(Outcome(number=proposal.number, state=TrialState.COMPLETED, reason="all epochs", curve=curve))


def test_a_grid_has_each_point_once():
    momentum = Int(type="int", low=0, high=4, step=2, when={"name": ("sgd",), "flag": (True,)})
    flag = Choice(type="choice", values=(True, False))
    space = {"name": NAME, "flag": flag, "momentum": momentum}
    engine = searcher(space, "grid")
    proposals = []
    while isinstance(proposal := engine.ask(len(proposals)), Proposal):
        proposals.append(proposal)
        tell(engine, proposal)
    # Every point, none twice, then the end; a dimension with two parents is active where both ask for it.
    points = {tuple(proposal.values.items()) for proposal in proposals}
    assert len(points) == len(proposals) == 6
    assert proposal is Pause.EXHAUSTED


def test_a_grid_takes_five_points_of_a_real_dimension():
    engine = searcher({"rate": Float(type="float", low=0.001, high=0.1, log=True)}, "grid")
    rates = []
    for number in range(5):
        proposal = engine.ask(number)
        rates.append(proposal.values["rate"])
    # Both ends and three between, evenly spaced in the logarithm.
    assert rates == pytest.approx([0.001, 0.00316228, 0.01, 0.0316228, 0.1])
    # While trials are under way the oracle wants to wait for them.
    assert engine.ask(5) is Pause.WAIT


def test_random_ends_when_nothing_new_turns_up():
    engine = searcher({"name": NAME}, "random")
    names = [engine.ask(number).values["name"] for number in range(2)]
    # No value comes twice, and then there is none left.
    assert sorted(names) == ["adam", "sgd"]
    assert engine.ask(2) is Pause.EXHAUSTED


def test_hyperband_promotes_the_best_with_more_epochs():
    engine = searcher({"x": Float(type="float", low=0.0, high=1.0)}, "hyperband", epochs=9)
    proposals = []
    for number in range(13):
        proposal = engine.ask(number)
        proposals.append(proposal)
        tell(engine, proposal, accuracy=proposal.values["x"])
    first = [proposal for proposal in proposals if proposal.epochs == 1]
    second = [proposal for proposal in proposals if proposal.epochs == 3]
    # The first rung trains one epoch each; the best third of it comes again with three times as many.
    assert len(first) == 9
    best = sorted((proposal.values["x"] for proposal in first), reverse=True)[: len(second)]
    assert sorted((proposal.values["x"] for proposal in second), reverse=True) == best


@pytest.mark.parametrize("sampler", ["random", "bayesian", "hyperband", "grid"])
def test_a_dimension_of_one_value(sampler):
    engine = searcher(
        {
            "n": Int(type="int", low=3, high=3),
            "m": Int(type="int", low=3, high=3, log=True),
            "name": Choice(type="choice", values=("adam",)),
            "x": Float(type="float", low=0.0, high=1.0),
        },
        sampler,
    )
    # A range may have shrunk to a point.
    assert {**engine.ask(0).values, "x": 0.0} == {"n": 3, "m": 3, "name": "adam", "x": 0.0}

"""Rounds and pairs over made-up networks that overfit: no training, but real engines, verdicts and ledgers."""

import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from diagnosed import simulated
from steered import EPOCHS, SIZES, SPACE, Night, learnt

from cnn.config.recipe import Recipe
from cnn.config.space import Choice
from cnn.diagnosis.effects import Effect, RemedyMemory
from cnn.diagnosis.ranges import within
from cnn.diagnosis.steering import RemedyAdviser
from cnn.records import Outcome, Proposal, TrialState
from cnn.search.focus import is_whole

ILL = {"model.filters": 64, "model.batch_norm": "before_activation", "optimizer.learning_rate": 0.01}


def night(folder, seed=0, **changes):
    return Night(folder / "home", folder / "home" / "memory.jsonl", seed=seed, **changes)


def runs(*dropouts, cure=True):
    """Runs of large networks with these dropouts, the best first; with none they overfit badly."""
    made = []
    for number, dropout in enumerate(dropouts):
        values = ILL | {"model.dropout": dropout, "model.head_dropout": dropout}
        curve = learnt(values, number, cure=cure)
        outcome = Outcome(number=number, state=TrialState.COMPLETED, reason="all epochs", curve=curve)
        made.append((Proposal(number=number, values=values, epochs=EPOCHS), outcome))
    return sorted(made, key=lambda one: -one[1].score)


def adviser(folder, *effects):
    memory = RemedyMemory(folder / "memory.jsonl")
    for one in effects:
        memory.keep(one)
    return RemedyAdviser(SPACE.dimensions, Recipe(), SIZES, memory)


# ---- what is advised


def test_runs_that_overfit_move_dropout_up_with_the_reason(tmp_path):
    seen = runs(0.0, 0.05, 0.1, 0.12, 0.15)
    advice = adviser(tmp_path).advise({}, seen[:3], seen)
    part = advice.focus["model.dropout"]
    # The range begins with what the best runs have, their median, and ends where the user said.
    assert (part.low, part.high) == (pytest.approx(0.12), 0.5)
    # A person reads what was changed, by which remedy, and why.
    (said,) = [reason for reason in advice.reasons if reason.startswith("model.dropout")]
    assert (
        said == "model.dropout 0.12 to 0.5 instead of 0 to 0.5 (dropout), because 3 of the best 3 runs are overfitting."
    )


def test_a_remedy_that_did_harm_here_is_not_used_again(tmp_path):
    seen = runs(0.0, 0.05, 0.1, 0.12, 0.15)
    harm = [
        Effect(study="before", trial=n, verdict="overfitting", remedy="dropout", score=-0.03, gap=0.0) for n in range(4)
    ]
    # Four pairs on these images outweigh what is said of dropout in general.
    assert "model.dropout" in adviser(tmp_path / "a").advise({}, seen[:3], seen).focus
    assert "model.dropout" not in adviser(tmp_path / "b", *harm).advise({}, seen[:3], seen).focus


def test_what_was_measured_is_said_with_the_change(tmp_path):
    seen = runs(0.0, 0.05, 0.1, 0.12, 0.15)
    good = Effect(study="before", trial=3, verdict="overfitting", remedy="dropout", score=0.02, gap=-0.05)
    said = " ".join(adviser(tmp_path, good).advise({}, seen[:3], seen).reasons)
    assert "in 1 pair on these images it changed the score by +0.0200, the gap by -0.0500" in said


def test_runs_that_did_worse_inside_a_range_object_to_it(tmp_path):
    # Here dropout harms: those with more of it have the lower scores, however badly all of them overfit.
    harmed = runs(0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, cure=False)
    cured = runs(0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    before = adviser(tmp_path).advise({}, harmed[2:5], cured).focus
    assert "model.dropout" in before
    assert "model.dropout" not in adviser(tmp_path).advise({}, harmed[2:5], harmed).focus
    # A range that was taken before is given up, with the reason.
    again = adviser(tmp_path).advise(before, harmed[2:5], harmed)
    assert "model.dropout" not in again.focus
    assert "model.dropout 0 to 0.5 again, because runs with 0.2 to 0.5 have done worse than others." in again.reasons


def test_runs_without_a_flaw_change_nothing_and_say_so(tmp_path):
    proposal, outcome = runs(0.5)[0]
    flat = {
        "val_accuracy": 0.9,
        "val_score": 0.9,
        "clean_train_accuracy": 0.91,
        "val_loss": 0.3,
        "clean_train_loss": 0.29,
    }
    curve = tuple(replace(row, **flat) for row in outcome.curve)
    healthy = [(replace(proposal, number=n), replace(outcome, number=n, curve=curve)) for n in range(3)]
    advice = adviser(tmp_path).advise({}, healthy, healthy)
    assert advice.focus == {}
    assert advice.reasons == ("nothing: the best 3 runs are 3 healthy, and no remedy is called for.",)


@pytest.mark.parametrize(("units", "ranges"), [(0, set()), (64, {"model.dense_units"})])
def test_only_runs_that_have_dense_units_call_for_more_of_them(tmp_path, units, ranges):
    dimensions = {"model.dense_units": Choice(type="choice", values=(0, 64, 256))}
    advised = RemedyAdviser(dimensions, Recipe(), SIZES, RemedyMemory(tmp_path / "memory.jsonl"))
    accuracies = {"clean": lambda part: 0.5 - 0.4 * math.exp(-8 * part), "n_clean": 5000, "n_val": 5000}
    poor = simulated(np.random.default_rng(0), **accuracies, loss=lambda part: 1.4 + 0.9 * math.exp(-8 * part))
    outcome = Outcome(number=0, state=TrialState.COMPLETED, reason="all epochs", curve=poor)
    runs = [
        (Proposal(number=n, values={"model.dense_units": units}, epochs=len(poor)), replace(outcome, number=n))
        for n in range(3)
    ]
    # A larger network is called for; where there is no dense layer, nothing says that one would help.
    assert advised.advise({}, runs, runs).focus.keys() == ranges


def test_a_focus_is_of_one_base_recipe(tmp_path):
    memory = tmp_path / "memory.jsonl"
    learning_rate = SPACE.dimensions["optimizer.learning_rate"].model_copy(update={"low": 0.03})
    RemedyAdviser(SPACE.dimensions, Recipe(), SIZES, RemedyMemory(memory)).close(
        "night-1", {"optimizer.learning_rate": learning_rate}
    )
    assert RemedyAdviser(SPACE.dimensions, Recipe(), SIZES, RemedyMemory(memory)).opening().focus
    other = Recipe.model_validate({"model": {"family": "resnet"}, "optimizer": {"name": "sgd"}})
    # What Adam liked with a plain network says nothing of SGD with a residual one, on the same ranges.
    assert RemedyAdviser(SPACE.dimensions, other, SIZES, RemedyMemory(memory)).opening().focus == {}


# ---- rounds and pairs of a whole search


def test_most_later_trials_lie_in_the_focus_and_a_fifth_in_the_whole_space(tmp_path):
    made = night(tmp_path, n_trials=60).run()
    assert len(made.rounds) == 3
    later = [n for n in range(made.rounds[1].first_trial, 60) if n not in made.pairs]
    checked = 0
    for number in later:
        focus = [one for one in made.rounds if one.first_trial <= number][-1].focus
        inside = all(within(part, made.values[number][path]) for path, part in focus.items())
        # All but the fifth lie in the focus of their round.
        assert inside or is_whole(0, number)
        checked += bool(focus) and not is_whole(0, number)
    # The search did have a focus, or this would show nothing.
    assert checked > 10
    # No trial, pairs included, leaves the user's space.
    assert all(SPACE.contains(values) for values in made.values)


@pytest.mark.parametrize("seed", range(3))
def test_one_trial_in_five_is_drawn_from_the_whole_space(seed):
    # Of 5,000 trials 1,000, give or take four standard deviations of a binomial count.
    assert abs(sum(is_whole(seed, number) for number in range(5000)) - 1000) < 4 * 28.3


def test_a_pair_differs_by_one_remedy_on_the_same_seed(tmp_path):
    made = night(tmp_path, n_trials=60).run()
    memory = RemedyMemory(tmp_path / "home" / "memory.jsonl")
    assert len(made.pairs) >= 3
    for number, pair in made.pairs.items():
        treated, origin = made.rows[number], made.rows[pair.origin]
        # Same seed and epochs; the images are the search's own.
        assert (treated.seed, treated.proposal.epochs) == (origin.seed, origin.proposal.epochs)
        changed = {path for path, value in made.values[number].items() if value != made.values[pair.origin][path]}
        # What differs is what that remedy moves, and nothing else.
        allowed = {
            "dropout": {"model.dropout", "model.head_dropout"},
            "batch_norm": {"model.batch_norm"},
            "smaller_model": {"model.filters"},
            "bigger_model": {"model.filters"},
            "less_dropout": {"model.dropout", "model.head_dropout"},
        }
        assert changed
        assert changed <= allowed[pair.remedy]
        # Its effect is the difference of the two best scores, kept with its remedy.
        (kept,) = [one for one in memory.effects if one.trial == number]
        assert kept.score == treated.outcome.score - origin.outcome.score
        assert (kept.remedy, kept.verdict) == (pair.remedy, pair.verdict)
    # Trials that are no pair have seeds of their own.
    others = [row.seed for n, row in enumerate(made.rows) if n not in made.pairs]
    assert len(set(others)) == len(others)


@pytest.mark.parametrize("until", [1, 13, 20, 27])
def test_a_search_that_goes_on_after_a_kill_is_the_one_that_was_never_disturbed(until, tmp_path):
    whole = night(tmp_path / "whole", n_trials=30).run()
    torn = night(tmp_path / "torn", n_trials=30)
    torn.run(until)
    torn.run()
    # Same rounds with the same words, same trials, same pairs, and the memory holds the same lines.
    assert torn.rounds == whole.rounds
    assert torn.values == whole.values
    assert torn.pairs == whole.pairs
    assert [(tmp_path / one / "home" / "memory.jsonl").read_text() for one in ("torn", "whole")] == [
        (tmp_path / "whole" / "home" / "memory.jsonl").read_text()
    ] * 2


def test_a_kill_before_an_effect_was_kept_loses_nothing(tmp_path):
    made = night(tmp_path, n_trials=30).run()
    path = tmp_path / "home" / "memory.jsonl"
    before = path.read_text()
    path.write_text("")
    made.run()
    # The ledger knows the pairs: the next start tells the memory again.
    assert sorted(path.read_text().splitlines()) == sorted(before.splitlines())


def test_the_next_night_begins_where_the_last_one_ended(tmp_path):
    first = night(tmp_path, study="night-1", n_trials=30).run()
    second = night(tmp_path, seed=1, study="night-2", n_trials=30).run()
    elsewhere = night(tmp_path / "other", seed=1, study="night-2", n_trials=30).run()
    assert first.rounds[-1].focus
    # Its first round has the focus of the last night, and says of which.
    assert second.rounds[0].focus == first.rounds[-1].focus
    assert all("study night-1 ended with it" in reason for reason in second.rounds[0].changes)
    # Another home has learnt nothing.
    assert elsewhere.rounds[0].focus == {}


def test_remedies_find_sooner_what_a_plain_search_finds_where_dropout_cures(tmp_path):
    sooner, gains = [], []
    for seed in range(16):
        plain = night(tmp_path / f"plain-{seed}", seed, n_trials=48, steered=False).run().scores
        steered = night(tmp_path / f"steered-{seed}", seed, n_trials=48, n_rounds=4).run().scores
        level = max(plain)
        reached = next((n for n, score in enumerate(steered) if score >= level), 48)
        sooner.append(plain.index(level) - reached)
        gains.append(max(steered) - level)
    # Over seeds, the plain search's final score is reached earlier, although a search that never does counts as late.
    assert statistics.fmean(sooner) > 0
    # The same budget brings a better network, beyond luck: over three standard errors.
    assert statistics.fmean(gains) > 3 * statistics.stdev(gains) / len(gains) ** 0.5

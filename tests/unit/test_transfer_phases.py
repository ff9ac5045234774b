"""When a phase ends, what comes after it, and that both follow from the curve alone."""

import pytest
from making import epoch_row

from cnn.config.recipe import Recipe
from cnn.training.phases import first_phase


def recipe(epochs=4, patience=2, then=5):
    section = {"from": "imagenet", "then": {"epochs": then, "learning_rate": 0.25}} if then else None
    training = {"epochs": epochs, "patience": patience}
    return Recipe.model_validate({"training": training, "transfer": section})


def curve(*accuracies):
    return tuple(epoch_row(epoch, accuracy) for epoch, accuracy in enumerate(accuracies))


def walked(recipe, *accuracies):
    """The phase of each epoch of a curve and, last, of the one that would come after it."""
    rows = curve(*accuracies)
    phases = [first_phase(recipe)]
    for n_epochs in range(1, len(rows) + 1):
        phases.append(phases[-1].after(rows[:n_epochs]))
    return phases


def test_epochs_end_the_first_phase_and_then_the_run():
    phases = walked(recipe(epochs=2, then=3), 0.1, 0.2, 0.3, 0.4, 0.5)
    # Two epochs, three more, and nothing after them.
    assert [phase.first if phase else None for phase in phases] == [0, 0, 2, 2, 2, None]
    assert phases[4].ending(curve(0.1, 0.2, 0.3, 0.4, 0.5)) == "all epochs"


def test_patience_ends_the_phase_and_not_the_run():
    phases = walked(recipe(epochs=9), 0.5, 0.4, 0.4, 0.4)
    # Two epochs without a better one, and fine-tuning begins.
    assert [phase.first for phase in phases] == [0, 0, 0, 3, 3]
    # It moves with its own rate, the rest of the recipe as it was.
    assert (phases[3].recipe.optimizer.learning_rate, phases[0].recipe.optimizer.learning_rate) == (0.25, 0.001)


def test_a_second_phase_has_its_own_patience_and_the_best_epoch_is_that_of_both():
    phases = walked(recipe(epochs=2), 0.5, 0.6, 0.4, 0.4)
    # No epoch of it was as good as the best before: after two in vain it ends, not after the first.
    assert [phase is None for phase in phases] == [False, False, False, False, True]
    again = walked(recipe(epochs=2), 0.5, 0.6, 0.4, 0.7, 0.5)
    # One that was better is waited for from then on.
    assert again[-1] is not None


def test_without_patience_only_epochs_end_a_phase():
    phases = walked(recipe(patience=None, epochs=3, then=1), 0.5, 0.1, 0.1, 0.1)
    assert [phase.first if phase else None for phase in phases] == [0, 0, 0, 3, None]


@pytest.mark.parametrize("then", [None, 5])
def test_a_run_has_at_most_the_epochs_of_its_phases(then):
    made = recipe(epochs=3, patience=None, then=then)
    # What a screen shows as the total is what a run without patience trains.
    phases = walked(made, *[0.5] * made.most_epochs)
    assert phases[-1] is None and phases[-2] is not None


def test_a_run_without_transfer_has_one_phase():
    phases = walked(recipe(epochs=2, then=None), 0.5, 0.6)
    assert [phase.first if phase else None for phase in phases] == [0, 0, None]

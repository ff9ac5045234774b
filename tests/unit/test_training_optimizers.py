import numpy as np
import pytest

from cnn.config.recipe import OptimizerRecipe

pytestmark = pytest.mark.slow  # imports TensorFlow

NAMES = ["adam", "adamw", "sgd", "rmsprop"]


def made(**settings):
    from cnn.training.optimizers import make_optimizer
    from cnn.training.schedules import Schedule

    recipe = OptimizerRecipe(**settings)
    return make_optimizer(recipe, Schedule(recipe, 10))


def test_every_word_of_the_recipe_has_its_optimizer():
    from cnn.training.optimizers import OPTIMIZERS

    # The table and the recipe know the same words.
    assert sorted(OPTIMIZERS) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_decay_is_decoupled_and_spares_biases_and_batch_norm(name):
    import keras

    optimizer = made(name=name, learning_rate=0.1, weight_decay=0.5)
    variables = [keras.Variable(np.ones(3), name=word) for word in ("kernel", "bias", "gamma", "beta")]
    optimizer.apply([np.zeros(3, np.float32)] * 4, variables)
    # With a gradient of zero only the decay moves a weight: by rate x decay = 0.05 of it.
    assert variables[0].numpy() == pytest.approx(np.full(3, 0.95))
    # Everything but kernels stays where it is.
    assert all((variable.numpy() == 1).all() for variable in variables[1:])


def test_without_decay_nothing_is_decayed():
    # At 0.0 Keras would multiply every weight by one at each step.
    assert made(name="adamw").weight_decay is None


def test_sgd_has_nesterov_momentum():
    optimizer = made(name="sgd", momentum=0.8)
    # The recipe's momentum arrives, and it is Nesterov's.
    assert (optimizer.momentum, optimizer.nesterov) == (0.8, True)

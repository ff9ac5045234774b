"""What the train step says of each epoch."""

from making import epoch_row

from cnn.config.recipe import Recipe
from cnn.steps.train_screen import EpochScreen


def test_fine_tuning_is_said_to_begin_once(capsys):
    transfer = {"from": "imagenet", "then": {"epochs": 4, "learning_rate": 0.001}}
    recipe = Recipe.model_validate({"training": {"epochs": 5, "patience": 2}, "transfer": transfer})
    screen = EpochScreen(recipe)
    for epoch, accuracy in enumerate((0.5, 0.25, 0.25, 0.75, 0.25, 0.25)):
        screen.show(epoch_row(epoch, accuracy))
    lines = capsys.readouterr().out.splitlines()
    # After the third epoch, when patience has ended the first phase; that it ends the second as well says nothing more.
    assert [line.partition(":")[0] for line in lines] == [
        *(f"epoch {number}/9" for number in (1, 2, 3)),
        "fine-tuning begins",
        *(f"epoch {number}/9" for number in (4, 5, 6)),
    ]
    # How long, and how fast.
    assert "at most 4 epochs at learning rate 0.001" in lines[3]


def test_a_run_of_one_phase_says_its_epochs_alone(capsys):
    screen = EpochScreen(Recipe.model_validate({"training": {"epochs": 2}}))
    for epoch in range(2):
        screen.show(epoch_row(epoch))
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]

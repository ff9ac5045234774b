"""What the train step says on the screen: how it starts, each epoch, when fine-tuning begins."""

from typing import TYPE_CHECKING

import rich

from cnn.records import EpochRow

if TYPE_CHECKING:
    from cnn.config.params import TrainParams
    from cnn.config.recipe import Recipe


def say_start(recipe: "Recipe", params: "TrainParams") -> None:
    """What a recipe with `transfer` starts from, what of it stays, and how long each phase is; nothing without it."""
    if not (transfer := recipe.transfer):
        return
    layers = {"all": "all its layers frozen", "none": "no layer frozen"}
    frozen = layers.get(str(transfer.freeze), f"its first {transfer.freeze} stages frozen")
    whose = "of the recipe" if params.epochs is None else "of train.epochs, whatever the recipe says"
    after = f", then at most {transfer.then.epochs} of fine-tuning" if transfer.then else ", no fine-tuning"
    _say(f"starts from {transfer.from_}, {frozen}, for at most {recipe.training.epochs} epochs ({whose}){after}")


class EpochScreen:
    """A line an epoch, and one where fine-tuning comes next.

    Args:
        recipe: What is trained, from its first epoch on: a run that goes on gives its earlier epochs too.
    """

    def __init__(self, recipe: "Recipe") -> None:
        from cnn.training.phases import first_phase

        self._most, self._phase, self._curve = recipe.most_epochs, first_phase(recipe), tuple[EpochRow, ...]()

    def show(self, row: EpochRow) -> None:
        """Say how an epoch has ended."""
        score = "" if row.val_score == row.val_accuracy else f"score {row.val_score:.4f}, "
        rich.print(
            f"epoch {row.epoch + 1}/{self._most}: {score}validation accuracy {row.val_accuracy:.4f}, "
            f"gap {row.gap_accuracy:+.4f}, {row.seconds:.1f} s"
        )
        self._curve = (*self._curve, row)
        after = self._phase.after(self._curve)
        if after is not None and after is not self._phase:
            self._phase, rate = after, after.recipe.optimizer.learning_rate
            _say(f"fine-tuning begins: all layers move, at most {after.epochs} epochs at learning rate {rate:g}")


def _say(line: str) -> None:
    rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)

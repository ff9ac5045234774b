"""The phases of a run: one as a rule, two with fine-tuning. Where a run stands is a function of its curve alone."""

from dataclasses import dataclass

from cnn.config.recipe import Recipe
from cnn.config.transfer import FineTuneRecipe
from cnn.records import Curve, best_row


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run with one optimizer and one schedule.

    Args:
        recipe: With the phase's own learning rate.
        first: Its first epoch.
        epochs: How many it has, unless patience ends it.
        then: The phase after it.
    """

    recipe: Recipe
    first: int
    epochs: int
    then: FineTuneRecipe | None

    def ending(self, curve: Curve) -> str | None:
        """Why the phase is over after these epochs; None when it goes on.

        The best epoch is that of the whole curve, and patience begins anew with the phase: one that does not get better
        than the phase before ends after as many epochs as one that stops getting better.
        """
        if len(curve) - self.first >= self.epochs:
            return "all epochs"
        patience = self.recipe.training.patience
        if patience is not None and curve:
            waited = curve[-1].epoch - max(best_row(curve).epoch, self.first - 1)
            return "early stopping" if waited >= patience else None
        return None

    def after(self, curve: Curve) -> "Phase | None":
        """The phase in which the epoch after this curve is trained; None when the run is over."""
        if self.ending(curve) is None:
            return self
        if self.then is None:
            return None
        optimizer = self.recipe.optimizer.model_copy(update={"learning_rate": self.then.learning_rate})
        recipe = self.recipe.model_copy(update={"optimizer": optimizer})
        return Phase(recipe=recipe, first=len(curve), epochs=self.then.epochs, then=None)


def first_phase(recipe: Recipe) -> Phase:
    """The phase in which every run begins."""
    then = recipe.transfer.then if recipe.transfer else None
    return Phase(recipe=recipe, first=0, epochs=recipe.training.epochs, then=then)

"""What a curve's clean figures say, in numbers: the gap with its interval, the turn, the noise, the last trend.

Only `clean_train_*` and `val_*` are read: the running figures of training have dropout, augmentation and a network that
changed meanwhile in them.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from cnn.diagnosis.noise import (
    Interval,
    difference_interval,
    epoch_noise,
    fraction_interval,
    trend,
    turning_point,
)
from cnn.records import Curve, Task, best_row

_UNSURE = 0.5  # the part of an accuracy's sampling variance that may come anew with an epoch: images on the brink
_SAME_LEVEL = 0.02  # of the way from guessing: less is no improvement that matters
_LOSS_SPREAD = 1.5  # standard deviation of an image's loss as a multiple of the mean loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of what a curve was scored on.

    Args:
        n_clean: Training images scored for `clean_train_*`; 1 or more.
        n_val: Validation images; 1 or more.
        n_classes: 2 or more; 1 or more labels.
    """

    n_clean: int
    n_val: int
    n_classes: int
    task: Task = Task.MULTICLASS

    def figures(self) -> dict[str, float]:
        """By name; `multilabel` is 1 or 0."""
        sizes = {"n_clean": self.n_clean, "n_val": self.n_val, "n_classes": self.n_classes}
        return {**sizes, "multilabel": self.task is Task.MULTILABEL}

    @property
    def chance(self) -> float:
        """The accuracy of guessing among classes that are equally frequent; with several labels, of a coin for each."""
        return 0.5**self.n_classes if self.task is Task.MULTILABEL else 1.0 / self.n_classes

    @property
    def chance_loss(self) -> float:
        """The cross-entropy of guessing, in nats."""
        return math.log(2 if self.task is Task.MULTILABEL else self.n_classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """How validation loss rises from its turn to the end.

    Args:
        epoch: Where it turns, 0-based.
        slope: Theil-Sen, in nats an epoch.
        share: The rise over the loss at the turn.
        p: One-sided, of Kendall's test on the epochs since the turn.
        images_z: The rise in standard errors of what other validation images might show.
        clean_slope: That of the clean training loss over the same epochs.
    """

    epoch: int
    slope: float
    share: float
    p: float
    images_z: float
    clean_slope: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """What the last third of the run still brought.

    Args:
        n_epochs: In it.
        slope: Of the validation loss, Theil-Sen, in nats an epoch.
        p: One-sided, of falling; the larger of those of validation and clean training loss.
        pace: The slope as a part of the mean one from guessing to the end: near 1 while learning, near 0 when done.
    """

    n_epochs: int
    slope: float
    p: float
    pace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A curve in numbers.

    Args:
        best: The best epoch, 0-based.
        gap: Clean training minus validation accuracy at the best epoch, with its interval.
        gap_typical: Their median over the later half of the run.
        gap_slope: Of the gap in accuracy over all epochs, an epoch.
        clean_accuracy: At the best epoch, with its interval.
        learnt: The best clean accuracy as a part of the way from guessing to 1.
        loss_learnt: The fall of the clean loss below that of guessing, as a part of it.
        noise: From epoch to epoch, in accuracy: what training and validation have in common, beyond what so few images
            give, as a part of the way from guessing to 1.
        noise_loss: From epoch to epoch, of the clean loss, over that of guessing.
        improved_until: The epoch, 0-based, from which on the validation loss stays at its later level.
        blown_up: The clean loss at its highest, and in the last third, over that of guessing.
    """

    n_epochs: int
    best: int
    gap: Interval
    gap_typical: float
    gap_slope: float
    clean_accuracy: Interval
    learnt: float
    loss_learnt: float
    noise: float
    noise_loss: float
    improved_until: int
    peak: float
    blown_up: float
    rise: Rise
    last: Last

    def figures(self) -> dict[str, float]:
        """All of it by name, flat; epochs from 1."""
        flat: dict[str, float] = {}
        for name, value in asdict(self).items():
            inner = value if isinstance(value, dict) else {"": value}
            flat |= {f"{name}_{key}".rstrip("_"): float(number) for key, number in inner.items()}
        return flat | {name: flat[name] + 1 for name in ("best", "improved_until", "rise_epoch")}


def read_curve(curve: Curve, sizes: Sizes, *, confidence: float) -> Reading:
    """The numbers of a curve.

    Args:
        curve: One epoch or more.
        confidence: Of the intervals.
    """
    best, tail = best_row(curve), curve[-max(4, len(curve) // 3) :]
    clean = fraction_interval(best.clean_train_accuracy, sizes.n_clean, confidence=confidence)
    return Reading(
        n_epochs=len(curve),
        best=best.epoch,
        gap=difference_interval(
            best.clean_train_accuracy, sizes.n_clean, best.val_accuracy, sizes.n_val, confidence=confidence
        ),
        gap_typical=float(np.median([row.gap_accuracy for row in curve[len(curve) // 2 :]])),
        gap_slope=trend([row.gap_accuracy for row in curve]).slope,
        clean_accuracy=clean,
        learnt=(max(row.clean_train_accuracy for row in curve) - sizes.chance) / (1 - sizes.chance),
        loss_learnt=1 - min(row.clean_train_loss for row in curve) / sizes.chance_loss,
        noise=_noise(curve, sizes),
        noise_loss=epoch_noise([row.clean_train_loss for row in _later(curve)]) / sizes.chance_loss,
        improved_until=_improved_until(curve, sizes),
        peak=max(row.clean_train_loss for row in curve) / sizes.chance_loss,
        blown_up=float(np.median([row.clean_train_loss for row in tail])) / sizes.chance_loss,
        rise=_rise(curve, sizes),
        last=_last(tail, len(curve), sizes),
    )


def _noise(curve: Curve, sizes: Sizes) -> float:
    """The part that both samples share is the network's: their own images stay the same from epoch to epoch."""
    both = [(row.clean_train_accuracy + row.val_accuracy) / 2 for row in _later(curve)]
    level = float(np.clip(np.median(both), 0.0, 1.0))
    few = _UNSURE * level * (1 - level) / 4 * (1 / sizes.n_clean + 1 / sizes.n_val)
    return math.sqrt(max(0.0, epoch_noise(both) ** 2 - few)) / (1 - sizes.chance)


def _later(curve: Curve) -> Curve:
    """Without the first quarter, which learns so fast that a bend looks like noise."""
    return curve[len(curve) // 4 :]


def _rise(curve: Curve, sizes: Sizes) -> Rise:
    losses = [row.val_loss for row in curve]
    turn = turning_point(losses)
    since = curve[turn:]
    found = trend([row.val_loss for row in since])
    risen, lowest, ending = found.slope * (len(since) - 1), losses[turn], float(np.median(losses[-3:]))
    by_chance = _LOSS_SPREAD * max(ending, 1e-9) / math.sqrt(sizes.n_val)
    return Rise(
        epoch=turn,
        slope=found.slope,
        share=risen / max(lowest, 1e-9),
        p=found.p_rising,
        images_z=risen / by_chance,
        clean_slope=trend([row.clean_train_loss for row in since]).slope,
    )


def _last(tail: Curve, n_epochs: int, sizes: Sizes) -> Last:
    held, clean = (trend([row.val_loss for row in tail]), trend([row.clean_train_loss for row in tail]))
    fallen = max(sizes.chance_loss - tail[-1].val_loss, 1e-3 * sizes.chance_loss)
    return Last(
        n_epochs=len(tail),
        slope=held.slope,
        p=max(held.p_falling, clean.p_falling),
        pace=-held.slope * n_epochs / fallen,
    )


def _improved_until(curve: Curve, sizes: Sizes) -> int:
    """Level and noise are those of the later half: what lies within two deviations of it is the same level."""
    losses = [row.val_loss for row in curve]
    later = losses[len(losses) // 2 :]
    level, noise = float(np.median(later)), max(2 * epoch_noise(later), _SAME_LEVEL * sizes.chance_loss)
    smooth = [float(np.median(losses[max(0, epoch - 1) : epoch + 2])) for epoch in range(len(losses))]
    above = [epoch for epoch, loss in enumerate(smooth) if loss > level + noise]
    return above[-1] + 1 if above else 0

"""What a curve's clean figures say, in numbers: the gap with its interval, the turn, the noise, the last trend.

Only `clean_train_*` and `val_*` are read: the running figures of training have dropout, augmentation and a network that
changed meanwhile in them.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

from cnn.diagnosis.noise import (
    Interval,
    beyond_chance,
    difference_interval,
    epoch_noise,
    fraction_interval,
    trend,
    turning_point,
)
from cnn.records import Curve, Task, best_row

_UNSURE = 0.5  # the part of an accuracy's sampling variance that may come anew with an epoch: images on the brink
_SAME_LEVEL = 0.02  # of the way from guessing: less is no improvement that matters
_SURELY = 1e-3  # a network that was never trained may prefer a class, and that class be frequent
_LOSS_SPREAD = 1.5  # standard deviation of an image's loss as a multiple of the mean loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of what a curve was scored on.

    Args:
        n_clean: Training images scored for `clean_train_*`; 1 or more.
        n_val: Validation images; 1 or more.
        n_classes: 2 or more; 1 or more labels.
        n_train: Images trained on, of which those scored are a part; None: not known, at least `n_clean`.
    """

    n_clean: int
    n_val: int
    n_classes: int
    task: Task = Task.MULTICLASS
    n_train: int | None = None

    def figures(self) -> dict[str, float]:
        """By name; `multilabel` is 1 or 0."""
        sizes = {"n_clean": self.n_clean, "n_val": self.n_val, "n_classes": self.n_classes}
        known = {} if self.n_train is None else {"n_train": self.n_train}
        return {**sizes, **known, "multilabel": self.task is Task.MULTILABEL}

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
        grasped: The gain in accuracy from the first epoch to the last third that training and validation images have in
            common, where both are then better than guessing beyond chance; else 0.
        annealed: The last epoch's learning rate over the highest.
        loss_learnt: The fall of the clean loss below that of guessing, as a part of it.
        noise: From epoch to epoch, in accuracy: what training and validation have in common, beyond what so few images
            give, as a part of the way from guessing to 1.
        noise_loss: From epoch to epoch, of the clean loss, over that of guessing.
        jumps: From epoch to epoch, in accuracy: all that training and validation have in common.
        jumps_chance: As much as `jumps` would be if every image fell anew in every epoch: so few images give no more.
        noisy_epochs: That the noise was taken from.
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
    grasped: float
    annealed: float
    loss_learnt: float
    noise: float
    noise_loss: float
    jumps: float
    jumps_chance: float
    noisy_epochs: int
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
    jumps, jumps_chance = _jumps(curve, sizes)
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
        grasped=_grasped(curve, tail, sizes),
        annealed=curve[-1].learning_rate / max(1e-300, *(row.learning_rate for row in curve)),
        loss_learnt=1 - min(row.clean_train_loss for row in curve) / sizes.chance_loss,
        noise=math.sqrt(max(0.0, jumps**2 - _UNSURE * jumps_chance**2)) / (1 - sizes.chance),
        noise_loss=epoch_noise([row.clean_train_loss for row in _later(curve)]) / sizes.chance_loss,
        jumps=jumps,
        jumps_chance=jumps_chance,
        noisy_epochs=len(_later(curve)),
        improved_until=_improved_until(curve, sizes),
        peak=max(row.clean_train_loss for row in curve) / sizes.chance_loss,
        blown_up=float(np.median([row.clean_train_loss for row in tail])) / sizes.chance_loss,
        rise=_rise(curve, sizes),
        last=_last(tail, len(curve), sizes),
    )


def _grasped(curve: Curve, tail: Curve, sizes: Sizes) -> float:
    clean = float(np.median([row.clean_train_accuracy for row in tail]))
    held = float(np.median([row.val_accuracy for row in tail]))
    p = max(beyond_chance(clean, sizes.n_clean, sizes.chance), beyond_chance(held, sizes.n_val, sizes.chance))
    gained = min(clean - curve[0].clean_train_accuracy, held - curve[0].val_accuracy)
    return gained if p < _SURELY else 0.0


def _jumps(curve: Curve, sizes: Sizes) -> tuple[float, float]:
    """(what both samples share, what chance would make of it): the network's part, as their images stay the same."""
    both = [(row.clean_train_accuracy + row.val_accuracy) / 2 for row in _later(curve)]
    level = float(np.clip(np.median(both), 0.0, 1.0))
    return epoch_noise(both), math.sqrt(level * (1 - level) / 4 * (1 / sizes.n_clean + 1 / sizes.n_val))


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

"""Sections that show images: the most confident mistakes, and where the network looks."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.evaluation.predictions import Predictions
from cnn.reports.page import Picture, Section
from cnn.reports.pictures import overlay, pixels, sheet_picture, thumbnail
from cnn.reports.run_parts import Part, RunFacts

_N_MISTAKES = 12
_N_LOOKS = 6
_LONGEST_NAME = 28  # characters beside an image

Indices = npt.NDArray[np.int64]


def mistakes_section(facts: RunFacts, out: Path) -> Part:
    """The wrong answers it was surest of."""
    path, wrong = out / "mistakes.png", confident_mistakes(facts, _N_MISTAKES)
    images = [pixels(facts.images[index]) for index in wrong]
    captions = [_caption(facts, index) for index in wrong]
    sheet_picture(images, captions, path)
    n_wrong = int((~facts.predictions.correct).sum())
    text = f"Of {n_wrong:,} mistakes these {len(wrong)} are the ones it was surest of." if n_wrong else "It made none."
    notes = ("Look for wrong labels first: a network this sure and this wrong is sometimes right.",) if n_wrong else ()
    section = Section(title="Its most confident mistakes", text=(text,), cards=_cards(images, captions), notes=notes)
    return section, (path,)


def grad_cam_section(facts: RunFacts, out: Path) -> Part:
    """Heat maps of right and of wrong answers."""
    from cnn.evaluation.grad_cam import grad_cam

    path = out / "grad_cam.png"
    chosen = np.concatenate([right_answers(facts, _N_LOOKS), confident_mistakes(facts, _N_LOOKS)])
    images = np.stack([facts.images[index] for index in chosen])
    asked = [_asked_about(facts, index) for index in chosen]
    try:
        heat = grad_cam(facts.model, images, asked)
    except ValueError as error:
        sheet_picture((), (), path)
        return Section(title="Where it looks", text=(f"This cannot be shown: {error}",)), (path,)
    shown = [overlay(pixels(image), warmth) for image, warmth in zip(images, heat, strict=True)]
    names = facts.head.class_names
    captions = [f"{_caption(facts, index)}\nheat: {names[about]}" for index, about in zip(chosen, asked, strict=True)]
    sheet_picture(shown, captions, path)
    section = Section(
        title="Where it looks",
        text=("Each image, and beside it, bright, what spoke for the class named last; right answers first.",),
        cards=_cards(shown, captions),
        notes=(
            "Grad-CAM on the last feature maps; the coarser these are, the coarser the heat. Selvaraju et al., "
            "“Grad-CAM: visual explanations from deep networks via gradient-based localization”, ICCV 2017.",
        ),
    )
    return section, (path,)


def confident_mistakes(facts: RunFacts, n: int) -> Indices:
    """Indices of at most n wrong answers, the surest first; among equals the earlier one."""
    wrong = np.flatnonzero(~facts.predictions.correct)
    return wrong[np.argsort(-certainty(facts.predictions)[wrong], kind="stable")[:n]]


def right_answers(facts: RunFacts, n: int) -> Indices:
    """Indices of at most n right answers, as different as they are: the first of each answer, then the second."""
    right = np.flatnonzero(facts.predictions.correct)
    met: Counter[bytes] = Counter()
    turn = []
    for index in right:
        answer = facts.predictions.labels[index].tobytes()
        turn.append(met[answer])
        met[answer] += 1
    return right[np.argsort(np.array(turn, dtype=np.int64), kind="stable")[:n]]


def certainty(predictions: Predictions) -> npt.NDArray[np.float64]:
    """(n,) how sure an answer is: the probability of the predicted class; with several labels an image, how far the
    worst of them is from the truth.
    """
    probs = predictions.probs.astype(np.float64)
    if predictions.labels.ndim == 2:
        return np.asarray(np.abs(predictions.labels - probs).max(axis=1))
    return np.asarray(probs[np.arange(len(probs)), predictions.predicted])


def _asked_about(facts: RunFacts, index: int) -> int:
    """The predicted class; with several labels an image the surest one."""
    predictions = facts.predictions
    return int(predictions.probs[index].argmax() if predictions.labels.ndim == 2 else predictions.predicted[index])


def _cards(images: Sequence[npt.NDArray[np.uint8]], captions: Sequence[str]) -> tuple[Picture, ...]:
    return tuple(
        Picture(png=thumbnail(image), alt=caption.replace("\n", ", "), caption=caption)
        for image, caption in zip(images, captions, strict=True)
    )


def _caption(facts: RunFacts, index: int) -> str:
    actual, predicted = facts.predictions.labels[index], facts.predictions.predicted[index]
    said = f"{_name(facts.predictions, index)}\npredicted {_answer(facts, index, predicted)}"
    return f"{said}\nright" if np.array_equal(actual, predicted) else f"{said}\nis {_answer(facts, index, actual)}"


def _name(predictions: Predictions, index: int) -> str:
    """The file, of a long path its end; the place in the test set where images came as arrays."""
    if not predictions.names:
        return f"test image {index}"
    name = predictions.names[index]
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def _answer(facts: RunFacts, index: int, answer: Any) -> str:
    """A class, or labels, with the probability that each was given."""
    held = np.flatnonzero(answer) if np.ndim(answer) else [int(answer)]
    names, probs = facts.head.class_names, facts.predictions.probs[index]
    return ", ".join(f"{names[one]} ({probs[one]:.3f})" for one in held) or "nothing"

"""The gate: a challenger passes all rules, or the first of them that fails says why not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from cnn.config.params import PromoteParams
from cnn.evaluation.comparison import PairedTest, paired_test
from cnn.evaluation.predictions import Predictions
from cnn.promotion.paired import better, calibration, classes
from cnn.promotion.ruling import Ruling, failed, with_untried
from cnn.promotion.spending import left, level, look_number, looks, n_looks, pair_of
from cnn.promotion.verdict import Verdict
from cnn.tracking.registry import Version

WAY_OUT = "choose another register.name, remove the alias champion in MLflow, or give cnn promote --force a reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What two versions said about the same test images; or why they cannot be compared.

    Args:
        anew: The champion was tested on other images, and was measured on these for the comparison.
        misfit: Why there is nothing to compare, in words; then there are no predictions.
    """

    challenger: Predictions | None = None
    champion: Predictions | None = None
    anew: bool = False
    misfit: str = ""


def decide(
    challenger: Version,
    champion: Version | None,
    *,
    rulings: Sequence[Ruling],
    match: Callable[[Version], Match],
    params: PromoteParams,
    lines: Sequence[Mapping[str, Any]],
) -> Verdict:
    """The verdict; the test images are looked at only for a challenger that passes all else.

    Args:
        rulings: What the challenger alone has shown.
        match: Finds what it and the champion said; asked only when the comparison is due.
        lines: Decisions about the name so far, by which the looks are counted.
    """
    digest = challenger.tags["sha256"]
    verdict = partial(
        Verdict, challenger=challenger.number, champion=champion.number if champion else None, digest=digest
    )
    if held := failed(rulings):
        return verdict(promoted=False, reason=reason_of(held), rules=with_untried(rulings))
    if champion is None:
        return verdict(promoted=True, reason="there was no champion", rules=with_untried(rulings))
    found = match(champion)
    if found.misfit:
        misfit = Ruling(rule="comparable", passed=False, sentence=f"{found.misfit}: {WAY_OUT}")
        return verdict(promoted=False, reason=misfit.sentence, rules=with_untried([*rulings, misfit]))
    test_hash, sketch = (challenger.tags.get(tag, "") for tag in ("test_hash", "test_sketch"))
    seen, pair = looks(lines, test_hash, sketch), pair_of(digest, champion.tags["sha256"])
    look = look_number(seen, test_hash, pair)
    test, compared = comparison(found, params, look)
    return verdict(
        promoted=not failed(compared),
        reason=outcome(compared, anew=found.anew),
        rules=with_untried([*rulings, *compared]),
        figures=figures_of(test),
        test_hash=test_hash,
        test_sketch=sketch,
        pair=pair,
        look=look,
        level=level(params.alpha, look),
        left=left(max(look, n_looks(seen))),
    )


def outcome(compared: Sequence[Ruling], *, anew: bool) -> str:
    """What the comparison says, in words: the rules that failed, or how much better the challenger is."""
    held = failed(compared)
    reason = reason_of(held) if held else next(ruling.sentence for ruling in compared if ruling.rule == "better")
    if anew:
        reason = f"the champion was measured anew on the present test images: {reason}"
        reason += f"; if it was trained on some of them, {WAY_OUT}" if held else ""
    return reason


def comparison(match: Match, params: PromoteParams, look: int) -> tuple[PairedTest, tuple[Ruling, ...]]:
    """The rules that need both models' predictions, all of them.

    Args:
        look: Its number at these test images, 1 or more.
    """
    challenger, champion = match.challenger, match.champion
    if challenger is None or champion is None:
        raise ValueError("Expected predictions of both. Received none.")
    test = paired_test(challenger, champion, margin=params.margin)
    guard = params.guard_alpha
    words = "the champion was tested on other images, and was measured on these" if match.anew else "the same images"
    return test, (
        Ruling(rule="comparable", passed=True, sentence=words),
        better(test, level=level(params.alpha, look), margin=params.margin, look=look),
        classes(challenger, champion, limit=params.class_loss, alpha=guard),
        calibration(challenger, champion, limit=params.brier_loss, alpha=guard),
    )


def reason_of(held: Sequence[Ruling]) -> str:
    """The rules that failed, in words."""
    return "; ".join(ruling.sentence for ruling in held)


def figures_of(test: PairedTest) -> dict[str, float]:
    """A paired test as figures."""
    return {name: float(value) for name, value in asdict(test).items()}

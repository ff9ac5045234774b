"""Step 6: the champion moves when the challenger is better on the same test images, beyond luck."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.params import Params

if TYPE_CHECKING:
    from cnn.evaluation.comparison import PairedTest
    from cnn.evaluation.predictions import Predictions
    from cnn.tracking.registry import Registry, Version
    from cnn.tracking.tracker import Tracker

LEDGER = "promotions.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was decided about a challenger, and why.

    Args:
        champion: Number of the version that was champion before; None when there was none.
        figures: Of the paired test: wins, losses, n, difference and its interval, p_value; empty when none was made.
    """

    promoted: bool
    reason: str
    challenger: int
    champion: int | None
    figures: Mapping[str, float] = field(default_factory=dict)

    def sentence(self) -> str:
        """The verdict as a person reads it."""
        outcome = "is champion now" if self.promoted else "was not promoted"
        return f"version {self.challenger} {outcome}: {self.reason}"


def promote(params: Params, environment: Environment, tracker: "Tracker", registry: "Registry") -> Verdict:
    """Decide about the challenger, write the decision down, and move the alias when it won.

    Raises:
        ConfigError: There is no challenger.
        IntegrityError: Predictions kept with a version are damaged.
        ServiceError: The registry does not answer.
    """
    from cnn.errors import ConfigError
    from cnn.tracking.promotions import append_promotion, promoting, read_promotions
    from cnn.tracking.registry import CHALLENGER, CHAMPION

    name, ledger = params.register_.name, environment.home / LEDGER
    with promoting(environment.home):
        challenger, champion = (registry.version_by_alias(name, alias) for alias in (CHALLENGER, CHAMPION))
        if challenger is None or not challenger.is_ours:
            received = "no challenger" if challenger is None else f"version {challenger.number}, registered by others"
            raise ConfigError(name, received=received, expected="a version of cnn register", change="run cnn register")
        history = read_promotions(ledger)
        if champion is not None and champion.number == challenger.number:
            return decided(history, name, challenger.number)
        verdict = judge(challenger, champion, registry, alpha=params.promote.alpha)
        if not history or not is_about(history[-1], name, verdict):  # a rerun after a kill says it once
            append_promotion(ledger, entry(name, verdict))
        said = {"promotion": "promoted" if verdict.promoted else "refused", "promotion_reason": verdict.reason}
        registry.set_tags(challenger, said)
        if verdict.promoted:
            registry.set_alias(challenger, CHAMPION)  # the last: a champion always has its reason
    tracker.set_tags(challenger.run_key, said)
    return verdict


def decided(history: Sequence[Mapping[str, Any]], name: str, number: int) -> Verdict:
    """What was decided about the present champion when it was promoted."""
    for line in reversed(history):
        if line["model"] == name and line["challenger"] == number and line["promoted"]:
            return Verdict(**{field: line[field] for field in Verdict.__dataclass_fields__})
    return Verdict(promoted=False, reason="it is the champion already", challenger=number, champion=number)


def is_about(line: Mapping[str, Any], name: str, verdict: Verdict) -> bool:
    """Whether a line of the ledger is this very verdict."""
    return all(line.get(field) == value for field, value in entry(name, verdict).items())


def judge(challenger: "Version", champion: "Version | None", registry: "Registry", *, alpha: float) -> Verdict:
    """Compare two versions by the images of the test set that only one of them gets right.

    Args:
        alpha: Level of the one-sided exact McNemar test, in [0, 1).
    """
    verdict = partial(Verdict, challenger=challenger.number, champion=champion.number if champion else None)
    if champion is None:
        return verdict(promoted=True, reason="there was no champion")
    if not champion.is_ours:
        return verdict(promoted=False, reason="the champion was registered by others: nothing is known of its test")
    if champion.tags.get("test_hash") != challenger.tags.get("test_hash"):
        reason = "they were tested on different images: register the champion's recipe again on the present test set"
        return verdict(promoted=False, reason=reason)
    test = paired(challenger, champion, registry)
    promoted = test.difference > 0 and test.p_value < alpha
    return verdict(promoted=promoted, reason=reason_of(test, alpha), figures=figures_of(test))


def paired(challenger: "Version", champion: "Version", registry: "Registry") -> "PairedTest":
    """The paired test of two versions on their common test images."""
    from cnn.evaluation.comparison import mcnemar

    return mcnemar(_predictions(challenger, registry).correct, _predictions(champion, registry).correct)


def reason_of(test: "PairedTest", alpha: float) -> str:
    """The outcome of a paired test in words."""
    counts = (
        f"right where the champion is wrong on {test.wins} of {test.n} images, wrong where it is right on {test.losses}"
    )
    if test.difference <= 0:
        return f"not better: {counts}"
    relation = "below" if test.p_value < alpha else "not below"
    return f"better by {100 * test.difference:.2f} points: {counts}; p = {test.p_value:.2g}, {relation} {alpha:g}"


def figures_of(test: "PairedTest") -> dict[str, float]:
    """A paired test as figures."""
    return {name: float(value) for name, value in asdict(test).items()}


def entry(name: str, verdict: Verdict) -> dict[str, object]:
    """A verdict as a line of the ledger."""
    return {"model": name, **asdict(verdict)}


def _predictions(version: "Version", registry: "Registry") -> "Predictions":
    from cnn.evaluation.predictions import read_predictions

    with TemporaryDirectory() as folder:
        path = registry.download_file(version, "predictions.npz", Path(folder))
        return read_predictions(path, version.tags["sha256.predictions.npz"])

"""Step 6: the champion moves when the challenger is better on the same test images, beyond luck."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.outputs import PREPARED
from cnn.config.params import Params
from cnn.steps.evaluate import load_model, predictions_on_test

if TYPE_CHECKING:
    from cnn.data.prepared.store import Prepared
    from cnn.evaluation.comparison import PairedTest
    from cnn.evaluation.predictions import Predictions
    from cnn.records import Head
    from cnn.tracking.registry import Registry, Version
    from cnn.tracking.tracker import Tracker

LEDGER = "promotions.jsonl"
_WAY_OUT = "choose another register.name, or remove the alias champion in MLflow"


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


def promote(
    params: Params, environment: Environment, tracker: "Tracker", registry: "Registry", *, data: Path = PREPARED
) -> Verdict:
    """Decide about the challenger, write the decision down, and move the alias when it won.

    Args:
        data: Folder of the prepared arrays; opened only when the champion was tested on other images than the
            challenger, and then its test images too.

    Raises:
        ConfigError: There is no challenger.
        IntegrityError: A model or predictions kept with a version are damaged, or the prepared test images are, or they
            are not those that the challenger was tested on.
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
        verdict = judge(challenger, champion, registry, params, data)
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


def judge(
    challenger: "Version", champion: "Version | None", registry: "Registry", params: Params, data: Path
) -> Verdict:
    """Compare two versions by the images of the test set that only one of them answers entirely right.

    A champion that was tested on other images is measured anew on those of the challenger; what it was registered with
    stays as it is.
    """
    from cnn.evaluation.comparison import mcnemar

    verdict = partial(Verdict, challenger=challenger.number, champion=champion.number if champion else None)
    if champion is None:
        return verdict(promoted=True, reason="there was no champion")
    if not champion.is_ours:
        reason = f"the champion was registered by others, nothing is known of its test: {_WAY_OUT}"
        return verdict(promoted=False, reason=reason)
    alpha = params.promote.alpha
    of_champion, of_challenger = (kept_predictions(version, registry) for version in (champion, challenger))
    if misfit := task_misfit(of_champion.head, of_challenger.head):
        return verdict(promoted=False, reason=f"{misfit}: {_WAY_OUT}")
    anew = False
    if champion.tags.get("test_hash") != challenger.tags.get("test_hash"):
        prepared, model, anew = _present_data(data, challenger), _loaded(champion, registry), True
        if misfit := misfit_of(model, of_champion.class_names, prepared):
            return verdict(promoted=False, reason=f"{misfit}: {_WAY_OUT}")
        size, thresholds = params.evaluate.batch_size, of_champion.thresholds
        of_champion = predictions_on_test(model, prepared, batch_size=size, thresholds=thresholds)
    test = mcnemar(of_challenger.correct, of_champion.correct)
    promoted = test.difference > 0 and test.p_value < alpha
    reason = reason_of(test, alpha)
    if anew:
        reason = f"the champion was measured anew on the present test images: {reason}"
        reason += "" if promoted else f"; if it was trained on some of them, {_WAY_OUT}"
    return verdict(promoted=promoted, reason=reason, figures=figures_of(test))


def task_misfit(champion: "Head", challenger: "Head") -> str:
    """Why two versions cannot be compared whatever the images, in words; empty when they can."""
    if champion.task is not challenger.task:
        return f"the champion is a {champion.task} model, the challenger a {challenger.task} one"
    if champion.ancestors != challenger.ancestors:
        return "the champion's classes stand in another tree than the challenger's"
    return ""


def misfit_of(model: Any, class_names: Sequence[str], prepared: "Prepared") -> str:
    """Why a model cannot be measured on these images, in words; empty when it can.

    Args:
        class_names: Of the model; empty where they were not kept, and their number must do.
    """
    taken, present = ("x".join(map(str, shape)) for shape in (model.input_shape[1:], prepared.image_shape))
    if taken != present:
        return f"the champion takes images of {taken}, the present ones are of {present}"
    n_classes = model.output_shape[-1]
    if n_classes != len(prepared.class_names):
        return f"the champion tells {n_classes} classes apart, the present images have {len(prepared.class_names)}"
    if class_names and tuple(class_names) != prepared.class_names:
        return "the champion's classes bear other names, or stand in another order, than those of the present images"
    return ""


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


def kept_predictions(version: "Version", registry: "Registry") -> "Predictions":
    """What a version said about the test images when it was evaluated."""
    from cnn.evaluation.predictions import read_predictions

    with TemporaryDirectory() as folder:
        path = registry.download_file(version, "predictions.npz", Path(folder))
        return read_predictions(path, version.tags["sha256.predictions.npz"])


def _present_data(data: Path, challenger: "Version") -> "Prepared":
    """The prepared set, whose test images are those of the challenger."""
    from cnn.data.prepared.store import read_prepared
    from cnn.errors import IntegrityError

    prepared = read_prepared(data)
    if prepared.test_hash != challenger.tags.get("test_hash"):
        raise IntegrityError(
            data,
            received="other test images than the challenger was tested on",
            expected="the same, to measure the champion on them too",
            change="run cnn evaluate and cnn register, then cnn promote",
        )
    return prepared


def _loaded(version: "Version", registry: "Registry") -> Any:
    """A version's kept model, its digest checked."""
    from cnn.runtime import configure_process

    configure_process(threads=None)
    with TemporaryDirectory() as folder:
        return load_model(registry.download(version, Path(folder)), version.tags["sha256"])

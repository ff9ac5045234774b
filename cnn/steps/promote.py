"""Step 6: the champion moves when the challenger passes the gate: sound, and better on the same images beyond luck."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.outputs import PREPARED
from cnn.config.params import Params
from cnn.promotion.verdict import Verdict, says_the_same, verdict_from
from cnn.steps.evaluate import predictions_on_test
from cnn.tracking.promotions import LEDGER

if TYPE_CHECKING:
    from cnn.data.prepared.store import Prepared
    from cnn.promotion.gate import Match
    from cnn.promotion.log import Standing
    from cnn.records import Head
    from cnn.tracking.registry import Registry, Version
    from cnn.tracking.tracker import Tracker

__all__ = ["LEDGER", "Verdict", "promote"]

_ATTEMPTS = 10


def promote(
    params: Params,
    environment: Environment,
    tracker: "Tracker",
    registry: "Registry",
    *,
    number: int | None = None,
    force: str | None = None,
    data: Path = PREPARED,
) -> Verdict:
    """Decide about the challenger, write the decision down, and move the alias when it won.

    Args:
        number: Of the version to decide about; None for the one with the alias `challenger`.
        force: Why it should be champion whatever the rules say; kept, with the rules that failed. What is not as it was
            registered is not forced.
        data: Folder of the prepared arrays; opened only when the champion was tested on other images than the
            challenger, and then its test images too.

    Raises:
        ConfigError: There is no such version, or the reason is empty or cannot be kept.
        IntegrityError: The prepared test images are damaged or not those that the challenger was tested on; a line of
            the history is damaged; the challenger is, and was to be forced.
        ServiceError: The registry does not answer, or somebody else keeps moving the champion.
    """
    from cnn.promotion.log import DecisionLog, tags_of
    from cnn.promotion.reason import kept_reason
    from cnn.tracking.promotions import promoting

    force = None if force is None else kept_reason("--force", force, needed=True)
    name, log = params.register_.name, DecisionLog(registry, params.register_.name, environment)
    with promoting(environment.home):
        challenger, verdict = _decided_and_settled(
            log,
            lambda: _challenger(registry, name, number),
            partial(judge, registry=registry, params=params, environment=environment, data=data),
            force,
        )
    if verdict.rules:
        tracker.set_tags(challenger.run_key, tags_of(verdict.document()))
        _keep(tracker, challenger.run_key, verdict)
    if force is not None and not verdict.promoted and verdict.failed:
        raise _not_even_by_force(challenger, verdict)
    return verdict


def _decided_and_settled(
    log: Any, find: Callable[[], "Version"], judged: Callable[..., Verdict], force: str | None
) -> tuple["Version", Verdict]:
    """The verdict that counts. When another process moved the champion meanwhile, it is made again, and says so."""
    from cnn.errors import ServiceError

    before: Standing | None = None
    for _ in range(_ATTEMPTS):
        standing, challenger = log.standing(), find()
        champion = standing.champion
        if champion is not None and champion.number == challenger.number:
            return challenger, _in_office(standing, challenger)
        moved = before is not None and _number(before.champion) != _number(champion)
        if moved and force is not None:
            break
        verdict = forced(judged(challenger, standing), force)
        if moved:
            now = f"version {champion.number}" if champion else "nobody"
            verdict = replace(verdict, reason=f"the champion moved meanwhile, to {now}; {verdict.reason}")
        if standing.lines and says_the_same(standing.lines[-1], verdict):  # a rerun after a kill says it once
            return challenger, verdict
        if log.append(verdict.document(), standing.head):
            log.standing()
            return challenger, verdict
        before = standing
    change = "see cnn history, then run it again"
    raise ServiceError(
        "champion", received="a decision of somebody else meanwhile", expected="it as it was", change=change
    )


def _number(version: "Version | None") -> int | None:
    return version.number if version else None


def _in_office(standing: "Standing", champion: "Version") -> Verdict:
    """What made it champion: a rerun after a kill says it again. What a person did is no verdict of the gate."""
    from cnn.promotion.log import last_move

    line = last_move(standing.lines)
    if line is not None and line.get("rules"):
        return verdict_from(line)
    reason = "it is the champion already"
    return Verdict(promoted=False, reason=reason, challenger=champion.number, champion=champion.number)


def judge(
    challenger: "Version",
    standing: "Standing",
    *,
    registry: "Registry",
    params: Params,
    environment: Environment,
    data: Path,
) -> Verdict:
    """What the gate says of a challenger where things stand."""
    from cnn.promotion.gate import decide
    from cnn.promotion.soundness import soundness
    from cnn.tracking.promotions import read_promotions

    noted = read_promotions(environment.home / LEDGER)  # a registry that was lost took its looks along
    return decide(
        challenger,
        standing.champion,
        rulings=soundness(challenger, registry, params.promote, standing.lines),
        match=lambda champion: _match(challenger, champion, registry, params, data),
        params=params.promote,
        lines=[*(line for line in noted if line.get("model") == challenger.name), *standing.lines],
    )


def forced(verdict: Verdict, force: str | None) -> Verdict:
    """The verdict with a person's reason in the place of the rules that failed, unless files are not what they were."""
    broken = any(ruling.rule == "digest" for ruling in verdict.failed)
    if force is None or verdict.promoted or broken:
        return verdict
    past = ", ".join(ruling.rule for ruling in verdict.failed)
    return replace(verdict, promoted=True, forced=force, reason=f"forced: {force}; past {past}: {verdict.reason}")


def _challenger(registry: "Registry", name: str, number: int | None) -> "Version":
    from cnn.errors import ConfigError
    from cnn.tracking.registry import CHALLENGER

    found = registry.version_by_alias(name, CHALLENGER) if number is None else registry.version(name, number)
    if found is None or not found.is_ours:
        sought = "challenger" if number is None else f"version {number}"
        received = f"no {sought}" if found is None else f"version {found.number}, registered by others"
        raise ConfigError(name, received=received, expected="a version of cnn register", change="run cnn register")
    return found


def _match(challenger: "Version", champion: "Version", registry: "Registry", params: Params, data: Path) -> "Match":
    """What both said about the challenger's test images.

    A champion that was tested on other images is measured anew on those of the challenger; what it was registered with
    stays as it is. One whose files are damaged cannot be compared, and does not stay in office for that.
    """
    from cnn.errors import IntegrityError
    from cnn.promotion.gate import Match
    from cnn.promotion.kept import kept_predictions

    if not champion.is_ours:
        return Match(misfit="the champion was registered by others, nothing is known of its test")
    of_challenger = kept_predictions(challenger, registry)
    try:
        of_champion = kept_predictions(champion, registry)
        anew = champion.tags.get("test_hash") != challenger.tags.get("test_hash")
        model = _loaded(champion, registry) if anew else None
    except IntegrityError as error:
        damage = f"{Path(error.subject).name}: {error.received}"
        return Match(misfit=f"the champion's files are not as they were registered ({damage})")
    if misfit := task_misfit(of_champion.head, of_challenger.head):
        return Match(misfit=misfit)
    if model is None:
        return Match(challenger=of_challenger, champion=of_champion)
    prepared = _present_data(data, challenger)
    if misfit := misfit_of(model, of_champion.class_names, prepared):
        return Match(misfit=misfit)
    size, thresholds = params.evaluate.batch_size, of_champion.thresholds
    of_champion = predictions_on_test(model, prepared, batch_size=size, thresholds=thresholds)
    return Match(challenger=of_challenger, champion=of_champion, anew=True)


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


def _keep(tracker: "Tracker", run_key: str, verdict: Verdict) -> None:
    """The rules with their figures go to the candidate's run as a file."""
    from cnn.durable import write_json

    with TemporaryDirectory() as folder:
        path = Path(folder) / "gate.json"
        write_json(path, verdict.document())
        tracker.log_file(run_key, path, "promotion")


def _not_even_by_force(version: "Version", verdict: Verdict) -> Exception:
    from cnn.errors import IntegrityError

    subject = f"{version.name} version {version.number}"
    change = "register the model again: what is not as it was registered is not forced"
    return IntegrityError(subject, received=verdict.reason, expected="its files as registered", change=change)


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
    from cnn.training.model_file import load_harmless

    with TemporaryDirectory() as folder:
        return load_harmless(registry.download(version, Path(folder)), version.tags["sha256"])

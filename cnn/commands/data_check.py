"""What has changed in the prepared data since the champion and the last night, and how good the champion is on them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cnn.config.environment import Environment
from cnn.config.outputs import PREPARED
from cnn.config.params import DataCheckParams, Params
from cnn.errors import DataError, IntegrityError
from cnn.nights import Nights

if TYPE_CHECKING:
    from cnn.data.prepared.store import Prepared
    from cnn.data.quality.drift import Changes
    from cnn.data.quality.fingerprint import Fingerprint
    from cnn.tracking.registry import Registry, Version


class Finding(StrEnum):
    """What a data check says, the worse the later."""

    OK = "ok"
    CHANGED = "changed"
    DRIFTED = "drifted"
    FAILED = "failed"


EXIT_CODES = {Finding.OK: 0, Finding.CHANGED: 0, Finding.DRIFTED: 1, Finding.FAILED: 3}
"""Of `cnn data-check`; 2 is a user's mistake."""

PART = "data check"
"""Of a night, as its record names it."""

_ORDER = [*Finding]
_STOPS = {"failed": (Finding.FAILED,), "drifted": (Finding.DRIFTED, Finding.FAILED), "never": ()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """The present data beside earlier ones.

    Args:
        whose: `the champion` or a night's name.
        finding: In words of `Finding`.
        said: What has changed, a sentence each, the gravest first.
        changes: The counts and tests behind it; None where nothing is known of the earlier data but their hash.
    """

    whose: str
    data_hash: str
    finding: Finding
    said: tuple[str, ...]
    changes: "Changes | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DataCheck:
    """What was found.

    Args:
        champion: Its score on the present test images, with its interval, and its score at registration; empty where
            there is no champion, the test images are the same, or it cannot be measured on them.
        notes: What follows for the champion and for the next search, a sentence each.
    """

    finding: Finding
    data_hash: str
    against: tuple[Against, ...]
    champion: Mapping[str, float]
    notes: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is said, each thing once."""
        said = [f"against {one.whose}: {sentence}" for one in self.against for sentence in one.said]
        return tuple(dict.fromkeys([*said, *self.notes]))

    def summary(self) -> str:
        """In a line."""
        first = next((said for one in self.against if one.finding is self.finding for said in one.said), "")
        return f"data {self.finding}" + (f": {first}" if first else "")

    def document(self) -> dict[str, Any]:
        """In JSON's types."""
        return asdict(self)


def data_check(
    params: Params, environment: Environment, registry: "Registry | None", *, night: str = "", data: Path = PREPARED
) -> DataCheck:
    """Compare the prepared data with those of the champion and of the night before, and measure the champion anew.

    Args:
        registry: None where there is none yet.
        night: The night that asks, which is not the one before; empty for none.
        data: Folder of the prepared arrays; its test images are opened when the champion was tested on others.

    Raises:
        IntegrityError: The prepared data are damaged; a damaged champion is a note.
        ServiceError: The registry does not answer.
    """
    from cnn.data.prepared.store import read_prepared
    from cnn.data.quality.fingerprint import present_fingerprint
    from cnn.tracking.registry import CHAMPION

    prepared = read_prepared(data)
    champion = registry.version_by_alias(params.register_.name, CHAMPION) if registry else None
    earlier = _earlier(champion, Nights(environment.home / "nights"), night, Path.cwd())
    present = present_fingerprint(environment.fingerprints, prepared)
    against = tuple(_against(whose, hash_, present, params.data_check, environment) for whose, hash_ in earlier.items())
    finding = max((one.finding for one in against), key=_ORDER.index, default=Finding.OK)
    score, notes = _champion_now(champion, registry, prepared, params)
    if any(one.finding is not Finding.OK for one in against):
        notes += (_warm_start(params),)
    return DataCheck(finding=finding, data_hash=prepared.data_hash, against=against, champion=score, notes=notes)


def known_registry(environment: Environment) -> "Registry | None":
    """The registry; None where none was made yet, which a look must not make."""
    from cnn import wiring
    from cnn.tracking.server import check_server, sqlite_file

    uri = environment.mlflow_uri
    if uri.startswith("sqlite") and not sqlite_file(uri).exists():
        return None
    check_server(uri)
    return wiring.registry(environment)


def may_train(found: DataCheck, params: DataCheckParams) -> bool:
    """Whether the settings let a night train on such data."""
    return found.finding not in _STOPS[params.stops]


def check_may_train(found: DataCheck, params: DataCheckParams) -> None:
    """Raises DataError when the settings say that a night with such data is not to train."""
    if not may_train(found, params):
        expected = "data like those of before"
        change = "mend the data, or let the night train on them: data_check.stops=never"
        raise DataError("data check", received=found.summary(), expected=expected, change=change)


def _earlier(champion: "Version | None", nights: Nights, night: str, checkout: Path) -> dict[str, str]:
    """Whose data to compare with, and their hashes: the champion's and those of the last night that went on with its
    own; data that stopped a night are nothing that the next ones are held against.
    """
    found = {}
    if champion is not None and champion.tags.get("data_hash"):
        found[f"the champion, version {champion.number}"] = champion.tags["data_hash"]
    known = [
        one
        for one in nights.all()
        if one.data_hash and one.part != PART and one.name != night and one.checkout == str(checkout)
    ]
    if known and known[-1].data_hash not in found.values():
        found[known[-1].name] = known[-1].data_hash
    return found


def _against(
    whose: str, data_hash: str, present: "Fingerprint", params: DataCheckParams, environment: Environment
) -> Against:
    from cnn.data.quality.drift import compare_data
    from cnn.data.quality.fingerprint import read_fingerprint

    if data_hash == present.data_hash:
        return Against(whose=whose, data_hash=data_hash, finding=Finding.OK, said=("the same data",))
    unknown = "other data, of which only the hash is known here: they were prepared in another home"
    try:
        before = read_fingerprint(environment.fingerprints, data_hash)
    except IntegrityError as error:
        before, unknown = None, f"other data, of which only the hash is known here: {error.subject} is damaged"
    if before is None:
        return Against(whose=whose, data_hash=data_hash, finding=Finding.CHANGED, said=(unknown,))
    changes = compare_data(before, present)
    finding, said = judged(changes, params)
    return Against(whose=whose, data_hash=data_hash, finding=finding, said=said, changes=changes)


def judged(changes: "Changes", params: DataCheckParams) -> tuple[Finding, tuple[str, ...]]:
    """What changes amount to, and what is to be said of them, the gravest first."""
    grave = _grave(changes, params)
    drifts = changes.drifted(alpha=params.alpha, statistic=params.distance, balance=params.balance)
    said = [*grave, *(shift.sentence() for shift in drifts), *_counted(changes)]
    finding = Finding.FAILED if grave else Finding.DRIFTED if drifts else Finding.CHANGED
    return finding, tuple(said or ["the same images with the same labels, in another order or other splits"])


def _grave(changes: "Changes", params: DataCheckParams) -> list[str]:
    both = changes.n_before - changes.removed
    said = [changes.misfit] if changes.misfit else []
    if both and changes.relabelled > params.max_relabelled * both:
        limit = f"data_check.max_relabelled {params.max_relabelled:g}"
        said.append(f"{changes.relabelled / both:.1%} of the images have another label; {limit}")
    if changes.n_now < params.least_images * changes.n_before:
        limit = f"data_check.least_images {params.least_images:g}"
        said.append(f"{changes.n_now:,} different images where there were {changes.n_before:,}; {limit}")
    return said


def _counted(changes: "Changes") -> list[str]:
    if changes.misfit:
        return []
    counts = {"added": changes.added, "removed": changes.removed}
    said = [f"{_images(n)} {word}" for word, n in counts.items() if n]
    if changes.copies:
        copies = "copy" if abs(changes.copies) == 1 else "copies"
        said.append(f"{abs(changes.copies):,} {copies} of other images {'added' if changes.copies > 0 else 'removed'}")
    if changes.relabelled:
        which = ", ".join(f"{words} ({n})" for words, n in changes.relabelled_by)
        said.append(f"{_images(changes.relabelled)} relabelled: {which}")
    if changes.seen_in_test:
        seen = f"{_images(changes.seen_in_test)} of the present test set could be trained on before"
        said.append(f"{seen}: earlier models look better on them than they are")
    return said


def _images(n: int) -> str:
    return "1 image" if n == 1 else f"{n:,} images"


def _champion_now(
    champion: "Version | None", registry: "Registry | None", prepared: "Prepared", params: Params
) -> tuple[dict[str, float], tuple[str, ...]]:
    """The champion on the present test images, where it was tested on others; and what is to be said of it."""
    if champion is None or registry is None or champion.tags.get("test_hash") == prepared.test_hash:
        return {}, ()
    if not champion.is_ours:
        return {}, ("the champion was registered by others, and is not measured on the present test images",)
    from cnn.evaluation.metrics import metrics_of
    from cnn.promotion.kept import kept_predictions
    from cnn.steps.evaluate import predictions_on_test
    from cnn.steps.promote import misfit_of
    from cnn.training.model_file import load_harmless

    try:
        kept = kept_predictions(champion, registry)
        with TemporaryDirectory() as folder:
            model = load_harmless(registry.download(champion, Path(folder)), champion.tags["sha256"])
    except IntegrityError as error:  # the night may find the one that takes its place
        damage = f"{Path(error.subject).name}: {error.received}"
        return {}, (
            f"the champion is damaged ({damage}), and is not measured on the present test images: cnn rollback",
        )
    if misfit := misfit_of(model, kept.class_names, prepared):
        return {}, (f"the champion cannot be measured on the present test images: {misfit}",)
    size, confidence = params.evaluate.batch_size, params.evaluate.confidence
    said = predictions_on_test(model, prepared, batch_size=size, thresholds=kept.thresholds)
    name = said.head.task.score_name
    now, then = (metrics_of(one, confidence=confidence).figures() for one in (said, kept))
    figures = {"score": now[name], "low": now[f"{name}_low"], "high": now[f"{name}_high"], "registered": then[name]}
    sentence = (
        f"the champion's {said.head.task.score_words} on the present test images is {figures['score']:.4f} "
        f"({figures['low']:.4f} to {figures['high']:.4f} at {confidence:.0%}); it was {figures['registered']:.4f}"
    )
    return figures, (sentence,)


def _warm_start(params: Params) -> str:
    memory = params.search.memory
    if memory == "none":
        return "the next search starts afresh: search.memory is none"
    return f"the next search starts warm, from searches on the earlier images: search.memory {memory}"

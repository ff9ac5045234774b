"""Rules that need nothing but the challenger: where it has been, its files, what it costs, that it works."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from cnn.config.params import PromoteParams
from cnn.errors import IntegrityError
from cnn.promotion.kept import kept_head
from cnn.promotion.ruling import Ruling
from cnn.promotion.verdict import ROLLED_BACK, kept_digest
from cnn.records import Head, Task

if TYPE_CHECKING:
    from cnn.tracking.registry import Registry, Signature, Version

N_SMOKE = 8
_CLOSE = 1e-3  # probabilities of an image alone and among others


def soundness(
    version: "Version", registry: "Registry", params: PromoteParams, lines: Sequence[Mapping[str, Any]]
) -> tuple[Ruling, ...]:
    """The rulings of `CHEAP` in their order, all of them; none after files that are not as they were registered.

    Args:
        lines: The decisions about the name so far.
    """
    return tuple(_rulings(version, registry, params, lines))


def _rulings(
    version: "Version", registry: "Registry", params: PromoteParams, lines: Sequence[Mapping[str, Any]]
) -> Iterator[Ruling]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        intact = digest(version, registry, path, lines)
        yield intact
        if not intact.passed:
            return
        yield withdrawn(version, lines)
        yield gap(version, params.max_gap)
        yield size(path.stat().st_size, params.size_mb)
        loaded = None
        if params.smoke or params.latency_ms:
            try:
                loaded = _loaded(path, version)
            except IntegrityError as error:
                yield Ruling(rule="smoke", passed=False, sentence=f"it cannot be loaded: {error.received}")
                return
        head = kept_head(version, registry)
        yield signature(registry.signature(version), loaded, head)
        if loaded is not None:
            yield smoke(loaded, head)
            yield latency(loaded, params.latency_ms)


def withdrawn(version: "Version", lines: Sequence[Mapping[str, Any]]) -> Ruling:
    """A version that was rolled back from stays away until somebody forces it."""
    about = [line for line in lines if line["promoted"] and version.number in (line["challenger"], line["champion"])]
    away = bool(about) and about[-1]["kind"] == ROLLED_BACK and about[-1]["champion"] == version.number
    sentence = f"it was rolled back from: {about[-1]['reason']}" if away else "it was never rolled back from"
    return Ruling(rule="rollback", passed=not away, sentence=sentence)


def gap(version: "Version", limit: float | None) -> Ruling:
    """The overfitting gap that was registered with it."""
    kept = version.tags.get("gap_at_best")
    if kept is None:
        return Ruling(rule="gap", passed=None, sentence="no gap was registered with it", limit=limit)
    figure = float(kept)
    passed = limit is None or figure <= limit
    sentence = f"the overfitting gap is {figure:.4f}" + ("" if passed else f", above {limit:g}")
    return Ruling(rule="gap", passed=passed, sentence=sentence, figure=figure, limit=limit)


def digest(version: "Version", registry: "Registry", path: Path, lines: Sequence[Mapping[str, Any]]) -> Ruling:
    """Its files are those that were registered, and so is what is written down of them.

    Args:
        path: Where to put the model.
    """
    if kept_digest(lines, version.number) not in ("", version.tags["sha256"]):
        return Ruling(rule="digest", passed=False, sentence="its sha256 is another than when it was decided about")
    try:
        registry.download(version, path.parent).replace(path)
        for tag in sorted(version.tags):
            if tag.startswith("sha256."):
                registry.download_file(version, tag.removeprefix("sha256."), path.parent)
    except IntegrityError as error:
        sentence = f"{Path(error.subject).name} is not what was registered: {error.received}"
        return Ruling(rule="digest", passed=False, sentence=sentence)
    return Ruling(rule="digest", passed=True, sentence="all files are as they were registered")


def size(n_bytes: int, limit_mb: float | None) -> Ruling:
    """The model's file, in MB."""
    figure = n_bytes / 1e6
    passed = limit_mb is None or figure <= limit_mb
    sentence = f"the model's file has {figure:.3g} MB" + ("" if passed else f", above {limit_mb:g}")
    return Ruling(rule="size", passed=passed, sentence=sentence, figure=figure, limit=limit_mb)


def signature(kept: "Signature | None", model: Any, head: Head) -> Ruling:
    """What a server would take and give is what the model takes and gives.

    Args:
        model: None where it was not loaded.
    """
    if kept is None:
        return Ruling(rule="signature", passed=False, sentence="it has no signature")
    k = head.n_classes
    wanted = [f"{k} probabilities"] if k else []
    found = [f"{kept.n_outputs} probabilities"] if k else []
    if model is not None:
        wanted.append(f"uint8 images {tuple(model.input_shape[1:])}, {model.output_shape[-1]} outputs")
        found.append(f"{kept.image_type} images {kept.image_shape}, {kept.n_outputs} outputs")
    passed = wanted == found and kept.image_type == "uint8"
    said = f"uint8 images {kept.image_shape} to {kept.n_outputs} probabilities"
    sentence = said if passed else f"it says {', '.join(found)}; the model has {', '.join(wanted)}"
    return Ruling(rule="signature", passed=passed, sentence=sentence)


def smoke(model: Any, head: Head) -> Ruling:
    """The saved model gives probabilities, for an image alone the same as among others."""
    import numpy as np

    from cnn.runtime import derived_seed

    shape = (N_SMOKE, *model.input_shape[1:])
    images = np.random.default_rng(derived_seed("smoke", *shape)).integers(0, 256, shape, dtype=np.uint8)
    probs, alone = (np.asarray(model.predict_on_batch(part)) for part in (images, images[:1]))
    faults = [
        fault
        for fault, found in (
            ("a figure that is no number", not np.isfinite(probs).all()),
            ("a probability outside 0 to 1", ((probs < -_CLOSE) | (probs > 1 + _CLOSE)).any()),
            ("rows that do not sum to 1", _should_sum(head) and np.abs(probs.sum(axis=1) - 1).max() > _CLOSE),
            ("another answer for an image alone than among others", np.abs(probs[:1] - alone).max() > _CLOSE),
        )
        if found
    ]
    sentence = f"it gives {', '.join(faults)}" if faults else f"it gives probabilities for {N_SMOKE} images"
    return Ruling(rule="smoke", passed=not faults, sentence=sentence)


def latency(model: Any, limit_ms: float | None) -> Ruling:
    """Milliseconds for one image through the saved model, on this machine."""
    from cnn.models.latency import median_ms

    figure = median_ms(model, tuple(model.input_shape[1:]))
    passed = limit_ms is None or figure <= limit_ms
    sentence = f"one image takes {figure:.3g} ms here" + ("" if passed else f", above {limit_ms:g}")
    return Ruling(rule="latency", passed=passed, sentence=sentence, figure=figure, limit=limit_ms)


def _should_sum(head: Head) -> bool:
    return head.task is not Task.MULTILABEL


def _loaded(path: Path, version: "Version") -> Any:
    from cnn.training.model_file import load_harmless

    model = load_harmless(path, version.tags["sha256"])
    model.compile(jit_compile=False)  # as a saved model is served, without XLA
    return model

"""What the diagnosis says of a curve, as reports show it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cnn.diagnosis.diagnose import diagnose
from cnn.diagnosis.reading import Sizes
from cnn.records import Curve, Head

_TONES = {
    "healthy": "good",
    "still_learning": "warning",
    "plateau": "warning",
    "overfitting": "warning",
    "underfitting": "warning",
    "unstable": "warning",
    "data_suspect": "bad",
    "diverged": "bad",
    "not_learning": "bad",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A curve's verdict in words.

    Args:
        verdict: A word of `cnn.diagnosis`.
        findings: The evidence, a sentence each.
        remedies: The most promising first.
    """

    verdict: str
    findings: tuple[str, ...]
    remedies: tuple[str, ...]

    @property
    def words(self) -> str:
        return self.verdict.replace("_", " ")

    @property
    def tone(self) -> str:
        """good, warning, bad, or neutral where nothing can be said."""
        return _TONES.get(self.verdict, "neutral")


def reading(
    curve: Curve, head: Head, *, n_train: int, n_val: int, reason: str = "", recipe: Mapping[str, Any] | None = None
) -> Reading:
    """What a curve tells.

    Args:
        n_train: Training images; the clean sample has as many as the validation set, if there are so many.
        n_val: Validation images.
        reason: Why the run ended.
        recipe: What was trained, for remedies with values.
    """
    sizes = Sizes(n_clean=min(n_train, n_val), n_val=n_val, n_classes=head.n_classes, task=head.task)
    found = diagnose(curve, sizes, reason=reason, recipe=recipe)
    remedies = tuple(_sentence(remedy.sentence) for remedy in found.remedies)
    return Reading(verdict=found.verdict.value, findings=tuple(map(_sentence, found.evidence)), remedies=remedies)


def _sentence(text: str) -> str:
    """With a capital at its beginning and a full stop at its end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")

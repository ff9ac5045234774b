"""How every benchmark prints: the hardware, a table of its arms, and the ratios of one arm to another."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from cnn.runtime import cpu_count_available

_PACKAGES = ("tensorflow", "keras", "optuna", "keras-tuner", "mlflow")
_WIDTH = 34


def print_head(title: str) -> None:
    """What is measured, and on what."""
    print(f"\n== {title}")
    print(
        f"{_processor()}, {platform.machine()}, {cpu_count_available()} processors, "
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    print(", ".join(f"{name} {version(name)}" for name in _PACKAGES))


def print_arms(unit: str, arms: Mapping[str, Sequence[float]]) -> None:
    """One line an arm: how many samples, their median, and their spread from the smallest to the largest."""
    print(f"{'':{_WIDTH}} {'n':>4} {'median':>10} {'min':>10} {'max':>10}  {unit}")
    for arm, samples in arms.items():
        values = (statistics.median(samples), min(samples), max(samples))
        print(f"{arm:{_WIDTH}} {len(samples):4} " + " ".join(f"{_short(value):>10}" for value in values))


def print_ratio(name: str, above: Sequence[float], below: Sequence[float], *, goal: str = "") -> None:
    """The ratio of two arms over all their paired samples together, and pair by pair."""
    pairs = [a / b for a, b in zip(above, below, strict=True)]
    spread = f"pairs: n {len(pairs)}, median {statistics.median(pairs):.3f}, {min(pairs):.3f} to {max(pairs):.3f}"
    print(f"{name:{_WIDTH}} {sum(above) / sum(below):.3f}  ({spread}){f'; goal {goal}' if goal else ''}")


def print_facts(facts: Mapping[str, str]) -> None:
    """Single figures, a line each."""
    for name, text in facts.items():
        print(f"{name:{_WIDTH}} {text}")


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _processor() -> str:
    """The processor's name as Linux gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown processor"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "processor")

"""Two versions, runs or nights side by side: settings, figures, curves, answers."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cnn import wiring
from cnn.commands.compared import Subject, find_subject
from cnn.config.environment import Environment
from cnn.config.params import Params

if TYPE_CHECKING:
    from cnn.evaluation.comparison import PairedTest

COMPARISONS = Path("outputs/compare")
_ENDS = ("_low", "_high")
_ALPHA = 0.05  # from which two-sided p on a difference is called luck


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A test image on which the two say something else.

    Args:
        image: Its place among the test images, from 0.
        file: Where it came from; empty where the images came as arrays.
    """

    image: int
    file: str
    actual: str
    a: str
    b: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two subjects have in common and what not.

    Args:
        params: By name, as A and B have it; only what differs. Empty text where one has none.
        figures: By name, of A and of B; NaN where one has none.
        test: A against B on the same test images; None where one has no predictions or other images.
        p_value: Two-sided, of `test`; 1 without it.
        untested: Why there is no test; empty when there is one.
    """

    a: Subject
    b: Subject
    params: dict[str, tuple[str, str]]
    figures: dict[str, tuple[float, float]]
    test: "PairedTest | None"
    p_value: float
    untested: str
    disagreements: Sequence[Disagreement]
    picture: Path | None

    def document(self) -> dict[str, Any]:
        """As plain values; what is no number is null."""
        from dataclasses import asdict

        figures = {name: [_finite(value) for value in pair] for name, pair in self.figures.items()}
        test = None if self.test is None else {**asdict(self.test), "p_value": self.p_value}
        return {
            "a": self.a.name,
            "b": self.b.name,
            "params": {name: list(pair) for name, pair in self.params.items()},
            "figures": figures,
            "paired_test": test,
            "untested": self.untested,
            "disagreements": [asdict(one) for one in self.disagreements],
            "curves": str(self.picture) if self.picture else None,
        }


def compare(
    a: str, b: str, params: Params, environment: Environment, console: Console, *, show: int = 20, as_json: bool = False
) -> Comparison:
    """Say what differs between two versions, runs or nights.

    Args:
        show: Images on which they disagree that are listed on the screen; in JSON all are.

    Raises:
        ConfigError: One of them is not known.
        IntegrityError: What was kept is damaged.
        ServiceError: The registry does not answer.
        StorageError: The picture cannot be written.
    """
    from cnn.reproduction.origin import file_name

    registry, reader = wiring.registry(environment), wiring.reader(environment)
    first, second = (find_subject(what, params.register_.name, registry, reader) for what in (a, b))
    picture = _draw(first, second, COMPARISONS / f"{file_name(a)}-{file_name(b)}.png")
    found = comparison_of(first, second, picture)
    if as_json:
        print(json.dumps(found.document(), ensure_ascii=False))
    else:
        _print(found, console, show)
    return found


def comparison_of(a: Subject, b: Subject, picture: Path | None = None) -> Comparison:
    """What differs between two subjects."""
    test, p_value, untested = _paired(a, b)
    return Comparison(
        a=a,
        b=b,
        params=_differing(a, b),
        figures=_figures(a, b),
        test=test,
        p_value=p_value,
        untested=untested,
        disagreements=[] if test is None else _disagreements(a, b),
        picture=picture,
    )


def _differing(a: Subject, b: Subject) -> dict[str, tuple[str, str]]:
    """Only what both kept can differ; where one kept no settings at all, as a run, its recipe alone is compared."""
    of_recipe = not all(any(not name.startswith("recipe.") for name in one.params) for one in (a, b))
    names = [name for name in dict.fromkeys([*a.params, *b.params]) if name.startswith("recipe.") or not of_recipe]
    pairs = {name: (a.params.get(name, ""), b.params.get(name, "")) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _figures(a: Subject, b: Subject) -> dict[str, tuple[float, float]]:
    names = dict.fromkeys([*a.figures, *b.figures])
    return {name: (a.figures.get(name, math.nan), b.figures.get(name, math.nan)) for name in names}


def _paired(a: Subject, b: Subject) -> "tuple[PairedTest | None, float, str]":
    from cnn.evaluation.comparison import mcnemar

    for one in (a, b):
        if one.predictions is None:
            return None, 1.0, f"no test images were kept for {one.name}"
    assert a.predictions is not None and b.predictions is not None
    if not a.test_hash or a.test_hash != b.test_hash:
        return None, 1.0, "they were tested on other images"
    first, second = a.predictions.correct, b.predictions.correct
    test = mcnemar(first, second)
    return test, min(1.0, 2 * min(test.p_value, mcnemar(second, first).p_value)), ""


def _disagreements(a: Subject, b: Subject) -> list[Disagreement]:
    """Those on which one is right first, as they decide the test."""
    assert a.predictions is not None and b.predictions is not None
    first, second = a.predictions, b.predictions
    differ = (first.predicted != second.predicted).reshape(len(first.labels), -1).any(axis=1)
    one_right = first.correct != second.correct
    order = sorted(differ.nonzero()[0].tolist(), key=lambda image: (not one_right[image], image))
    names = first.class_names
    return [
        Disagreement(
            image=image,
            file=first.names[image] if first.names else "",
            actual=_words(first.labels[image], names),
            a=_words(first.predicted[image], names),
            b=_words(second.predicted[image], second.class_names),
        )
        for image in order
    ]


def _words(answer: Any, names: Sequence[str]) -> str:
    """An answer by the names of its classes; numbers where they were not kept."""
    if getattr(answer, "ndim", 0):
        held = [names[place] if names else str(place) for place in answer.nonzero()[0]]
        return " + ".join(held) or "none"
    return names[int(answer)] if names else str(int(answer))


def _draw(a: Subject, b: Subject, path: Path) -> Path | None:
    from cnn.evaluation.plots.compared import compared_picture

    if not a.curve and not b.curve:
        return None
    compared_picture({one.name: one.curve for one in (a, b) if one.curve}, path)
    return path


def _print(found: Comparison, console: Console, show: int) -> None:
    console.print(f"A: {found.a.name}\nB: {found.b.name}", highlight=False, markup=False)
    if found.params:
        console.print("\n[bold]Settings that differ[/]", _params_table(found), sep="\n")
    else:
        console.print("settings and recipe: the same")
    console.print("\n[bold]Figures, with their intervals[/]", _figures_table(found), sep="\n")
    console.print(f"\n{_test_words(found)}", highlight=False, markup=False, soft_wrap=True)
    if found.disagreements:
        n, some = len(found.disagreements), f", the first {show}" if 0 < show < len(found.disagreements) else ""
        counted = "1 test image on which" if n == 1 else f"{n:,} test images on which"
        console.print(f"\n[bold]{counted} they disagree{some}[/]", highlight=False)
        if show:
            console.print(_images_table(found.disagreements[:show]))
    if found.picture:
        console.print(f"curves: {found.picture}", highlight=False, markup=False, soft_wrap=True)


def _params_table(found: Comparison) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("setting", "A", "B"):
        table.add_column(heading, overflow="fold")
    for name, pair in found.params.items():
        table.add_row(*map(escape, (name, *pair)))
    return table


def _figures_table(found: Comparison) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("figure", "A", "B", "B - A"):
        table.add_column(heading, justify="left" if heading == "figure" else "right", overflow="fold")
    for name, (a, b) in found.figures.items():
        if not name.endswith(_ENDS):
            difference = "" if math.isnan(b - a) else "0" if a == b else f"{b - a:+.{0 if _is_count(a) else 4}f}"
            table.add_row(name, _with_interval(name, found.a), _with_interval(name, found.b), difference)
    return table


def _with_interval(name: str, subject: Subject) -> str:
    figures = subject.figures
    if name not in figures:
        return "-"
    low, high = (figures.get(f"{name}{end}") for end in _ENDS)
    value = f"{figures[name]:.{0 if _is_count(figures[name]) else 4}f}"
    return value if low is None or high is None else f"{value} ({low:.4f}-{high:.4f})"


def _is_count(figure: float) -> bool:
    return figure.is_integer() and abs(figure) > 1


def _test_words(found: Comparison) -> str:
    test = found.test
    if test is None:
        return f"paired test: none, {found.untested}"
    ahead = "A" if test.difference > 0 else "B"
    said = f"{ahead} is better, beyond luck" if found.p_value < _ALPHA else f"{ahead} is ahead, which luck may explain"
    return (
        f"paired test on the same {test.n:,} images: only A right on {test.wins:,}, only B on {test.losses:,}; "
        f"B - A {-100 * test.difference:+.2f} points ({-100 * test.high:+.2f} to {-100 * test.low:+.2f}); "
        f"two-sided p = {found.p_value:.2g}; {said if test.difference else 'neither is ahead'}"
    )


def _images_table(disagreements: Sequence[Disagreement]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("image", "actual", "A says", "B says"):
        table.add_column(heading, justify="right" if heading == "image" else "left", overflow="fold")
    for one in disagreements:
        table.add_row(escape(one.file) or str(one.image), *map(escape, (one.actual, one.a, one.b)))
    return table


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

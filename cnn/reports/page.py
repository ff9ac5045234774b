"""A report as one HTML file that needs nothing else: no network, no file beside it. Same content, same bytes.

All text is escaped by the template, so that a class may bear any name. What the file may load is forbidden to it by
its own Content-Security-Policy, whatever stands in it.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: TID251
from markupsafe import Markup

from cnn.durable import write_text

NO_SCRIPT = Markup()
_TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture with what it shows in words.

    Args:
        png: The file's bytes.
        alt: For whoever does not see it.
        broad: On a narrow screen it is moved along, rather than made too small to read.
    """

    png: bytes
    alt: str
    caption: str = ""
    broad: bool = False

    @property
    def source(self) -> str:
        """The bytes as a `data:` address."""
        return f"data:image/png;base64,{b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text; columns from the second on are set to the right when `numbers`."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: bool = True
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a report, in the order of its fields.

    Args:
        text: Paragraphs.
        points: A list below them.
        charts: Interactive figures as HTML of our own making; never text from outside.
        cards: Small pictures, many in a row.
        notes: Small print at its end: how to read it, references.
    """

    title: str
    text: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    charts: tuple[Markup, ...] = ()
    cards: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report.

    Args:
        figures: The numbers a person asks for first: (name, value, remark).
        verdict: One word or two; `tone` is its colour: good, warning, bad, neutral.
        findings: Its evidence, a sentence each.
        remedies: What to do, the most promising first.
        script: Of the charts, whole; empty where there are none.
    """

    title: str
    subtitle: str
    figures: tuple[tuple[str, str, str], ...]
    verdict: str
    tone: str
    findings: tuple[str, ...]
    remedies: tuple[str, ...]
    sections: tuple[Section, ...]
    script: Markup = NO_SCRIPT


def write_report_page(path: Path, report: Report) -> Path:
    """Write a report.

    Raises:
        StorageError: The file cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template("report.html").render(report=report))
    return path


def listed(words: Sequence[str]) -> str:
    """Words as a sentence has them.

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))

"""The morning page of a night: gathered from its record, its search's ledger and the checkout, written, and opened."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from cnn.config.environment import Environment
from cnn.config.outputs import EVALUATED, PREPARED, SEARCHED, TRAINED
from cnn.config.params import Params
from cnn.config.reading import PARAMS_FILE, read_params
from cnn.durable import read_sealed
from cnn.errors import UserError
from cnn.nights import Night, Nights

if TYPE_CHECKING:
    from cnn.data.prepared.store import Prepared
    from cnn.reports.night_facts import NightFacts
    from cnn.search.ledger import LedgerRow
    from cnn.search.rounds import Round


def night_facts(name: str, params: Params, environment: Environment) -> "NightFacts":
    """What is known of a night; what cannot be read is said, and is no reason to know nothing.

    Raises:
        IntegrityError: The night's own record is missing or damaged.
    """
    from cnn.records import Task
    from cnn.reports.night_facts import NightFacts
    from cnn.search.study import ended_without_winner

    nights = Nights(environment.home / "nights")
    night = nights.read(name)
    earlier = [one for one in nights.all() if one.checkout == night.checkout and one.began < night.began]
    found = _Search()
    unreadable = []
    for read in (_read_ledger, _read_study):
        try:
            read(night, params, environment, found)
        except Exception as error:  # a damaged file, or a recipe that is there no more
            unreadable.append(f"of the search not everything could be read: {_line(error)}")
    return NightFacts(
        night=night,
        earlier=earlier,
        runs=nights.runs(name),
        rows=found.rows,
        study=found.study,
        ended_early=found.ended_early,
        n_remembered=found.n_remembered,
        focus=found.rounds[-1].focus if found.rounds else {},
        effects=found.effects,
        known_effects=found.n_effects,
        task=Task(night.settings.get("prepare.task", params.prepare.task)),
        confidence=params.evaluate.confidence,
        resumable=not night.finished and not ended_without_winner(environment.studies / name),
        places=_places(night),
        unreadable=unreadable,
    )


def write_page(name: str, params: Params, environment: Environment) -> tuple[Path, str]:
    """Write a night's page; where it lies, and its essentials as Markdown.

    Raises:
        IntegrityError: The night's own record is missing or damaged.
        StorageError: It cannot be written.
    """
    from cnn.reports.night import write_night_page
    from cnn.reports.night_words import essentials

    facts = night_facts(name, params, environment)
    path = write_night_page(Nights(environment.home / "nights").page(name), facts)
    return path, essentials(facts, str(path))


def candidate_facts(trained: Path = TRAINED, evaluated: Path = EVALUATED) -> dict[str, Any]:
    """What a night's record keeps of its candidate: `figures` and `run`; nothing where nothing was tested.

    Raises:
        IntegrityError: The steps' files are damaged.
    """
    facts, metrics = trained / "train.json", evaluated / "evaluate.json"
    if not (facts.exists() and metrics.exists()):
        return {}
    figures = read_sealed(metrics, made_by="cnn evaluate")
    numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    return {"figures": numbers, "run": read_sealed(facts, made_by="cnn train")["key"]}


def open_page(params: Params, environment: Environment, console: Console) -> None:
    """Show the latest night's page in the browser, or say where it lies where there is none.

    A night that was killed, or is under way, gets its page now.

    Raises:
        StorageError: It cannot be written.
    """
    nights = Nights(environment.home / "nights")
    known = nights.all()
    if not known:
        console.print("no night yet, and no page: cnn nightly")
        return
    night, path = known[-1], nights.page(known[-1].name)
    if not path.exists() or not night.finished:
        with console.status("making the page"):
            path, _ = write_page(night.name, _params_of(night, params), environment)
    shown = f"the morning page of {night.name}: {path}"
    console.print(escape(shown), highlight=False, soft_wrap=True)
    if _has_screen():
        import webbrowser

        webbrowser.open(path.as_uri())


def _params_of(night: Night, params: Params) -> Params:
    """The settings of the folder that a night runs in; those that are at hand where it has none that can be read."""
    try:
        return read_params(Path(night.checkout) / PARAMS_FILE)
    except UserError:
        return params


def _has_screen() -> bool:
    """Whether a browser has where to open: one in the terminal would take the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@dataclass
class _Search:
    """What was read of a night's search."""

    rows: "list[LedgerRow]" = field(default_factory=list)
    rounds: "list[Round]" = field(default_factory=list)
    won: bool = False
    ended_early: str = ""
    n_remembered: int = 0
    study: Any = None
    effects: tuple[Any, ...] = ()
    n_effects: int = 0


def _read_ledger(night: Night, _: Params, environment: Environment, found: _Search) -> None:
    from cnn.search.ledger import Ledger
    from cnn.search.memory import began_with
    from cnn.search.rounds import read_rounds

    path = environment.studies / night.name / "ledger.db"
    if not path.exists():
        return
    with Ledger(path) as ledger:
        found.rows, found.rounds = list(ledger.rows()), read_rounds(ledger)
        found.won = ledger.read("finished") == "yes"
        found.ended_early = ledger.read("ended_early")
        found.n_remembered = len(began_with(ledger).studies)


def _read_study(night: Night, params: Params, environment: Environment, found: _Search) -> None:
    from cnn.data.prepared.store import read_prepared
    from cnn.diagnosis.effects import RemedyMemory

    if not found.rows:
        return
    prepared = read_prepared(Path(night.checkout) / PREPARED)
    effects = RemedyMemory(environment.home / "remedies" / f"{prepared.data_hash}.jsonl").effects
    found.effects = tuple(effect for effect in effects if effect.study == night.name)
    found.n_effects = len(effects)
    if found.won:
        found.study = _study_facts(night, params, prepared, found)


def _study_facts(night: Night, params: Params, prepared: "Prepared", found: _Search) -> Any:
    from cnn.config.reading import read_recipe
    from cnn.reports.study_facts import Round, StudyFacts
    from cnn.steps.search import engine_name

    recipe = Path(night.checkout) / params.search.recipe
    n_train = prepared.n_images["train"]
    return StudyFacts(
        name=night.name,
        source=prepared.source,
        head=prepared.head,
        engine=engine_name(params.search),
        params=params.search,
        rows=found.rows,
        n_train=min(n_train, params.search.train_limit or n_train),
        n_val=prepared.n_images["validation"],
        base=read_recipe(str(recipe) if recipe.is_file() else params.search.recipe),
        rounds=tuple(Round(first_trial=one.first_trial, changes=one.changes) for one in found.rounds),
    )


def _places(night: Night) -> Mapping[str, str]:
    """The other reports, where the night came so far; the next night writes over them."""
    parts = {
        "the candidate": ("evaluate", EVALUATED / "report.html"),
        "every trial": ("search", SEARCHED / "study.html"),
    }
    done = [part for part in night.seconds if part != night.part]
    found = {what: str(Path(night.checkout) / path) for what, (part, path) in parts.items() if part in done}
    return found | {"curves of all trials": "cnn ui, or cnn up"}


def _line(error: Exception) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"

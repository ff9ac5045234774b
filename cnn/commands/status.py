"""The latest night, the search under way, the champion, and where to look."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from cnn.commands.service_status import service_panel
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.nights import Night, Nights
from cnn.records import Task, TrialState
from cnn.search.ledger import Ledger, LedgerRow
from cnn.search.study import is_busy, study_names
from cnn.service.state import is_up
from cnn.tracking.promotions import LEDGER, read_promotions
from cnn.tracking.registry import CHAMPION, Version
from cnn.tracking.server import check_server, sqlite_file, without_password


def status(params: Params, environment: Environment, console: Console) -> None:
    """Show where things stand. What lies on this disk comes first: MLflow's import alone takes seconds.

    Raises:
        ServiceError: Nothing answers at the tracking address.
        IntegrityError: A ledger is damaged.
    """
    nights = Nights(environment.home / "nights")
    _show(console, "Service", service_panel(environment))
    _show(console, "Latest night", _night(nights))
    _show(console, "Latest search", _search(environment.studies, nights.all()))
    _show(console, "Champion", _champion(params.register_.name, environment, console))
    _show(console, "Where to look", _places(environment, up=is_up(environment)))


def _show(console: Console, title: str, content: RenderableType | None) -> None:
    if content is not None:
        console.print(Panel(content, title=title, title_align="left", expand=False, padding=(0, 1)))


def _facts(facts: Mapping[str, str]) -> Table:
    """Names and what is to be said of them; what is empty is left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in facts.items():
        if text:
            grid.add_row(name, escape(text))
    return grid


# ---- the night


def _night(nights: Nights) -> RenderableType:
    known = nights.all()
    if not known:
        return "no night yet: cnn nightly"
    night = known[-1]
    facts = {
        "night": night.name,
        "folder": night.checkout,
        "began": when(night.began),
        "state": _night_state(night, runs=nights.runs(night.name)),
        "stopped in": "" if nights.runs(night.name) else _stop(night),
        "version": night.version,
        "verdict": night.verdict,
        "saved": night.saved,
        "page": str(page) if (page := nights.page(night.name)).exists() else "",
    }
    return Group(_facts(facts), *([_durations(night)] if night.seconds else []))


def _night_state(night: Night, *, runs: bool) -> str:
    if night.finished:
        return f"finished; it ran for {clock(sum(night.seconds.values()))}"
    parts = [part for part in night.seconds if part != night.part]
    done = f"done so far: {', '.join(parts)}" if parts else "nothing done yet"
    if runs:
        return f"under way; {done}"
    return f"interrupted; {done}; cnn nightly goes on with it"


def _stop(night: Night) -> str:
    """The part in which a night that nobody runs has stopped, with the reason."""
    return ": ".join(filter(None, (night.part, night.reason)))


def _durations(night: Night) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    for part, seconds in night.seconds.items():
        table.add_row(part, clock(seconds))
    return table


# ---- the search


def _search(studies: Path, nights: Sequence[Night]) -> RenderableType | None:
    """The latest study while it is not finished."""
    names = study_names(studies)
    if not names:
        return None
    folder = studies / names[-1]
    with Ledger(folder / "ledger.db") as ledger:
        finished, rows = bool(ledger.read("finished")), ledger.trials()
        elapsed_s = float(ledger.read("elapsed_s", "0"))
    busy = is_busy(folder)
    if finished and not busy:
        return None
    state = "under way" if busy else f"interrupted; {_way_on(names[-1], nights)}"
    return _facts(
        {
            "study": names[-1],
            "state": f"{state}; {clock(elapsed_s)} of search so far",
            "trials": _counts(rows, open_word="running" if busy else "interrupted"),
            "best": _best(rows),
        }
    )


def _way_on(study: str, nights: Sequence[Night]) -> str:
    """How a study is gone on with. A night's bears its night's name, with a number when the data changed meanwhile.

    Example:
        >>> _way_on("study-3f9a21bc", [])
        'cnn search goes on with it'
    """
    if study.startswith("study-"):
        return "cnn search goes on with it"
    if any(not night.finished and f"{study}-".startswith(f"{night.name}-") for night in nights):
        return "cnn nightly goes on with it"
    return "its night is over: nothing goes on with it"


def _counts(rows: list[LedgerRow], *, open_word: str) -> str:
    """Trials by how they stand.

    Args:
        open_word: What a trial without an outcome is.
    """
    ended = (TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.INFEASIBLE)
    words = Counter(row.outcome.state.value if row.outcome else open_word for row in rows)
    return ", ".join(f"{words[word]} {word}" for word in (open_word, *ended) if words[word]) or "none yet"


def _best(rows: list[LedgerRow]) -> str:
    scored = [(row.outcome.score, row.id.number) for row in rows if row.outcome and row.outcome.score is not None]
    if not scored:
        return ""
    score, number = max(scored, key=lambda pair: (pair[0], -pair[1]))
    return f"validation score {score:.4f} (trial {number})"


# ---- the champion


def _champion(name: str, environment: Environment, console: Console) -> RenderableType:
    uri = environment.mlflow_uri
    if uri.startswith("sqlite") and not sqlite_file(uri).exists():
        return "no champion yet"
    check_server(uri)
    with console.status("asking the registry"):
        version = _champion_version(name, environment)
    if version is None:
        return f"no champion of {escape(name)} yet"
    if not version.is_ours:
        return f"{escape(name)} version {version.number}, which cnn did not register: nothing is known of it"
    return _facts(_version_facts(version, read_promotions(environment.home / LEDGER)))


def _champion_version(name: str, environment: Environment) -> Version | None:
    from cnn import wiring

    return wiring.registry(environment).version_by_alias(name, CHAMPION)


def _version_facts(version: Version, promotions: list[dict[str, object]]) -> dict[str, str]:
    tags = version.tags
    promoted = [
        str(line["at"])
        for line in promotions
        if line.get("promoted") and (line.get("model"), line.get("challenger")) == (version.name, version.number)
    ]
    gap = tags.get("gap_at_best", "")
    return {
        "version": f"{version.name} version {version.number}",
        "test accuracy": _figure(tags, "accuracy") or "unknown",
        **_task_facts(tags),
        "gap": f"{float(gap):+.4f}" if gap else "",
        "champion since": when(promoted[-1]) if promoted else "",
        "night": tags.get("night", "").replace("none", ""),
        "run": version.run_key,
        "git revision": tags.get("git_revision", ""),
    }


def _task_facts(tags: Mapping[str, str]) -> dict[str, str]:
    """What kind of classification it is, and its score on the test images, where neither goes without saying."""
    task = Task(tags.get("task", Task.MULTICLASS))
    if task is Task.MULTICLASS:
        return {}
    return {"task": task.value, f"test {task.score_words}": _figure(tags, task.score_name)}


def _figure(tags: Mapping[str, str], name: str) -> str:
    """A test figure with its interval; empty when it is not known."""
    names = [f"test_{name}{end}" for end in ("", "_low", "_high")]
    if not all(one in tags for one in names):
        return ""
    value, low, high = (float(tags[one]) for one in names)
    return f"{value:.4f} ({low:.4f} to {high:.4f})"


# ---- where to look


def _places(environment: Environment, *, up: bool) -> RenderableType:
    return _facts(
        {
            "cnn ui": "" if up else "every trial's curves in MLflow, the study in optuna-dashboard",
            "cnn up": "" if up else "the nightly service: MLflow, Prefect with its schedule, optuna-dashboard",
            "cnn status --open": "the latest night's morning page, in the browser",
            "cnn doctor": "whether all is sound",
            "tracking": without_password(environment.mlflow_uri),
            "studies": str(environment.studies),
            "home": str(environment.home),
        }
    )


def when(moment: str) -> str:
    """A moment of ISO 8601 on this machine's clock.

    Example:
        >>> when("2026-11-24T05:58:41.123")
        '2026-11-24 05:58'
    """
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"


def clock(seconds: float) -> str:
    """Seconds as a person reads them.

    Example:
        >>> clock(59.6), clock(754), clock(3725)
        ('1:00', '12:34', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

"""A night's page as it is gathered: from its record, its search's ledger, and the checkout it ran in."""

import json
import shutil
from io import StringIO

import pytest
from mornings import decision
from rich.console import Console
from studied import ledger

from cnn.commands.night_page import candidate_facts, night_facts, open_page, write_page
from cnn.config.environment import Environment
from cnn.config.reading import read_params
from cnn.diagnosis.effects import Effect, RemedyMemory
from cnn.durable import write_sealed
from cnn.errors import IntegrityError
from cnn.nights import Nights
from cnn.search.study import open_study

RANGES = {
    "model.batch_norm": "{type: choice, values: [none, after_activation]}",
    "model.dropout": "{type: float, low: 0.0, high: 0.5}",
    "model.filters": "{type: int, low: 8, high: 32, step: 8}",
    "optimizer.learning_rate": "{type: float, low: 0.0001, high: 0.1, log: true}",
}


@pytest.fixture
def environment(tmp_path):
    return Environment(home=tmp_path / "home")


@pytest.fixture
def params(prepared):
    space = ", ".join(f"{path}: {body}" for path, body in RANGES.items())
    return read_params(overrides=["prepare.source=digits", f"search.space={{{space}}}"])


def searched(environment, night, *, won=True):
    """The ledger of a night's search: thirty trials and two finalists."""
    with open_study(environment.studies, "digest", night=night.name) as study:
        for row in ledger():
            study.ledger.begin(row.id, row.proposal, row.seed)
            study.ledger.finish(row.id, row.outcome, elapsed_s=1.0)
        study.ledger.write(ended_early="little more is to be gained")
        study.ledger.write(memory=json.dumps({"first": [], "known": [], "studies": ["night-1", "night-2"]}))
        if won:
            study.finish()


def test_a_night_is_gathered_from_its_record_and_its_search(checkout, environment, params):
    nights = Nights(environment.home / "nights")
    first = nights.write(nights.open(checkout, "one"), finished=True, decision=decision(champion=None))
    night = nights.write(nights.open(checkout, "two"), finished=True, decision=decision(), seconds={"search": 60.0})
    nights.write(nights.open(checkout.parent / "elsewhere", "two"), finished=True)
    searched(environment, night)
    data_hash = night_facts(night.name, params, environment).study and read_hash(checkout)
    memory = RemedyMemory(environment.home / "remedies" / f"{data_hash}.jsonl")
    for study in (first.name, night.name):
        memory.keep(Effect(study=study, trial=3, verdict="overfitting", remedy="dropout", score=0.01, gap=-0.02))
    found = night_facts(night.name, params, environment)
    # The nights of this checkout before it, and no others.
    assert [one.name for one in found.earlier] == [first.name]
    # All of its search, and what remedies did in it, among what is known of them on these images.
    assert (len(found.rows), len(found.study.trials)) == (32, 30)
    assert ([effect.study for effect in found.effects], found.known_effects) == ([night.name], 2)
    assert found.unreadable == []
    assert (found.ended_early, found.n_remembered) == ("little more is to be gained", 2)
    path, essentials = write_page(night.name, params, environment)
    html = path.read_text(encoding="utf-8")
    # In HOME/nights beside its record, with what was learnt; the words for Prefect name the page.
    assert path == environment.home / "nights" / f"{night.name}.html"
    assert "What was learnt" in html and "New champion" in html
    assert "New champion" in essentials and path.name in essentials


def read_hash(checkout):
    from cnn.data.prepared.store import read_prepared

    return read_prepared(checkout / "data" / "prepared").data_hash


def test_a_night_that_failed_early_has_a_page_too(environment, params, checkout):
    nights = Nights(environment.home / "nights")
    night = nights.write(nights.open(checkout, "one"), part="prepare", reason="no place has the images")
    html = write_page(night.name, params, environment)[0].read_text(encoding="utf-8")
    # Without ledger, study and figures.
    assert "The night failed" in html and "no place has the images" in html
    assert "did not come to its search" in html


def test_what_cannot_be_read_is_said(environment, params, checkout):
    nights = Nights(environment.home / "nights")
    night = nights.write(nights.open(checkout, "one"), finished=True, decision=decision())
    searched(environment, night)
    shutil.rmtree(checkout / "data")
    found = night_facts(night.name, params, environment)
    # The counts are there, what needs the images is not, and it is no secret.
    assert (len(found.rows), found.study) == (32, None)
    assert "manifest.json" in found.unreadable[0]
    assert "manifest.json" in write_page(night.name, params, environment)[0].read_text(encoding="utf-8")


def test_a_search_without_a_winner_is_not_gone_on_with(environment, params, checkout):
    nights = Nights(environment.home / "nights")
    night = nights.write(nights.open(checkout, "one"), part="search", reason="no trial brought a model")
    with open_study(environment.studies, "digest", night=night.name) as study:
        study.finish(winner=False)
    # Its next start would only fail again.
    assert not night_facts(night.name, params, environment).resumable


def test_what_is_kept_of_the_candidate(tmp_path):
    # Nothing before anything was tested.
    assert candidate_facts(tmp_path, tmp_path) == {}
    write_sealed(tmp_path / "train.json", {"key": "night-1/candidate"})
    write_sealed(tmp_path / "evaluate.json", {"accuracy": 0.9, "task": "multiclass", "gap_at_best": 0.01})
    # Its figures, without words, and its run.
    assert candidate_facts(tmp_path, tmp_path) == {
        "figures": {"accuracy": 0.9, "gap_at_best": 0.01}, "run": "night-1/candidate",
    }  # fmt: skip
    (tmp_path / "evaluate.json").write_text("{}")
    with pytest.raises(IntegrityError):
        candidate_facts(tmp_path, tmp_path)


# ---- opened


@pytest.fixture
def opened(environment, params, monkeypatch):
    """What `cnn status --open` prints, and the addresses that it has the browser open."""
    addresses = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)

    def call():
        console = Console(width=80, file=StringIO())
        open_page(params, environment, console)
        return console.file.getvalue(), addresses

    return call


def test_without_a_night_there_is_no_page(opened):
    assert opened() == ("no night yet, and no page: cnn nightly\n", [])


def test_without_a_screen_the_path_is_printed_whole(opened, environment, params, checkout):
    nights = Nights(environment.home / "nights")
    night = nights.write(nights.open(checkout, "one"), part="search")
    path = nights.page(night.name)
    printed, addresses = opened()
    # In one line that can be copied; a night that was killed has its page made now.
    assert printed == f"the morning page of {night.name}: {path}\n"
    assert "The night was interrupted" in path.read_text(encoding="utf-8")
    assert addresses == []


def test_a_page_has_the_settings_of_its_nights_folder(opened, environment, checkout, monkeypatch):
    elsewhere = checkout.parent / "elsewhere"
    shutil.copytree(checkout, elsewhere)
    words = (elsewhere / "params.yaml").read_text(encoding="utf-8").replace("confidence: 0.95", "confidence: 0.8")
    (elsewhere / "params.yaml").write_text(words, encoding="utf-8")
    nights = Nights(environment.home / "nights")
    figures = {"accuracy": 0.9, "accuracy_low": 0.89, "accuracy_high": 0.91}
    night = nights.write(nights.open(elsewhere, "one"), part="save", figures=figures)
    opened()
    # Asked for in another folder, its page is still about the one it ran in.
    assert "at 80%" in nights.page(night.name).read_text(encoding="utf-8")


def test_with_a_screen_the_browser_opens_it(opened, environment, checkout, monkeypatch):
    nights = Nights(environment.home / "nights")
    night = nights.write(nights.open(checkout, "one"), finished=True, verdict="given up: the settings changed")
    monkeypatch.setenv("DISPLAY", ":0")
    _, addresses = opened()
    assert addresses == [nights.page(night.name).as_uri()]

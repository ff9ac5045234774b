"""The leaderboard on screen: columns that an objective brings, and none without it."""

import json
from io import StringIO

import pytest
from rich.console import Console

from cnn.commands.leaderboard import show_leaderboard
from cnn.config.outputs import LEADERBOARD

FIRST = "run,state,val_score,val_accuracy,gap_accuracy,best_epoch,epochs"
ROW = "0,completed,0.5,0.5,0.1,1,1"
CASES = {
    "": ("", [], ["front", "multiply adds"]),
    ",pareto": (",yes", ["front", "yes"], ["multiply adds"]),
    ",parameters,multiply_adds,latency_ms": (
        ",612345,7,",
        ["parameters", "612,345", "multiply adds"],
        ["front", "ms "],
    ),
}


@pytest.mark.parametrize("columns", CASES)
def test_an_objective_brings_its_columns(columns, tmp_path, monkeypatch):
    values, shown, absent = CASES[columns]
    monkeypatch.chdir(tmp_path)
    LEADERBOARD.parent.mkdir(parents=True)
    LEADERBOARD.write_text(f"{FIRST}{columns},model.filters\n{ROW}{values},8\n")
    said = StringIO()
    show_leaderboard(Console(file=said, width=200))
    # What the objective measures is shown; what it does not, and an unmeasured latency, has no column.
    assert all(word in said.getvalue() for word in shown)
    assert not any(word in said.getvalue() for word in absent)


def test_the_winner_and_what_did_not_run_to_its_end_are_marked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LEADERBOARD.parent.mkdir(parents=True)
    LEADERBOARD.write_text(f"{FIRST},model.filters\n1,pruned,0.9,0.9,0.1,1,1,8\n{ROW},4\n")
    because = "winner: trial 0, because its score, 0.5000, is the best of the 1 that ran to their end"
    summary = {"winner": 0, "winner_because": because}
    LEADERBOARD.with_name("search.json").write_text(json.dumps(summary))
    said = StringIO()
    show_leaderboard(Console(file=said, width=200), n=1)
    lines = said.getvalue().splitlines()
    # A better score stands above the winner's with what became of it; the winner is shown although it is second.
    assert any(all(word in line for word in ("1 ", "pruned", "0.9000")) for line in lines)
    assert any(all(word in line for word in ("0 (winner)", "completed", "0.5000")) for line in lines)
    # The last line says who won and why.
    assert lines[-1] == because


@pytest.mark.parametrize("width", [80, 200])
def test_hyperparameters_can_be_read_on_any_screen(width, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LEADERBOARD.parent.mkdir(parents=True)
    names = ",pareto,model.batch_norm,optimizer.learning_rate"
    norms = ("none", "before_activation")
    rows = [f"{n},completed,0.4,0.{n},0.1,1,12,yes,{norm},0.0164" for n, norm in enumerate(norms)]
    LEADERBOARD.write_text("\n".join([f"{FIRST}{names}", *rows]))
    said = StringIO()
    show_leaderboard(Console(file=said, width=width))
    # Each run stands beside its values, none of which is cut; a narrow screen gives them a table of their own.
    for n, norm in enumerate(norms):
        assert any(f" {n} " in line and norm in line for line in said.getvalue().splitlines())
    assert "…" not in said.getvalue()


def test_figures_are_whole_on_a_narrow_screen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LEADERBOARD.parent.mkdir(parents=True)
    rows = ["10,infeasible,0.5,0.5,0.1,12,12,612345,14073344,", "9/seed-1,completed,0.4,0.4,0.1,12,12,412345,12345,"]
    LEADERBOARD.write_text("\n".join([f"{FIRST},parameters,multiply_adds,latency_ms", *rows]))
    LEADERBOARD.with_name("search.json").write_text(json.dumps({"winner": "9/seed-1"}))
    said = StringIO()
    show_leaderboard(Console(file=said, width=80))
    # A search with limits has the most columns: none of its figures is cut, nor a line too long.
    assert all(
        word in said.getvalue() for word in ("infeasible", "612,345", "14,073,344", "9/seed-1", "0.5000", "+0.1000")
    )
    assert "…" not in said.getvalue() and max(map(len, said.getvalue().splitlines())) <= 80

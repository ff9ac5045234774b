"""Real searches on the digits after more than a score: the gap beside it, or a limit on the network."""

import csv
import json

import pytest
from rich.console import Console

from cnn import wiring
from cnn.durable import read_sealed
from cnn.errors import SpaceError
from cnn.search.ledger import Ledger
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker

pytestmark = pytest.mark.slow


def searched(new_project, folder, prepared, **changes):
    """A search in this process: its output folder, its tracker and its project."""
    settings = {
        "engine": "optuna",
        "budget": {"trials": 4, "minutes": None, "cpu_minutes": None, "epochs": 2},
        "train_limit": 300,
        "rounds": 2,
        "finalists": 2,
        "finalist_seeds": 1,
        "executor": "inline",
    }
    project = new_project(folder / "project", folder / "home", settings | changes)
    params, tracker = project.params(f"search.recipe={project.folder / 'tiny.yaml'}"), MemoryTracker()
    parts = wiring.search_parts(params, project.environment, tracker)
    search(params, project.environment, parts, Console(quiet=True), data=prepared, out=folder / "out")
    return folder / "out", tracker, project


def lines(out):
    return list(csv.DictReader((out / "leaderboard.csv").read_text().splitlines()))


def test_a_search_after_score_and_gap(new_project, prepared, tmp_path):
    out, tracker, project = searched(
        new_project, tmp_path, prepared, objective={"of": "accuracy_and_gap", "score_slack": 0.1}, sampler="nsgaii"
    )
    winner = read_sealed(out / "winner.yaml")
    trials = [line for line in lines(out) if "/" not in line["run"]]
    # Remedies and rounds work beside it, and no pruner stops a trial.
    assert {line["state"] for line in trials} == {"completed"}
    marked = {int(line["run"]) for line in trials if line["pareto"] == "yes"}
    figures = {int(one["run"]): (float(one["val_score"]), max(0.0, float(one["gap_accuracy"]))) for one in trials}
    for number, (score, gap) in figures.items():
        beaten = any(s >= score and g <= gap and (s, g) != (score, gap) for s, g in figures.values())
        # The front, and nothing else, is what no other trial beats.
        assert not (beaten and number in marked)
        assert beaten or number in marked or (score, gap) in [figures[one] for one in marked]
    # The winner is of the front, its file has both figures and the rule, and the tracker has the same front.
    assert winner["trial"] in marked == set(winner["pareto_front"])
    assert "smallest mean gap" in winner["chosen_by"] and winner["mean_gap"] >= 0.0
    tagged = {n for n in figures if tracker.read_run(f"{project.study}/{n}").tags.get("pareto") == "true"}
    assert tagged == marked
    assert "They are what this search was after" in (out / "study.html").read_text(encoding="utf-8")


def test_a_search_with_limits(new_project, prepared, tmp_path):
    # Networks of 4 and 8 filters have 1,070 and 2,530 parameters; those of 12 have 4,566.
    objective = {"of": "accuracy_under", "parameters": 3000, "latency_ms": 10_000}
    changes = {"sampler": "tpe", "seed": 1, "executor": "local", "workers": 1}  # sizes come from another process
    out, _, project = searched(new_project, tmp_path, prepared, objective=objective, **changes)
    winner, summary = read_sealed(out / "winner.yaml"), json.loads((out / "search.json").read_text())
    states = {line["run"]: line["state"] for line in lines(out) if "/" not in line["run"]}
    sizes = {line["run"]: int(line["parameters"]) for line in lines(out)}
    # What is over the limit, and nothing else, was not trained; four trials were.
    assert {run for run, state in states.items() if state == "infeasible"} == {
        run for run, parameters in sizes.items() if parameters > 3000
    }
    assert sum(state != "infeasible" for state in states.values()) == 4
    assert summary.get("n_infeasible", 0) == sum(state == "infeasible" for state in states.values()) > 0
    # The winner's network is within the limits, as its recipe says: latency was measured, in milliseconds.
    assert winner["recipe"]["model"]["filters"] in (4, 8)
    assert winner["size"]["parameters"] <= 3000 and 0.01 < winner["size"]["latency_ms"] < 10_000
    with Ledger(project.study_folder / "ledger.db") as ledger:
        # Each was measured once; what was over the first limit was not timed.
        for row in ledger.rows():
            assert (row.size.latency_ms is None) == (row.size.parameters > 3000)


def test_a_limit_that_nothing_keeps_is_one_line(new_project, prepared, tmp_path):
    # The error names the limit's key and the nearest miss, and every proposal stays in the ledger with its reason.
    with pytest.raises(
        SpaceError, match=r"search.objective: received 100 trials, all over .*1,070 parameters, over 10"
    ):
        searched(new_project, tmp_path, prepared, objective={"of": "accuracy_under", "parameters": 10}, engine="random")


def test_an_engine_of_one_value_is_refused(project):
    code, said = project.run("search", "--set", "search.objective=accuracy_and_gap")
    # The project's engine is ours, the random one: exit code 2 and one line, without a traceback.
    assert code == 2 and said.splitlines()[-1].startswith(
        "cnn: search.objective: received accuracy_and_gap with engine"
    )
    assert "Traceback" not in said

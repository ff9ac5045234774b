"""A night a kind of classification, on pictures as people have them: real DVC, real Prefect, real processes."""

import csv
import json

import pytest
from making import canvas_csv, digit_csv, digit_folder, write_csv
from ruamel.yaml import YAML

from cnn.durable import read_sealed
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.registry import CHAMPION

pytestmark = pytest.mark.slow

TREE = {"round": ["0", "6", "8", "9"], "straight": {"one stroke": ["1", "7"], "more": ["4"]}, "mixed": ["2", "3", "5"]}
SEARCH = {
    "budget": {"trials": 2, "minutes": None, "cpu_minutes": None, "epochs": 4},
    "finalists": 1,
    "finalist_seeds": 0,
    "train_limit": None,
    "workers": 1,
}


def pictures_in_folders(folder):
    """Of many sizes and modes, the test set in a folder of its own."""
    return {"source": "folder", "path": str(digit_folder(folder, 900, splits=("train", "val", "test")))}


def table_of_two_classes(folder):
    rows = csv.DictReader(digit_csv(folder, 600).read_text().splitlines())
    parity = [[row["path"], "even" if int(row["label"]) % 2 == 0 else "odd"] for row in rows]
    return {"source": "csv", "path": str(write_csv(folder / "parity.csv", ["path", "label"], parity))}


def table_of_many_labels(folder):
    return {"source": "csv", "path": str(canvas_csv(folder, 500))}


def pictures_of_a_tree(folder):
    return {"source": "folder", "path": str(digit_folder(folder, 600)), "tree": TREE}


KINDS = {
    "multiclass": (pictures_in_folders, "macro_f1"),
    "binary": (table_of_two_classes, "roc_auc"),
    "multilabel": (table_of_many_labels, "mean_average_precision"),
    "hierarchical": (pictures_of_a_tree, "hierarchical_f1"),
}


def project_of(new_project, folder, task):
    """A DVC checkout without git."""
    project = new_project(folder / "project", folder / "home", SEARCH)
    path = project.folder / "params.yaml"
    document = YAML(typ="safe", pure=True).load(path.read_text())
    document["prepare"] |= {"task": task, "images": {"size": [12, 12], "channels": 1}} | KINDS[task][0](folder / "own")
    with path.open("w") as file:
        YAML().dump(document, file)
    (project.folder / ".dvc" / "tmp").mkdir(parents=True)
    (project.folder / ".dvc" / "config").write_text("[core]\n    no_scm = True\n")
    return project


@pytest.mark.parametrize("task", KINDS)
def test_a_night_from_pictures_to_a_champion(task, new_project, tmp_path):
    project = project_of(new_project, tmp_path, task)
    code, said = project.run("nightly")
    assert code == 0, said
    # All six steps, and a champion at the end.
    assert "champion now" in said
    figures = json.loads((project.folder / "outputs" / "evaluate" / "metrics.json").read_text())
    # The figures are those of the kind.
    assert 0 < figures[KINDS[task][1]] <= 1
    # The candidate, its report and the registry speak of the same kind.
    candidate = read_sealed(project.folder / "outputs" / "train" / "train.json", made_by="cnn train")
    champion = MlflowRegistry(project.environment).version_by_alias("cnn-overnight", CHAMPION)
    assert candidate["task"] == task == champion.tags["task"]
    assert "<html" in (project.folder / "outputs" / "evaluate" / "report.html").read_text()
    # Every trial was diagnosed.
    assert project.ledger() and "diagnosis" in candidate

"""The shape of the code, held by tests: sizes, names, who may open what, what an import costs."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted([*ROOT.glob("cnn/**/*.py"), *ROOT.glob("flows/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))
STEPS = ("prepare", "search", "train", "evaluate", "register", "promote")
HEAVY = ("tensorflow", "keras", "keras_tuner", "mlflow", "optuna", "prefect", "dask", "sklearn", "scipy", "matplotlib")


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short(path):
    # Past 300 lines a module is two modules.
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def test_names_are_nouns_of_the_field():
    shapeless = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc)(_|$)")
    # A drawer for everything has no name that says what is in it.
    assert [name_of(path) for path in MODULES if any(shapeless.search(Path(part).stem) for part in path.parts)] == []


def test_test_files_have_names_of_their_own():
    names = [path.name for path in TESTS if path.name.startswith("test_")]
    # Two files of one name cannot be told apart in a report.
    assert sorted(names) == sorted(set(names))


def test_only_evaluate_opens_the_test_images():
    # A fingerprint keeps digests, labels and means of images that were prepared elsewhere; no model sees them by it.
    allowed = {"cnn/data/prepared/store.py", "cnn/steps/evaluate.py", "cnn/data/quality/fingerprint.py"}
    speakers = {name_of(path) for path in MODULES if "open_test" in path.read_text(encoding="utf-8")}
    # What no search and no training can reach stays unseen until the one honest look.
    assert speakers == allowed


@pytest.mark.parametrize("module", ["cnn", "cnn.__main__", "cnn.steps.evaluate"])
def test_importing_loads_no_framework(module):
    script = f"import json, sys, {module}; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    # `cnn --help` answers at once only if nothing heavy is imported for it.
    assert set(json.loads(run.stdout)) & set(HEAVY) == set()


def test_importing_does_no_work(tmp_path):
    environment = os.environ | {"CNN_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", "import cnn.__main__"], check=True, cwd=tmp_path, env=environment)
    # No folder, no database, no log appears because somebody imported a name.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_calls_anything_when_it_is_imported(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    guarded = [node for node in body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)]
    calls = [node for node in body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    calls += [node for node in body if isinstance(node, ast.For | ast.While | ast.With | ast.Try)]
    # A module defines; only `if __name__ == "__main__"` at its end runs something.
    assert [f"line {node.lineno}" for node in calls if node not in guarded] == []


@pytest.mark.parametrize("step", STEPS)
def test_a_step_is_one_function_of_its_name(step):
    tree = ast.parse((ROOT / f"cnn/steps/{step}.py").read_text(encoding="utf-8"))
    public = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]
    # A reader who learns six words finds each story under its word.
    assert step in public

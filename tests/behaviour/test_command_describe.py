"""`cnn describe` as a person and a script use it."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from cnn.commands.describe import describe

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = {"tutorial_basic": 122_570, "lenet5": 61_706, "vgg16": 138_357_544}
CLASSES = {"tutorial_basic": 10, "lenet5": 10, "vgg16": 1000}


def cnn(*words, home):
    environment = os.environ | {"CNN_HOME": str(home)}
    command = [sys.executable, "-m", "cnn", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def refusal(*words, home):
    """The one line of a refused command."""
    run = cnn(*words, home=home)
    # A user's mistake: exit code 2, nothing on the screen but one line.
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1), run.stderr
    return run.stderr


def described_here(capsys, recipe, image="", classes=None):
    """The object that the command prints, without a process of its own, which would load TensorFlow first."""
    describe(recipe, image, classes, Console(file=io.StringIO()), as_json=True)
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARAMETERS)
def test_json_holds_the_published_numbers(name, capsys):
    described = described_here(capsys, name)
    # The published networks are rebuilt to the last weight, for the images and classes they were published with.
    assert described["parameters"] == described["published"]["parameters"] == PARAMETERS[name]
    assert described["classes"] == CLASSES[name]
    # The totals are those of the layers, and a convolution multiplies.
    assert described["multiply_adds"] == sum(layer["multiply_adds"] for layer in described["layers"]) > 0


@pytest.mark.slow
def test_a_script_gets_the_json_and_nothing_else(capsys, tmp_path):
    run = cnn("describe", "tutorial_basic", "--json", home=tmp_path)
    # The command prints what was tested above, whole.
    assert json.loads(run.stdout) == described_here(capsys, "tutorial_basic")
    # A script that reads both streams finds no banner of a framework.
    assert run.stderr == ""


@pytest.mark.slow
def test_images_and_classes_of_ones_own_come_before_the_published(capsys):
    described = described_here(capsys, "lenet5", "32x32x3", 4)
    assert (described["image_shape"], described["classes"]) == ([32, 32, 3], 4)
    # Two channels more for 6 kernels of 5 x 5, six classes less of 84 weights and a bias.
    assert described["parameters"] == 61_706 + 2 * 6 * 25 - 6 * 85


@pytest.mark.slow
def test_a_file_is_described_like_a_preset(tmp_path):
    (tmp_path / "mine.yaml").write_text("model: {family: plain, blocks: 1, filters: 4, dense_units: 0}\n")
    run = cnn("describe", str(tmp_path / "mine.yaml"), "--image", "8x8x1", "--classes", "3", home=tmp_path)
    # The options reach the description, and it the screen:
    # 3 * 3 * 1 * 4 + 4 weights of the convolution, 4 * 4 * 4 * 3 + 3 of the classes.
    assert "235" in run.stdout and run.returncode == 0, run.stdout + run.stderr


def test_without_a_recipe_the_presets_are_listed(tmp_path):
    presets = json.loads(cnn("describe", "--json", home=tmp_path).stdout)["presets"]
    # Each preset says what it is at the head of its file.
    assert set(PARAMETERS) < set(presets) and all(presets.values())
    screen = cnn("describe", home=tmp_path).stdout
    # A person sees the same names.
    assert all(name in screen for name in presets)


@pytest.mark.parametrize("shape", ["32x32", "32x0x3", "wide", "99999x32x3", "-1x2x3", "1x1x99", "\u0663x3x3"])
def test_a_wrong_shape_is_one_line(shape, tmp_path):
    # The option, what was received, and a form to copy.
    assert f"--image: received {shape}; expected" in refusal(
        "describe", "tutorial_basic", "--image", shape, home=tmp_path
    )


def test_an_unknown_recipe_is_one_line_that_names_the_known(tmp_path):
    line = refusal("describe", "tutorial_best", home=tmp_path)
    # Whoever mistyped sees what there is.
    assert "tutorial_best" in line and "tutorial_improved" in line


@pytest.mark.slow
def test_images_too_small_for_the_recipe_are_one_line(tmp_path):
    # Three convolutions without padding and two pools leave nothing of 8 x 8.
    assert "expected" in refusal("describe", "tutorial_basic", "--image", "8x8x3", home=tmp_path)

"""`cnn diagnose`, on files and runs that are there and on such as are not."""

import json
from io import StringIO

import pytest
from making import epoch_row
from rich.console import Console

from cnn.commands.data_curve import data_curve
from cnn.commands.diagnose import Given, _show, checked_fractions, diagnose
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.config.reading import read_recipe
from cnn.diagnosis.noise import difference_interval
from cnn.diagnosis.remedies import remedies
from cnn.diagnosis.verdict import Diagnosis, Verdict
from cnn.durable import write_sealed
from cnn.errors import ConfigError, DataError, IntegrityError
from cnn.steps.prepare import prepare
from cnn.steps.train import curve_table

CURVE = tuple(
    epoch_row(epoch, 0.8 - 0.001 * abs(epoch - 10), clean_train_accuracy=0.95, clean_train_loss=0.2, val_loss=0.8)
    for epoch in range(20)
)
SIZES = Given(n_val=5000, n_train=45_000, classes=10)


@pytest.fixture
def curves(tmp_path):
    path = tmp_path / "curves.csv"
    path.write_text(curve_table(CURVE))
    return path


def said(what, given=SIZES, home=None, **others):
    screen = StringIO()
    console = Console(file=screen, width=200)
    diagnose(str(what), given, Environment(home=home or "/nowhere"), console, **{"as_json": False} | others)
    return screen.getvalue()


def test_a_table_of_figures_is_diagnosed(curves):
    text = said(curves)
    # Verdict first, then what it rests on, then what to do, in order.
    assert text.splitlines()[0].endswith("curves.csv: overfitting")
    interval = difference_interval(0.95, 5000, 0.8, 5000, confidence=0.95)
    assert f"he gap in accuracy at the best epoch, 11, is +0.150 ({interval.low:+.3f} to {interval.high:+.3f})" in text
    assert text.index("1. early stopping") < text.index("2. augmentation") < text.index("7. more data")


def test_json_is_one_object_and_nothing_else(curves, capsys):
    screen = said(curves, as_json=True)
    document = json.loads(capsys.readouterr().out)
    # A script reads it; the screen stays empty.
    assert (document["verdict"], screen) == ("overfitting", "")
    # The clean sample is as large as the validation set, as a fit draws it.
    assert (document["figures"]["n_clean"], document["figures"]["n_val"]) == (5000, 5000)


def test_what_training_kept_needs_not_be_given(curves):
    figures = {"n_clean": 5000, "n_val": 5000, "n_classes": 10}
    recipe = read_recipe("tutorial_basic").model_dump(mode="json")
    kept = {"reason": "all epochs", "diagnosis": {"figures": figures}, "recipe": recipe}
    write_sealed(curves.with_name("train.json"), kept)
    # Sizes come from train.json beside the table, and remedies have this recipe's values.
    assert "training.patience=5" in said(curves, Given()) and "model.dropout=0.25" in said(curves, Given())


def test_values_in_advice_have_three_digits():
    recipe = {"optimizer": {"learning_rate": 0.0022878502797536427}, "training": {"epochs": 10}}
    advised = remedies(Verdict.STILL_LEARNING, recipe, {})
    screen = StringIO()
    found = Diagnosis(verdict=Verdict.STILL_LEARNING, evidence=("it rises.",), figures={}, remedies=advised)
    _show("run", found, Console(file=screen, width=200))
    # Nobody can tell what lies beyond: a rate three times as high is 0.00686. Whole numbers stay whole.
    assert "optimizer.learning_rate=0.00686\n" in screen.getvalue() and "epochs=20\n" in screen.getvalue()


@pytest.mark.parametrize(
    ("given", "option"),
    [(Given(), "--n-val"), (Given(n_val=9), "--n-train"), (Given(n_val=9, n_train=9), "--classes")],
)
def test_without_a_size_there_is_no_verdict(curves, given, option):
    # Whoever does not say of how many images a curve is gets no verdict on it, but the option's name.
    with pytest.raises(ConfigError, match=f"{option}: received none for .*add {option} N"):
        said(curves, given)


@pytest.mark.parametrize("text", ["", "epoch,val_loss\n1,0.5\n", "no table at all", "epoch,val_loss\n1,many\n"])
def test_a_table_that_is_none_is_named(curves, text):
    if text == "":
        curves.unlink()
    else:
        curves.write_text(text)
    # The file is named and a learning curve asked for.
    with pytest.raises(IntegrityError, match=r"curves\.csv: received .*expected a learning curve"):
        said(curves)


def test_a_table_with_other_columns_is_told_which_are_missing(curves):
    curves.write_text(curves.read_text().replace("clean_train_loss", "loss").replace("val_score", "score"))
    # Both by name with all that are expected; no class of Python and no advice to train for a wrong file.
    with pytest.raises(IntegrityError, match="without the columns clean_train_loss, val_score") as refusal:
        said(curves)
    assert "with the columns train_loss" in str(refusal.value) and "KeyError" not in str(refusal.value)


@pytest.mark.slow
def test_a_run_that_is_not_there_is_named(tmp_path):
    # With what would be one.
    with pytest.raises(ConfigError, match="night-1999: received no run with a curve"):
        said("night-1999", home=tmp_path)


@pytest.mark.parametrize("text", ["", "1/8", "1/2,1", "1,1,1", "0,1/2,1", "1/2,1,2", "1/0,1/2,1", "a,b,c"])
def test_fractions_that_make_no_curve_are_refused(text):
    # Three different parts of the data at least, none of nothing and none of more than there is.
    with pytest.raises(ConfigError, match="--fractions: received"):
        checked_fractions(text)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    params = {"prepare": {"source": "digits"}, "train": {"recipe": "digits", "epochs": 1}}
    search = {"space": {"model.filters": {"type": "int", "low": 4, "high": 8}}, "budget": {"trials": 1}}
    made = Params.model_validate(params | {"search": search})
    prepare(made, Environment(home=folder / "home"), folder / "prepared")
    return made, folder


def measured(digits, **others):
    params, folder = digits
    screen = StringIO()
    places = {"data": folder / "prepared", "winner": folder / "none", "out": folder / "data_curve.json"}
    environment = Environment(home=folder / "home")
    asked = {"fractions": "1/8,1/4,1/2", "seeds": 1} | others
    data_curve(params, environment, Console(file=screen, width=200), **asked, **places)
    return screen.getvalue(), json.loads((folder / "data_curve.json").read_text())


@pytest.mark.slow
def test_a_data_curve_is_measured_once_and_gone_on_with(digits):
    screen, document = measured(digits)
    # An eighth, a quarter and a half of the 1,294 training images.
    assert document["sizes"] == [162, 324, 647]
    # What twice as many would bring stands there with its interval, on the screen and in the file.
    assert document["sentence"][1:] in screen
    assert document["twice"]["low"] <= document["twice"]["estimate"] <= document["twice"]["high"]
    kept = sorted((digits[1] / "home").glob("data_curves/*/*.json"))
    first = {path: path.stat().st_mtime_ns for path in kept}
    kept[0].write_text("torn")
    again = measured(digits)[1]
    # The same answers come out, bit for bit.
    assert again == document
    # Only the run whose file was torn was trained anew.
    assert [path for path in kept if path.stat().st_mtime_ns != first[path]] == [kept[0]]


def test_a_part_without_all_classes_is_refused(digits):
    # A five-hundredth of 1,294 images holds no ten classes.
    with pytest.raises(DataError, match="--fractions: received a part of 3 training images for 10 classes"):
        measured(digits, fractions="1/500,1/4,1/2")

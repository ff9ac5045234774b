"""`cnn predict`: real pictures in every form, a real network, and files and models that are not to be trusted."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cnn.commands import predict as command
from cnn.commands.chosen_model import chosen_model
from cnn.durable import sha256_of, write_sealed
from cnn.errors import ConfigError, DataError, IntegrityError
from cnn.evaluation.predictions import Predictions, write_predictions
from cnn.records import Head, Task
from cnn.tracking.registry import CHAMPION, Candidate, MemoryRegistry
from cnn.training.model_file import check_runs_no_code

pytestmark = pytest.mark.slow

NAMES = ("dark", "light\x1b[31m")
HEAD = Head(class_names=NAMES)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A network of our own kind that answers by brightness, its weights set by hand: 8 x 8 grey pictures."""
    import keras

    from cnn.config.architectures import PlainRecipe
    from cnn.models.build import build_model
    from cnn.training.saving import write_model

    recipe = PlainRecipe(blocks=1, filters=1, convolutions=1, dense_units=1, head="global_average")
    model = build_model(recipe, (8, 8, 1), HEAD, seed=0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros(layer.kernel.shape, np.float32)
            kernel[1, 1] = 1.0
            layer.set_weights([kernel, *map(np.zeros_like, layer.get_weights()[1:])])
        elif isinstance(layer, keras.layers.Dense):
            last = layer.name == "probs"
            kernel = np.array([[-20.0, 20.0]]) if last else np.ones(layer.kernel.shape)
            layer.set_weights([kernel, np.array([10.0, -10.0]) if last else np.zeros(1)])
    path = tmp_path_factory.mktemp("model") / "model.keras"
    write_model(path, model)
    return path


@pytest.fixture
def trained(model_file, tmp_path):
    """A folder as `cnn train` leaves it."""
    folder = tmp_path / "train"
    folder.mkdir()
    shutil.copy(model_file, folder)
    write_sealed(folder / "train.json", {"model_sha256": sha256_of(model_file), **HEAD.document()})
    return folder / "model.keras"


@pytest.fixture
def registry(model_file, tmp_path):
    """A registry whose champion is the model; its tags say that pictures are padded."""
    kept = tmp_path / "predictions.npz"
    write_predictions(kept, Predictions(labels=np.zeros(1, np.int64), probs=np.eye(2, dtype=np.float32)[:1], head=HEAD))
    made = MemoryRegistry(tmp_path / "registry")
    candidate = Candidate(
        model=model_file,
        run_key="night/candidate",
        labels=NAMES,
        image_shape=(8, 8, 1),
        example=np.zeros((1, 8, 8, 1), np.uint8),
        lineage={},
        files=(kept,),
        tags={"images.resize": "pad"},
    )
    made.set_alias(made.register("shades", candidate), CHAMPION)
    return made


@pytest.fixture
def pictures(tmp_path):
    """Bright and dark pictures of any size and mode, some in a folder within the folder."""
    folder = tmp_path / "pictures"
    (folder / "deep er").mkdir(parents=True)
    for name, mode, size, value in (
        ("a light.png", "L", (8, 8), 255),
        ("b dark.jpg", "RGB", (300, 40), (3, 3, 3)),
        ("c light.png", "RGBA", (50, 70), (255, 255, 255, 255)),
        ("d dark.tif", "CMYK", (9, 9), (0, 0, 0, 255)),
        ("deep er/e light.webp", "RGB", (64, 64), (250, 250, 250)),
        ("f light.png", "I;16", (20, 20), 65535),
    ):
        Image.new(mode, size, value).save(folder / name)
    return folder


def lines_of(capsys):
    out, err = capsys.readouterr()
    return out.splitlines(), err.splitlines()


def test_pictures_of_any_size_and_mode_are_labelled(trained, pictures, capsys):
    assert command.predict([pictures], chosen_model(str(trained), None), as_json=True) == 0
    said = [json.loads(line) for line in lines_of(capsys)[0]]
    inner = pictures / "deep er"
    files = [path for folder in (pictures, inner) for path in sorted(folder.iterdir()) if path.is_file()]
    # Every file of the folder, then of the folders in it, once, by name, with the class that its name tells.
    assert [one["file"] for one in said] == [str(path) for path in files] and len(files) == 6
    for one in said:
        assert one["label"].split("\x1b")[0] in one["file"]
        assert one["probability"] == max(one["probabilities"].values()) > 0.9
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_the_table_has_a_line_a_picture_and_moves_no_cursor(trained, pictures, capsys):
    command.predict([pictures / "a light.png", pictures / "b dark.jpg"], chosen_model(str(trained), None))
    header, *rows = lines_of(capsys)[0]
    assert header.split() == ["label", "probability", "file"] and len(rows) == 2
    # A name from a file may hold anything: it is printed without what steers a terminal.
    assert rows[0].startswith("light\\x1b[31m") and "\x1b" not in "".join(rows)


def test_bad_files_are_named_and_the_rest_is_predicted(trained, pictures, capsys):
    (pictures / "torn.png").write_bytes((pictures / "a light.png").read_bytes()[:40])
    (pictures / "words.png").write_text("no picture")
    (pictures / "new\nline.png").write_bytes(b"")
    chosen = chosen_model(str(trained), None)
    # The exit code says that something is amiss, though six pictures were predicted.
    assert command.predict([pictures], chosen) == 1
    out, err = lines_of(capsys)
    assert len(out) == 1 + 6
    for name, reason in (("torn.png", ""), ("words.png", "not an image"), ("new\\nline.png", "empty file")):
        assert any(name in line and reason in line for line in err)
    assert err[-1] == "cnn: 3 of 9 files could not be predicted"
    command.predict([pictures], chosen, as_json=True)
    said = [json.loads(line) for line in lines_of(capsys)[0]]
    # As JSON, each file has its line, with the reason in place of a label.
    assert len(said) == 9 and sum("error" in one and "label" not in one for one in said) == 3


@pytest.mark.parametrize("words", [[], ["gone.png"], ["empty"]])
def test_nothing_to_predict_is_a_mistake(trained, tmp_path, words):
    (tmp_path / "empty").mkdir()
    # Nothing readable at all: one line and exit code 2.
    with pytest.raises(DataError, match="expected"):
        command.predict([tmp_path / word for word in words], chosen_model(str(trained), None))


def test_memory_does_not_grow_with_the_number_of_pictures(trained, pictures):
    chosen, taken = chosen_model(str(trained), None), []

    def files():
        for number in range(10_000):
            taken.append(number)
            yield pictures / "a light.png"

    first = next(command.answers(files(), chosen))
    # Of ten thousand files no more than a batch is held at a time.
    assert first.probs is not None and len(taken) <= 64


def test_several_labels_are_given_by_their_thresholds(trained, pictures):
    from dataclasses import replace

    chosen = replace(chosen_model(str(trained), None), head=Head(class_names=NAMES, task=Task.MULTILABEL))
    answer = command.Answer(path=pictures, probs=np.array([0.4, 0.6]))
    # Each label has its own; the surest comes first; and an image may have none.
    assert command.said(answer, replace(chosen, thresholds=(0.3, 0.3))) == [1, 0]
    assert command.said(answer, replace(chosen, thresholds=(0.3, 0.7))) == [0]
    assert command.said(answer, replace(chosen, thresholds=(0.9, 0.9))) == []


def test_a_version_brings_its_names_and_its_way_to_resize(registry, pictures, capsys):
    chosen = chosen_model("models:/shades@champion", registry)
    # As the version was prepared, so are new pictures.
    assert (chosen.head, chosen.images.resize, chosen.images.size, chosen.images.channels) == (HEAD, "pad", (8, 8), 1)
    assert command.predict([pictures / "a light.png"], chosen) == 0
    assert lines_of(capsys)[0][1].startswith("light")


def test_a_tampered_model_is_refused(registry, trained):
    version = registry.version_by_alias("shades", CHAMPION)
    path = next((trained.parent.parent / "registry").rglob("model.keras"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    # One line with what is wrong, and no byte of it is loaded.
    with pytest.raises(IntegrityError, match=r"model\.keras"):
        chosen_model(f"models:/{version.name}@{CHAMPION}", registry)
    trained.write_bytes(trained.read_bytes()[:-1] + b"!")
    # The same for a file, which train.json vouches for.
    with pytest.raises(IntegrityError, match=r"model\.keras"):
        chosen_model(str(trained), None)


@pytest.mark.parametrize("name", ["models:/shades@nobody", "models:/nothing@champion"])
def test_a_version_that_is_not_there_is_named(registry, name):
    with pytest.raises(ConfigError, match="no such version"):
        chosen_model(name, registry)


@pytest.mark.parametrize("name", ["models:/shades/3", "nowhere.keras", "https://host/model.keras", "."])
def test_what_is_no_model_is_named(name):
    # What can be named is in the line.
    with pytest.raises(ConfigError, match=r"models:/NAME@ALIAS or FILE\.keras"):
        chosen_model(name, None)


def test_whatever_could_run_code_is_refused(tmp_path, model_file):
    import keras

    layers = [keras.Input((8, 8, 1)), keras.layers.Lambda(lambda x: x, name="own"), keras.layers.Flatten()]
    keras.Sequential(layers).save(tmp_path / "lambda.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(tmp_path / "old.h5")
    other = tmp_path / "other.keras"
    with zipfile.ZipFile(model_file) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                content = content.replace(b'"module": "keras.layers"', b'"module": "os.path"', 1)
            target.writestr(name, content)
    for name, reason in (("lambda.keras", "Lambda"), ("old.h5", "another kind of file"), ("other.keras", "os.path")):
        # Named before Keras reads it, safe mode or not.
        with pytest.raises(IntegrityError, match=reason):
            chosen_model(str(tmp_path / name), None)


@pytest.mark.parametrize(
    "preset", ["lenet5", "alexnet_small", "vgg_small", "resnet_small", "mobilenet_small", "inception_small"]
)
def test_our_own_models_are_not_refused(tmp_path, preset):
    from cnn.config.reading import read_recipe
    from cnn.models.build import build_model
    from cnn.training.saving import write_model

    head = Head(class_names=NAMES, task=Task.BINARY)
    write_model(tmp_path / "model.keras", build_model(read_recipe(preset).model, (32, 32, 1), head, seed=0))
    # The check knows all layers that networks here are made of.
    check_runs_no_code(tmp_path / "model.keras")


def test_the_command_ends_a_mistake_with_one_line(monkeypatch, tmp_path, capsys):
    from cnn.__main__ import app, main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["cnn", "predict", "x.png", "--model", "y.keras"])
    with pytest.raises(SystemExit) as ended:
        main()
    # One line on the error output, and exit code 2.
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("cnn: --model: received y.keras; expected models:/")
    # Without a picture there is nothing to do.
    assert CliRunner().invoke(app, ["predict"]).exit_code == 2

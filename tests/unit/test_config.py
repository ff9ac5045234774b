"""Settings: each mistake is one line that names its place."""

import re
from pathlib import Path

import pytest

from cnn.config.environment import read_environment
from cnn.config.reading import digest, read_params, read_published, read_recipe, read_yaml, recipe_with, write_overrides
from cnn.config.recipe import Recipe
from cnn.durable import write_sealed
from cnn.errors import ConfigError

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def test_an_override_sets_any_key():
    words = ["search.budget.trials=5", "search.space.model.filters.low=24", "evaluate.confidence=0.9"]
    params = read_params(PARAMS, words)
    # Also below a key that itself holds a dot.
    assert (params.search.budget.trials, params.search.space["model.filters"].low, params.evaluate.confidence) == (
        5,
        24,
        0.9,
    )


def test_an_override_can_replace_the_space():
    params = read_params(PARAMS, ["search.space={model.filters: {type: int, low: 1, high: 2}}"])
    # The value is YAML, a whole mapping included.
    assert list(params.search.space) == ["model.filters"]


MISTAKES = {
    "search.budgt.trials=5": ["search.budgt.trials", "unknown key", "budget"],
    "search.sampel=tpe": ["search.sampel", "did you mean sampler?"],
    "search.budget.trials=-3": ["search.budget.trials", "-3", "greater than or equal to 1"],
    "search.budget.trials=many": ["search.budget.trials", "many", "integer"],
    "search.workers=many": ["search.workers: received 'many'; expected a valid integer or 'auto'; edit"],
    "search.workers=0": ["search.workers: received 0; expected greater than or equal to 1 or 'auto'; edit"],
    "search.space.model.batch_norm.values=[null]": [
        "search.space.model.batch_norm.values.0: received None; ",
        "expected a valid boolean, a valid integer, a valid number or a text; edit",
    ],
    "search.space.x={type: int, low: 1}": ["search.space.x.high: received nothing"],
    "search.space.x={low: 1}": ["search.space.x.type: received nothing"],
    "search.space.x={type: real}": ["search.space.x: received", "expected a type out of 'float', 'int', 'choice'"],
    "search.space.x=3": ["search.space.x: received 3; expected a mapping"],
    "search.budget=3": ["search.budget: received 3; expected a mapping"],
    "search.engine=hyperopt": ["search.engine", "hyperopt", "'optuna', 'keras_tuner' or 'random'"],
    "search.objective=accuracy_under": ["a limit beside accuracy_under: set parameters, multiply_adds or latency_ms"],
    "search.objective.parameters=5": ["search.objective: ", "parameters null with accuracy"],
    "search.objective=precision": ["search.objective", "'accuracy', 'accuracy_and_gap' or 'accuracy_under'"],
    "search.objective={of: accuracy_under, params: 5}": ["search.objective.params", "unknown key", "parameters"],
    "search.objective.latency_ms=0": ["search.objective.latency_ms", "greater than 0"],
    "search.space={}": ["search.space", "at least 1"],
    "search.space.model.filters.low=99": ["search.space.model.filters", "expected low at most high, not 99 and 32;"],
    "search.space.model.dropout.low=0.3": ["expected low below high, not 0.3 and 0.3;"],
    "search.space.optimizer.learning_rate.low=0": ["expected low above 0 in a log range, not 0.0;"],
    "search.space.model.filters.step=3": ["expected high - low to be a multiple of step 3, not 16;"],
    "search.space.augment.shift.values=[0.1, 0.1]": ["expected values that all differ, not [0.1, 0.1];"],
    "search.budget={}": ["expected trials, minutes or cpu_minutes: without one of them the search never ends;"],
    "search.space.model.batch_norm.values=[]": ["search.space.model.batch_norm.values", "at least 1"],
    "search.seed.x=1": ["search.seed.x", "unknown key"],
    "evaluate.confidence=95": ["evaluate.confidence", "95", "less than 1"],
    "prepare.source=npz": ["prepare", "prepare.path"],
    "no_equals_sign": ["no_equals_sign", "KEY=VALUE"],
    "search.seed=[1": ["search.seed", "YAML"],
    "register.name=a/b": ["register.name: received 'a/b'; expected a name without / : . % and quotes; edit"],
    "register.name=": ["register.name: received None; expected a text"],
    "register.name=''": ["register.name: received ''; expected a name without"],
}


@pytest.mark.parametrize("word", MISTAKES)
def test_a_mistake_is_one_line_that_names_its_place(word):
    with pytest.raises(ConfigError) as caught:
        read_params(PARAMS, [word])
    line = str(caught.value)
    # What was received, what was expected, where to change it: in one line.
    assert "\n" not in line
    for part in MISTAKES[word]:
        assert part in line


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("search.budget.minuts=1", "edit --set search.budget.minuts"),
        ("search.budget={trials: many}", "edit --set search.budget"),
        ("search.space={model.filters: {type: int, high: 2}}", "add the key to --set search.space"),
    ],
)
def test_a_mistake_in_a_word_is_changed_in_the_word(word, change):
    with pytest.raises(ConfigError) as caught:
        read_params(PARAMS, ["search.seed=1", word])
    # Nothing in the file is wrong: it is not what has to be edited.
    assert caught.value.change == change


def test_a_mistake_in_the_file_is_changed_in_the_file(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace("confidence: 0.95", "confidence: 95"))
    with pytest.raises(ConfigError) as caught:
        read_params(file, ["evaluate.batch_size=8"])
    # Another word, even one of the same section, is not to blame.
    assert caught.value.change == f"edit {file}"


def test_an_objective_can_be_a_word_or_a_section():
    word, key, section = (
        read_params(PARAMS, [words]).search.objective
        for words in (
            "search.objective=accuracy_and_gap",
            "search.objective.of=accuracy_and_gap",
            "search.objective={of: accuracy_under, parameters: 500000, latency_ms: 2.5}",
        )
    )
    # A word alone means the section with that word; its limits are there by name.
    assert word == key
    assert section.limits == {"parameters": 500_000, "latency_ms": 2.5}


def test_a_search_without_an_end_is_refused():
    words = ["search.budget.trials=null", "search.budget.minutes=null", "search.budget.cpu_minutes=null"]
    with pytest.raises(ConfigError, match="never ends"):
        read_params(PARAMS, words)


def test_a_missing_file_and_torn_yaml_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("search: [1, 2")
    with pytest.raises(ConfigError, match="no YAML"):
        read_params(tmp_path / "params.yaml")


def test_an_empty_file_and_one_that_is_a_list_are_one_line(tmp_path):
    file = tmp_path / "params.yaml"
    for text, received in (("", "nothing"), ("# all commented out\n", "nothing"), ("- a\n", "['a']")):
        file.write_text(text)
        # What lies there, not what Python calls it.
        with pytest.raises(ConfigError, match=f"received {re.escape(received)}; expected a mapping of keys to values"):
            read_params(file)


def test_a_misspelt_section_is_named(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS.read_text().replace("\nprepare:", "\npreparee:"))
    # Not the section that is missing: the word that was meant for it.
    with pytest.raises(ConfigError, match=r"preparee: received an unknown key; .*did you mean prepare\?"):
        read_params(file)
    file.write_text(PARAMS.read_text().replace("\nprepare:", "\nsomething:"))
    # A word that looks like nothing is not taken for it.
    with pytest.raises(ConfigError, match="prepare: received nothing"):
        read_params(file)


def test_a_home_that_is_a_file_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    # Whatever it would have been used for, also where only a folder above it is one.
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        monkeypatch.setenv("CNN_HOME", str(home))
        with pytest.raises(ConfigError, match=f"CNN_HOME: received {tmp_path}/file, a file; expected a folder"):
            read_environment()


def test_a_recipe_is_a_preset_or_a_file(tmp_path):
    assert read_recipe("tutorial_basic").training.batch_size == 256
    (tmp_path / "mine.yaml").write_text("model: {filters: 7}")
    assert read_recipe(str(tmp_path / "mine.yaml")).model.filters == 7
    # An unknown name lists those that ship.
    with pytest.raises(ConfigError, match="tutorial_basic"):
        read_recipe("resnet")


def test_published_facts_are_no_part_of_the_recipe():
    published = read_published("lenet5")
    # The section at the head of the file is read apart, and the rest is the recipe.
    assert (published.parameters, published.image_shape, published.classes) == (61_706, (32, 32, 1), 10)
    assert "published" not in read_recipe("lenet5").model_dump()
    # A preset for small images has nothing published of it.
    assert read_published("resnet_small") is None


def test_a_mistake_in_published_facts_is_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("published: {parameters: 0, image_shape: [8, 8, 1], classes: 2, source: me}\nmodel: {filters: 7}\n")
    with pytest.raises(ConfigError, match=r"parameters: received 0; expected greater than or equal to 1"):
        read_published(str(path))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "model: {family: resnt}",
            ["model: received {'family': 'resnt'}", "expected a family out of 'plain', 'lenet'"],
        ),
        ("model: {family: vgg, depht: 11}", ["model.depht: received an unknown key", "did you mean depth?"]),
        ("model: {family: vgg, depth: 12}", ["model.depth: received 12; expected 11, 13, 16 or 19"]),
        ("model: {family: resnet, kernel: 3}", ["model.kernel: received an unknown key", "expected one of family"]),
        ("model: {family: mobilenet, network: mobilenet_v4}", ["model.network", "'mobilenet_v3_large'"]),
        ("model: plain", ["model: received 'plain'; expected a mapping"]),
        ("model: {filterz: 3}", ["model.filterz", "did you mean filters?"]),
    ],
)
def test_a_mistake_in_a_familys_section_is_one_line(text, parts, tmp_path):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_recipe(str(tmp_path / "mine.yaml"))
    # The words are those of the family that the section names; without a family, of the plain one.
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_proposal_is_laid_over_a_recipe():
    recipe = recipe_with(Recipe(), {"model.filters": 7, "optimizer.name": "sgd"})
    assert (recipe.model.filters, recipe.optimizer.name) == (7, "sgd")
    # A path that names no field says so, and where it came from.
    with pytest.raises(ConfigError, match=r"model\.filtrs.*did you mean filters.*search\.space"):
        recipe_with(Recipe(), {"model.filtrs": 7})


def test_writing_settings_changes_no_other_file(tmp_path):
    written = []
    for _ in range(2):
        write_sealed(tmp_path / "winner.yaml", {"recipe": {"plan": None}})
        written.append((tmp_path / "winner.yaml").read_bytes())
        assert "minutes: null" in write_overrides(PARAMS, ["search.budget.minutes=null", "search.budget.trials=5"])
    # How `null` is written there is a matter of that file alone: a winner's bytes do not depend on what came before.
    assert written[0] == written[1]


def test_overrides_are_written_with_comments_kept():
    text = write_overrides(PARAMS, ["search.budget.trials=5"])
    before, after = PARAMS.read_text().splitlines(), text.splitlines()
    changed = [
        (old.split("#")[0].split(), new.split("#")[0].split())
        for old, new in zip(before, after, strict=True)
        if old != new
    ]
    # One line differs; everything else is as it was, to the letter.
    assert changed == [(["trials:", "40"], ["trials:", "5"])]


def test_equal_settings_have_equal_digests():
    # The order of keys says nothing, a value does.
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_an_unknown_machine_setting_is_named(monkeypatch):
    monkeypatch.setenv("CNN_TRACKNG_URI", "http://127.0.0.1:5000")
    with pytest.raises(ConfigError, match=r"CNN_TRACKNG_URI.*CNN_TRACKING_URI"):
        read_environment()


def test_machine_settings_have_embedded_defaults(monkeypatch, tmp_path):
    monkeypatch.setenv("CNN_HOME", str(tmp_path))
    environment = read_environment()
    # Everything lies below CNN_HOME unless said otherwise.
    assert environment.mlflow_uri == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("CNN_TRACKING_URI", "http://127.0.0.1:5000")
    assert read_environment().mlflow_uri == "http://127.0.0.1:5000"


def test_yaml_numbers_are_numbers():
    # YAML 1.1 would read 1e-4 as text and `off` as false.
    assert read_yaml(PARAMS)["search"]["space"]["model.batch_norm"]["values"][0] == "none"

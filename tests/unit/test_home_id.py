"""The id by which a home's runs and studies are told from another's."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna  # noqa: TID251
import pytest

from cnn import wiring
from cnn.config.environment import Environment
from cnn.config.params import Params
from cnn.errors import IntegrityError
from cnn.search.space import Space
from cnn.tracking.memory import MemoryTracker

ROOT = Path(__file__).resolve().parents[2]
PARAMS = Params.model_validate(
    {
        "prepare": {"source": "digits"},
        "search": {
            "space": {"model.filters": {"type": "int", "low": 8, "high": 16}},
            "budget": {"trials": 1},
            "sampler": "random",
            "pruner": "none",
        },
    }
)


def studies_shown(*environments):
    """The names Optuna's storage has once each home has searched a study of one name."""
    for environment in environments:
        parts = wiring.search_parts(PARAMS, environment, MemoryTracker())
        searcher = parts.searcher(Space(PARAMS.search.space), "night-7")
        searcher.restore([], "")
        searcher.ask(0)
    return sorted(optuna.get_all_study_names(environments[0].optuna_url))


def test_a_home_keeps_its_id_and_no_two_have_one(tmp_path):
    here, there = Environment(home=tmp_path / "here"), Environment(home=tmp_path / "there")
    # Another process, which makes its own Environment, finds the same.
    assert here.home_id() == Environment(home=tmp_path / "here").home_id() != there.home_id()


def test_processes_that_start_at_once_agree(tmp_path):
    script = "from cnn.config.environment import read_environment; print(read_environment().home_id())"
    environment = os.environ | {"CNN_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}

    def start(_):
        command = [sys.executable, "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    with ThreadPoolExecutor(6) as starts:
        said = set(starts.map(start, range(6)))
    # Whoever was first, all speak of one home.
    assert said == {f"{Environment(home=tmp_path / 'home').home_id()}\n"}


def test_threads_that_start_at_once_agree(tmp_path):
    for number in range(20):
        with ThreadPoolExecutor(8) as starts:
            home = tmp_path / f"{number}"
            # Many more chances for the same race.
            assert len(set(starts.map(lambda _, home=home: Environment(home=home).home_id(), range(8)))) == 1


def test_a_damaged_id_is_named_and_not_used(tmp_path):
    environment = Environment(home=tmp_path)
    (tmp_path / "id").write_bytes(b"\xff' or true")
    # It stands in MLflow's filters, which know no escapes.
    with pytest.raises(IntegrityError, match=str(tmp_path / "id")):
        environment.home_id()


def test_a_tracker_with_a_damaged_id_does_not_begin(tmp_path):
    (tmp_path / "id").write_text("")
    # Said at once, instead of a search whose runs nobody would ever see.
    with pytest.raises(IntegrityError), wiring.tracker(Environment(home=tmp_path), "nights", source="test"):
        pass


def test_studies_of_one_name_stay_apart_in_a_shared_storage(tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    homes = [Environment(home=tmp_path / name, study_storage=storage) for name in ("here", "there")]
    # One name each, which says whose it is.
    assert studies_shown(*homes) == sorted(f"night-7@{home.home_id()}" for home in homes)


@pytest.mark.parametrize("named", [False, True], ids=["left out", "named"])
def test_a_homes_own_storage_keeps_the_plain_name(tmp_path, named):
    own = f"sqlite:///{tmp_path / 'optuna.db'}" if named else ""
    # Nobody else is in it.
    assert studies_shown(Environment(home=tmp_path, study_storage=own)) == ["night-7"]

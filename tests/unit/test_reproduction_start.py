"""A model that started from another is made again from the same bytes, whatever the name means today."""

import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from reproduced import SETTINGS
from ruamel.yaml import YAML

from cnn.durable import read_sealed, sha256_of, write_sealed
from cnn.errors import ConfigError, IntegrityError
from cnn.reproduction.start import bring_start
from cnn.reproduction.worktree import Place, lay_over
from cnn.tracking.registry import CHAMPION, Candidate, MemoryRegistry

MODEL = {"blocks": 1, "filters": 8}


@pytest.fixture
def house(tmp_path):
    """A registry with two versions, of which the second is champion today, and an empty worktree."""
    registry = MemoryRegistry(tmp_path / "registry")
    for number in (1, 2):
        with zipfile.ZipFile(tmp_path / f"{number}.keras", "w") as archive:
            archive.writestr("config.json", str(number))
        version = registry.register(
            "cats",
            Candidate(
                model=tmp_path / f"{number}.keras", run_key="night/candidate", labels=("a",), image_shape=(4, 4, 1),
                example=np.zeros((1, 4, 4, 1), np.uint8), lineage={},
            ),
        )  # fmt: skip
    registry.set_alias(version, CHAMPION)
    folder = tmp_path / "place"
    place = Place(folder=folder, project=folder / "checkout", home=folder / "home", kept=folder / "kept")
    for part in (place.project, place.home, place.kept):
        part.mkdir(parents=True)
    first = sha256_of(tmp_path / "1.keras")
    return SimpleNamespace(registry=registry, place=place, checkout=tmp_path, first=first)


def keep(house, source, sha256, recipe="mine.yaml"):
    """What a version keeps whose recipe started from `source`, then laid over the worktree."""
    (house.place.kept / "params.yaml").write_text(SETTINGS + f"train: {{recipe: {recipe}}}\n")
    transfer = {"from": source, "sha256": sha256, "freeze": "all"}
    write_sealed(house.place.kept / "train.json", {"recipe": {"model": MODEL, "transfer": transfer}})
    lay_over(house.place)


def bring(house):
    bring_start(house.place, house.checkout, house.registry)
    return house.place.kept / "start.keras"


def read_recipe(house):
    return YAML(typ="safe").load((house.place.project / "recipe.yaml").read_text())


def test_a_recipe_that_says_champion_starts_from_who_was_champion_then(house):
    written = {"model": MODEL, "transfer": {"from": "models:/cats@champion", "freeze": "all"}}
    with (house.place.kept / "recipe.yaml").open("w") as file:
        YAML().dump(written, file)
    keep(house, "models:/cats/1", house.first)
    start = bring(house)
    # The champion has moved to version 2; the file has the bytes of version 1, and the recipe names no registry.
    assert sha256_of(start) == house.first
    assert read_recipe(house) == {
        "model": MODEL,
        "transfer": {"from": str(start), "sha256": house.first, "freeze": "all"},
    }


def test_a_winner_starts_from_the_file_and_is_sealed_again(house):
    keep(house, "models:/cats/1", house.first, recipe="winner")
    start = bring(house)
    transfer = read_sealed(house.place.project / "outputs/search/winner.yaml")["recipe"]["transfer"]
    assert (transfer["from"], transfer["sha256"]) == (str(start), house.first)
    # What was kept stays as it was kept.
    assert read_sealed(house.place.kept / "train.json")["recipe"]["transfer"]["from"] == "models:/cats/1"


def test_a_file_is_taken_from_where_the_person_has_it(house):
    keep(house, "1.keras", house.first, recipe="winner")
    assert sha256_of(bring(house)) == house.first


def test_published_weights_keep_their_name_and_are_pinned(house):
    keep(house, "imagenet", "b" * 64, recipe="winner")
    assert not bring(house).exists()
    transfer = read_sealed(house.place.project / "outputs/search/winner.yaml")["recipe"]["transfer"]
    assert (transfer["from"], transfer["sha256"]) == ("imagenet", "b" * 64)


@pytest.mark.parametrize("source", ["models:/cats/7", "dogs.keras"])
def test_a_source_that_is_gone_is_named(house, source):
    keep(house, source, house.first, recipe="winner")
    with pytest.raises(ConfigError, match=f"transfer.from {source}: received nothing there"):
        bring(house)


@pytest.mark.parametrize("source", ["models:/cats/2", "2.keras"])
def test_other_bytes_are_refused(house, source):
    # A version that was registered anew under this number, or a file that was written over.
    keep(house, source, house.first, recipe="winner")
    with pytest.raises(IntegrityError, match=f"transfer.from {source}: received sha256"):
        bring(house)


def test_what_started_from_nothing_needs_nothing(house):
    keep(house, "models:/cats/1", house.first, recipe="winner")
    write_sealed(house.place.kept / "train.json", {"recipe": {"model": MODEL, "transfer": None}})
    assert not bring(house).exists()

"""Where a version, a run or a night comes from: found in the registry and in git, in a clone that never saw it."""

import pytest
from reproduced import NAME, NIGHT, House, git, new_checkout, save_night

from cnn.errors import ConfigError, IntegrityError
from cnn.reproduction.origin import find_origin, kept_files
from cnn.reproduction.revisions import has_commit, saved_night, saved_nights, top_of
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.registry import MemoryRegistry
from cnn.tracking.tracker import Run


@pytest.fixture
def checkout(tmp_path):
    return new_checkout(tmp_path / "checkout")


@pytest.fixture
def house(tmp_path, checkout):
    return House(tmp_path, checkout)


@pytest.mark.parametrize("what", ["1", "v1", "cats/1", "models:/cats/1", "models:/cats@champion", "champion", NIGHT])
def test_a_version_has_many_names(house, what):
    house.registry.set_alias(house.version, "champion")
    # By number, address, alias, night: the same version.
    assert house.find(what).number == 1


def test_a_run_leads_to_the_version_it_became(house):
    assert house.find(f"{NIGHT}/candidate").number == 1
    # A trial's run became none.
    house.tracker.start(Run(key=f"{NIGHT}/0", name="trial 0"))
    assert house.find(f"{NIGHT}/0") is None


def test_of_a_night_that_was_registered_twice_the_later_version_counts(house):
    second = house.register({**house.version.tags, "data_hash": "other"})
    assert second.number == 2
    assert house.find(NIGHT).number == 2


@pytest.mark.parametrize(
    "what", ["7", "9" * 30, "dogs/1", "champion", "night-1999-01-01-0100", "it's", "none", "", "n*"]
)
def test_what_is_not_known_is_said_in_one_line(house, checkout, what):
    house.register({"git_revision": git(checkout, "rev-parse", "HEAD"), "night": "none"})
    save_night(checkout)
    with pytest.raises(ConfigError, match=r"expected a version .*, a night .* or a candidate's run") as said:
        house.origin(what, checkout)
    assert "\n" not in str(said.value)


def test_the_commit_is_fetched_into_a_clone_that_lacks_it(tmp_path, checkout, house):
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(checkout), str(clone))
    (checkout / "code.py").write_text("one = 2\n")
    git(checkout, "commit", "--quiet", "--all", "--message", "later")
    later = git(checkout, "rev-parse", "HEAD")
    assert has_commit(clone, later)
    # A commit that is nowhere stays nowhere.
    assert not has_commit(clone, "0" * 40)


def test_a_saved_night_is_found_at_the_remote(tmp_path, checkout):
    saved = save_night(checkout)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(checkout), str(clone))
    # A clone brings branches, no nights.
    assert saved_nights(clone) == []
    assert saved_night(clone, NIGHT) == saved
    # Now it is here, by its name, for `dvc exp apply`.
    assert saved_nights(clone) == [NIGHT]
    assert saved_night(clone, "night-1999") == ""


def test_a_night_without_a_registry_is_its_experiment(tmp_path, checkout):
    saved = save_night(checkout)
    empty = MemoryRegistry(tmp_path / "empty")
    origin = find_origin(NIGHT, NAME, empty, MemoryTracker(), checkout)
    assert (origin.revision, origin.version, origin.is_saved_night) == (saved, None, True)


def test_a_version_starts_from_its_commit_and_knows_what_is_missing(house, checkout, tmp_path):
    origin = house.origin("1", checkout)
    assert (origin.revision, origin.night, origin.changed) == (git(checkout, "rev-parse", "HEAD"), NIGHT, False)
    changed = House(_folder(tmp_path, "dirty"), checkout, git_revision=f"{origin.revision}+changes")
    # Changes that were in no commit and were not kept are told, not passed over.
    assert changed.origin("1", checkout).changed


def _folder(tmp_path, name):
    (tmp_path / name).mkdir()
    return tmp_path / name


def test_a_version_of_before_settings_were_kept_needs_its_saved_night(house, checkout):
    old = house.register({"git_revision": git(checkout, "rev-parse", "HEAD"), "night": NIGHT, "a": "b"}, names=())
    with pytest.raises(ConfigError, match="without its settings"):
        house.origin(str(old.number), checkout)
    saved = save_night(checkout)
    assert house.origin(str(old.number), checkout).revision == saved


def test_a_commit_that_nobody_has_is_said_with_a_way_out(house, checkout):
    lost = house.register({"git_revision": "0" * 40, "night": "none"})
    with pytest.raises(ConfigError, match="git remote add"):
        house.origin(str(lost.number), checkout)


def test_outside_a_checkout_there_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="no git checkout"):
        top_of(tmp_path)


def test_kept_files_come_back_checked(house, tmp_path):
    folder = kept_files(house.version, house.registry, tmp_path / "kept")
    assert sorted(path.name for path in folder.iterdir()) == ["params.yaml", "train.json"]
    house.registry.set_tags(house.version, {"sha256.../../evil.py": "0" * 64})
    tagged = house.registry.version(NAME, 1)
    # A tag that names a place outside is no file of the version.
    assert len(list(kept_files(tagged, house.registry, tmp_path / "more").iterdir())) == 2
    path = tmp_path / "registry" / NAME / "1" / "train.json"
    path.write_text(path.read_text().replace("8", "9"))
    with pytest.raises(IntegrityError, match=r"train\.json"):
        kept_files(house.version, house.registry, tmp_path / "again")

"""Where a version, a run or a night comes from: found in the registry and in git, in a clone that never saw it."""

import hashlib
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cnn.config.reading import read_params
from cnn.durable import exclusive, read_sealed, write_sealed
from cnn.errors import ConfigError, IntegrityError, ServiceError
from cnn.reproduction.keeping import keep_origin
from cnn.reproduction.origin import find_origin, find_version, kept_files
from cnn.reproduction.revisions import has_commit, saved_night, saved_nights, top_of
from cnn.reproduction.worktree import Place, lay_over, leftovers, lock_of, worktree
from cnn.tracking.memory import MemoryTracker
from cnn.tracking.registry import Candidate, MemoryRegistry
from cnn.tracking.tracker import Run

NAME, NIGHT = "cats", "night-2026-11-24-0100"
SETTINGS = """
prepare: {source: digits}
search:
  recipe: digits
  space: {model.filters: {type: int, low: 4, high: 8}}
  budget: {trials: 1}
"""


def git(folder, *words):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    answer = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def new_checkout(folder):
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "params.yaml").write_text(SETTINGS)
    (folder / "code.py").write_text("one = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "begin")
    return folder


@pytest.fixture
def checkout(tmp_path):
    return new_checkout(tmp_path / "checkout")


def save_night(checkout, night=NIGHT):
    """A commit beside the branch under the reference that `dvc exp save` uses."""
    head = git(checkout, "rev-parse", "HEAD")
    saved = git(checkout, "commit-tree", f"{head}^{{tree}}", "-p", head, "-m", night)
    git(checkout, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{night}", saved)
    return saved


class House:
    """A registry and a tracker with one version of a night."""

    def __init__(self, folder, checkout, **tags):
        self.registry, self.tracker = MemoryRegistry(folder / "registry"), MemoryTracker()
        self.files = folder / "files"
        self.files.mkdir()
        with zipfile.ZipFile(self.files / "model.keras", "w") as archive:
            archive.writestr("config.json", "{}")
        (self.files / "params.yaml").write_text(SETTINGS)
        write_sealed(self.files / "train.json", {"recipe": {"model": {"filters": 8}}})
        lineage = {"git_revision": git(checkout, "rev-parse", "HEAD"), "night": NIGHT} | tags
        self.version = self.register(lineage)
        self.tracker.start(Run(key=f"{NIGHT}/candidate", name="candidate"))
        self.tracker.set_tags(f"{NIGHT}/candidate", {"version": f"{NAME} 1"})

    def register(self, lineage, names=("params.yaml", "train.json")):
        return self.registry.register(
            NAME,
            Candidate(
                model=self.files / "model.keras", run_key=f"{NIGHT}/candidate", labels=("a",), image_shape=(4, 4, 1),
                example=np.zeros((1, 4, 4, 1), np.uint8), lineage=lineage,
                files=tuple(self.files / name for name in names),
            ),
        )  # fmt: skip

    def find(self, what):
        return find_version(what, NAME, self.registry, self.tracker)

    def origin(self, what, checkout):
        return find_origin(what, NAME, self.registry, self.tracker, checkout)


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


def settings_of(checkout):
    return read_params(checkout / "params.yaml")


@pytest.mark.slow  # it asks TensorFlow for its devices
def test_what_is_kept_makes_the_checkout_again(checkout, tmp_path):
    model = tmp_path / "model.keras"
    model.write_bytes(b"weights")
    (checkout / "code.py").write_text("one = 2\n")
    winner = checkout / "outputs/search/winner.yaml"
    write_sealed(winner, {"recipe": {"model": {"filters": 8}}})
    (checkout / "dvc.lock").write_text("of another model")
    names = {path.name for path in keep_origin(tmp_path / "a", settings_of(checkout), checkout=checkout, model=model)}
    # Settings, conditions, winner and uncommitted changes; a lock about another model is none of it.
    assert names == {"params.yaml", "conditions.json", "winner.yaml", "changes.patch"}
    (checkout / "dvc.lock").write_text(f"md5: {hashlib.md5(b'weights').hexdigest()}")
    kept = keep_origin(tmp_path / "b", settings_of(checkout), checkout=checkout, model=model)
    assert "dvc.lock" in {path.name for path in kept}
    # One about other models and these data says where the data are, and has `cnn gc` leave them alone.
    manifest = checkout / "data/prepared/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    (checkout / "dvc.lock").write_text(f"md5: {hashlib.md5(b'{}').hexdigest()}")
    kept = keep_origin(tmp_path / "c", settings_of(checkout), checkout=checkout, model=model)
    assert "dvc.lock" in {path.name for path in kept}
    assert {"packages", "cpu", "threads", "devices", "code"} <= read_sealed(tmp_path / "b/conditions.json").keys()
    # Laid over the bare commit they give the files that were there.
    with worktree(checkout, Path(), git(checkout, "rev-parse", "HEAD"), tmp_path / "made", keep=False) as place:
        assert (place.project / "code.py").read_text() == "one = 1\n"
        for path in kept:
            (place.kept / path.name).write_bytes(path.read_bytes())
        lay_over(place)
        for name in ("code.py", "params.yaml", "dvc.lock", "outputs/search/winner.yaml"):
            assert (place.project / name).read_bytes() == (checkout / name).read_bytes()


@pytest.mark.slow  # it asks TensorFlow for its devices
def test_recipe_files_come_along_from_wherever_they_lie(checkout, tmp_path):
    mine, searched = tmp_path / "mine.yaml", checkout / "searched.yaml"
    mine.write_text("model: {blocks: 1}\n")
    searched.write_text("model: {blocks: 2}\n")
    named = SETTINGS.replace("recipe: digits", "recipe: searched.yaml") + f"train: {{recipe: {mine}}}\n"
    (checkout / "params.yaml").write_text(named)
    model = tmp_path / "model.keras"
    model.write_bytes(b"weights")
    kept = keep_origin(tmp_path / "kept", settings_of(checkout), checkout=checkout, model=model)
    assert {"recipe.yaml", "search_recipe.yaml"} <= {path.name for path in kept}
    mine.write_text("model: {blocks: 3}\n")
    with worktree(checkout, Path(), git(checkout, "rev-parse", "HEAD"), tmp_path / "made", keep=False) as place:
        for path in kept:
            (place.kept / path.name).write_bytes(path.read_bytes())
        lay_over(place)
        params = settings_of(place.project)
        assert (place.project / params.train.recipe).read_text() == "model: {blocks: 1}\n"
        assert (place.project / params.search.recipe).read_text() == "model: {blocks: 2}\n"
    # A file outside of the checkout is the person's, and stays as it is today.
    assert mine.read_text() == "model: {blocks: 3}\n"


def test_a_worktree_is_removed_and_leaves_no_trace_in_git(checkout, tmp_path):
    head = git(checkout, "rev-parse", "HEAD")
    folder = tmp_path / "reproductions" / "1"
    with worktree(checkout, Path(), head, folder, keep=False) as place:
        assert place.project.is_dir() and place.home.is_dir()
        assert len(git(checkout, "worktree", "list").splitlines()) == 2
        # A second one of the same name waits for nobody: it is told.
        with (
            pytest.raises(ServiceError, match="a reproduction under way"),
            worktree(checkout, Path(), head, folder, keep=False),
        ):
            pass
    assert not folder.exists()
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


def test_worktrees_of_the_persons_own_stay_known_to_git(checkout, tmp_path):
    head = git(checkout, "rev-parse", "HEAD")
    git(checkout, "worktree", "add", "--quiet", "--detach", str(tmp_path / "stick"))
    (tmp_path / "stick").rename(tmp_path / "pulled out")
    with worktree(checkout, Path(), head, tmp_path / "made", keep=False):
        pass
    # One on a disk that is not there now is no leftover of ours.
    assert str(tmp_path / "stick") in git(checkout, "worktree", "list")


def test_a_worktree_whose_folder_is_gone_is_no_obstacle(checkout, tmp_path):
    head = git(checkout, "rev-parse", "HEAD")
    folder = tmp_path / "reproductions" / "1"
    with worktree(checkout, Path(), head, folder, keep=True):
        pass
    shutil.rmtree(folder)  # as `cnn gc` does from another checkout
    with worktree(checkout, Path(), head, folder, keep=False) as place:
        assert place.project.is_dir()


def test_what_a_killed_reproduction_left_is_cleared_by_the_next(checkout, tmp_path):
    head = git(checkout, "rev-parse", "HEAD")
    folder = tmp_path / "reproductions" / "1"
    with worktree(checkout, Path(), head, folder, keep=True) as place:
        (place.project / "half").write_text("half")
        # While a process works there it is no leftover.
        assert leftovers(folder.parent) == []
    assert leftovers(folder.parent) == [folder]
    with worktree(checkout, Path(), head, folder, keep=False) as place:
        assert not (place.project / "half").exists()


@pytest.mark.parametrize("name", ["thesis.tex", "home/thesis.tex"])
def test_a_folder_with_something_else_in_it_is_left_alone(checkout, tmp_path, name):
    work = tmp_path / "mine" / name
    work.parent.mkdir(parents=True)
    work.write_text("years of work")
    head = git(checkout, "rev-parse", "HEAD")
    for _ in range(2):  # asked again, it is no more ours than before
        with (
            pytest.raises(ConfigError, match=r"which no reproduction has put there"),
            worktree(checkout, Path(), head, tmp_path / "mine", keep=False),
        ):
            pass
    assert work.read_text() == "years of work"


def test_changes_that_do_not_fit_are_named(checkout, tmp_path):
    head = git(checkout, "rev-parse", "HEAD")
    with worktree(checkout, Path(), head, tmp_path / "made", keep=False) as place:
        (place.kept / "changes.patch").write_text("--- a/none.py\n+++ b/none.py\n@@ -1 +1 @@\n-a\n+b\n")
        with pytest.raises(IntegrityError, match=r"changes\.patch"):
            lay_over(place)


@pytest.mark.parametrize("train", ["", "train: {recipe: digits}\n"])
def test_without_its_winner_the_trained_recipe_stands_for_it(checkout, tmp_path, train):
    # Also where another recipe was trained: DVC's stage depends on the file all the same.
    project = tmp_path / "project"
    place = Place(folder=tmp_path, project=project, home=tmp_path / "home", kept=tmp_path / "kept")
    for folder in (project, place.kept):
        folder.mkdir()
    (place.kept / "params.yaml").write_text(SETTINGS + train)
    write_sealed(place.kept / "train.json", {"recipe": {"model": {"filters": 8}}})
    lay_over(place)
    assert read_sealed(project / "outputs/search/winner.yaml")["recipe"] == {"model": {"filters": 8}}


def test_a_lock_is_held_only_while_somebody_works(tmp_path):
    (tmp_path / "1").mkdir()
    with exclusive(lock_of(tmp_path / "1"), what="a reproduction"):
        assert leftovers(tmp_path) == []
    assert leftovers(tmp_path) == [tmp_path / "1"]

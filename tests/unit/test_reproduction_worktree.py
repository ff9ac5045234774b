"""A checkout of its own: what was kept laid over a commit, other work left alone, leftovers cleared."""

import hashlib
import shutil
from pathlib import Path

import pytest
from reproduced import SETTINGS, git, new_checkout

from cnn.config.reading import read_params
from cnn.durable import exclusive, read_sealed, write_sealed
from cnn.errors import ConfigError, IntegrityError, ServiceError
from cnn.reproduction.keeping import keep_origin
from cnn.reproduction.worktree import Place, lay_over, leftovers, lock_of, worktree


@pytest.fixture
def checkout(tmp_path):
    return new_checkout(tmp_path / "checkout")


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

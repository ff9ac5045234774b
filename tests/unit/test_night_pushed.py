"""A saved night goes to a git remote, when one is set."""

import subprocess

import pytest

from cnn.config.environment import read_environment
from cnn.errors import ConfigError
from cnn.reproduction.revisions import saved_night
from flows.stages import check_git_remote, push_night

NIGHT, HOME = "night-2026-11-24-0100", "3f9a21bc"


def git(folder, *words):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    answer = subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True)
    return answer.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a saved night and a bare remote, in which the flow runs."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "remote.git"))
    git(folder, "init", "--quiet")
    git(folder, "remote", "add", "origin", str(tmp_path / "remote.git"))
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "begin")
    head = git(folder, "rev-parse", "HEAD")
    saved = git(folder, "commit-tree", f"{head}^{{tree}}", "-p", head, "-m", NIGHT)
    git(folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{NIGHT}", saved)
    monkeypatch.chdir(folder)
    return folder


def test_a_pushed_night_is_found_by_another_clone(checkout, tmp_path):
    assert push_night(NIGHT, "origin", HOME) == "pushed to git remote origin"
    git(tmp_path, "clone", "--quiet", str(tmp_path / "remote.git"), str(tmp_path / "clone"))
    # The clone has no branch of it; by its name the night is there, with the commit that it stands on.
    commit = saved_night(tmp_path / "clone", NIGHT)
    assert git(tmp_path / "clone", "log", "--format=%s", commit).splitlines() == [NIGHT, "begin"]
    # A night that goes on, or is saved again, is pushed again.
    assert push_night(NIGHT, "origin", HOME) == "pushed to git remote origin"


def test_a_night_of_another_machine_is_not_overwritten(checkout, tmp_path):
    push_night(NIGHT, "origin", HOME)
    head = git(checkout, "rev-parse", "HEAD")
    other = tmp_path / "other"
    git(tmp_path, "clone", "--quiet", "--no-local", str(tmp_path / "remote.git"), str(other))  # as from a server
    git(other, "fetch", "--quiet", str(checkout), head)
    saved = git(other, "commit-tree", f"{head}^{{tree}}", "-p", head, "-m", "the same minute elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(other)
        git(other, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{NIGHT}", saved)
        # The same crontab on another machine makes the same name, on the same commit.
        said = push_night(NIGHT, "origin", "0b1c2d3e")
    assert said == f"pushed to git remote origin as {NIGHT}@0b1c2d3e"
    git(tmp_path, "clone", "--quiet", str(tmp_path / "remote.git"), str(tmp_path / "clone"))
    # Both are there, each by its name.
    found = [saved_night(tmp_path / "clone", name) for name in (NIGHT, f"{NIGHT}@0b1c2d3e")]
    subjects = [git(tmp_path / "clone", "log", "-1", "--format=%s", commit) for commit in found]
    assert subjects == [NIGHT, "the same minute elsewhere"]


def test_a_remote_that_does_not_take_it_ends_no_night(checkout, tmp_path):
    git(checkout, "remote", "set-url", "origin", str(tmp_path / "gone.git"))
    # It is said in the night's own line, with git's reason.
    said = push_night(NIGHT, "origin", HOME)
    assert said.startswith("not pushed to origin: ")
    assert (
        push_night("night-1999-01-01-0100", "origin", HOME)
        == "not pushed to git remote origin: it is no DVC experiment"
    )


def test_a_remote_that_git_does_not_know_is_said_before_the_night(checkout):
    check_git_remote("")
    check_git_remote("origin")
    with pytest.raises(ConfigError, match="CNN_GIT_REMOTE: received backup; expected one of origin"):
        check_git_remote("backup")


def test_the_setting_is_one_of_this_machine(monkeypatch):
    # Unset, no night leaves the machine.
    assert read_environment().git_remote == ""
    monkeypatch.setenv("CNN_GIT_REMOTE", "origin")
    assert read_environment().git_remote == "origin"

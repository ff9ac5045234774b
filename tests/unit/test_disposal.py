"""What may be removed, and what never is."""

import io
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from cnn.commands.gc import _show
from cnn.config.environment import Environment
from cnn.disposal.cache import cache_of, remove_unused_data, unused_data
from cnn.disposal.home import in_home, old_nights
from cnn.disposal.removable import Policy, Removable, removable, remove, size_of
from cnn.durable import exclusive
from cnn.errors import IntegrityError, StorageError
from cnn.nights import Night, Nights
from cnn.reproduction.worktree import lock_of

DAY_S = 24 * 3600


@pytest.fixture
def environment(tmp_path):
    return Environment(home=tmp_path / "home")


def old_file(path, days=30.0, content=b"x" * 100):
    """A file that rested for so long, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    for part in (path, path.parent):
        os.utime(part, (time.time() - days * DAY_S,) * 2)
    return path


def found(environment, policy=None, *, old=(), trials=lambda night: []):
    return in_home(environment, policy or Policy(), old, trials)


def take(listed):
    """Remove all of it, as the command does."""
    remove([place for one in listed if (place := one.set_aside())])


def kinds(listed):
    return sorted(one.kind for one in listed)


def night(nights, number, *, finished=True):
    began = datetime.now().astimezone() - timedelta(days=100 - number)
    nights.write(
        Night(name=f"night-{number}", checkout="here", params_digest="d", began=began.isoformat(), finished=finished)
    )


def test_a_night_is_old_when_it_is_over_not_among_the_latest_and_no_version_has_it(environment):
    nights = Nights(environment.home / "nights")
    for number in range(6):
        night(nights, number, finished=number != 1)
    # Number 1 can be gone on with, 2 made a version, 4 and 5 are the latest.
    assert old_nights(nights, Policy(keep_nights=2), {"night-2", "none"}) == ["night-0", "night-3"]
    # None at all may be kept.
    assert "night-5" in old_nights(nights, Policy(keep_nights=0), set())


def test_checkpoints_of_a_study_at_rest_go_and_its_ledger_stays(environment):
    study = environment.studies / "study-1"
    checkpoint = old_file(study / "trials" / "7" / "epoch-3.checkpoint")
    os.utime(study / "trials", (time.time() - 30 * DAY_S,) * 2)
    ledger = old_file(study / "ledger.db")
    (one,) = found(environment)
    assert (one.kind, one.path, one.n_bytes) == ("trial checkpoints", study / "trials", 100)
    take([one])
    assert not checkpoint.exists() and ledger.exists()
    # Asked again, there is nothing.
    assert found(environment) == []


def test_checkpoints_that_somebody_may_need_stay(environment):
    young = environment.studies / "young"
    old_file(young / "trials" / "7" / "epoch-3.checkpoint", days=1)
    busy = environment.studies / "busy"
    old_file(busy / "trials" / "7" / "epoch-3.checkpoint")
    os.utime(busy / "trials", (time.time() - 30 * DAY_S,) * 2)
    with exclusive(busy / "lock", what="a search"):
        # One has not rested long enough, one is searched at this moment.
        assert found(environment) == []
    assert [one.path.parent.name for one in found(environment)] == ["busy"]


def test_a_training_that_runs_is_left_alone(environment):
    folder = environment.home / "training" / "abc"
    lock = old_file(folder / "lock", content=b"")
    checkpoint = old_file(folder / "epoch-1.checkpoint")
    with exclusive(lock, what="a training"):
        assert found(environment) == []
    for path in (lock, folder):  # holding it has touched it
        os.utime(path, (time.time() - 30 * DAY_S,) * 2)
    take(found(environment))
    # Who waits for the lock beside the checkpoints gets it where the next one will look for it.
    assert not checkpoint.exists() and lock.exists()


def test_while_a_night_runs_all_checkpoints_stay(environment, tmp_path):
    old_file(environment.home / "training" / "abc" / "epoch-1.checkpoint")
    trial = old_file(environment.studies / "night-1" / "trials" / "7" / "epoch-3.checkpoint")
    os.utime(trial.parents[1], (time.time() - 30 * DAY_S,) * 2)
    nights, policy = Nights(environment.home / "nights"), Policy(keep_nights=0, older_than_days=0)
    with nights.in_checkout(tmp_path):
        # It may be in a part that holds none of these, and go on from them in the next.
        assert found(environment, policy) == []
    listed = found(environment, policy)
    assert kinds(listed) == ["training checkpoints", "trial checkpoints"]
    with nights.in_checkout(tmp_path):
        # One that begins between the look and the removal is waited for by the next call.
        assert [one.set_aside() for one in listed] == [None, None]
    assert trial.exists()


def test_logs_and_pictures_go_only_of_old_nights(environment, tmp_path):
    for name in ("night-1", "night-2"):
        old_file(environment.studies / name / "logs" / "worker-0.log")
        old_file(tmp_path / "artifacts" / name / "curve.png")
    listed = found(environment, old=["night-1"], trials=lambda name: [tmp_path / "artifacts" / name])
    assert kinds(listed) == ["files of trials", "workers' logs"]
    assert all("night-1" in str(one.path) for one in listed)


def test_reproductions_rest_like_all_else(environment):
    reproductions = environment.home / "reproductions"
    for name in ("kept", "working", "young"):
        old_file(reproductions / name / "checkout" / "code.py", days=1 if name == "young" else 30)
        os.utime(reproductions / name, (time.time() - (1 if name == "young" else 30) * DAY_S,) * 2)
    with exclusive(lock_of(reproductions / "working"), what="a reproduction"):
        # Whether it was kept for a look or left by a kill cannot be seen, and somebody may look.
        assert [one.path.name for one in found(environment)] == ["kept"]


def test_half_written_files_go_after_a_day(environment):
    old_file(environment.home / "nights" / ".night-1.json.abc.part", days=2)
    old_file(environment.home / "studies" / ".winner.yaml.abc.part", days=0.1)
    # The second may still be in the making.
    assert [one.path.name for one in found(environment)] == [".night-1.json.abc.part"]


def test_what_a_kill_leaves_is_removed_by_the_next_call(environment):
    study = environment.studies / "study-1"
    for number in range(4000):
        (study / "trials" / str(number)).mkdir(parents=True)
        (study / "trials" / str(number) / "epoch-1.checkpoint").write_bytes(b"x")
    ledger = old_file(study / "ledger.db")
    script = (
        "import sys; from pathlib import Path; from cnn.disposal.removable import removable, remove;"
        "remove([removable('checkpoints', Path(sys.argv[1]), 'old').set_aside()])"
    )
    removing = subprocess.Popen([sys.executable, "-c", script, str(study / "trials")])
    while (study / "trials").exists():  # it is set aside first, and then becomes less
        assert removing.poll() is None
    removing.kill()
    removing.wait()
    # Whoever looks for checkpoints sees none, instead of some of them.
    assert [path.name for path in study.iterdir() if not path.name.startswith(".")] == ["ledger.db"]
    # However young it is now, the next call finds what is left, and removes it; the ledger stays.
    assert kinds(found(environment)) == ["half-removed folders"]
    take(found(environment))
    assert list(study.iterdir()) == [ledger]


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="no folder that nobody can remove")
def test_what_cannot_be_removed_is_named_and_not_counted():
    with pytest.raises(StorageError, match="/proc/self/fdinfo: received files that stay"):
        remove([Path("/proc/self/fdinfo")])


def test_a_link_is_removed_and_what_it_points_to_is_not(tmp_path):
    target = old_file(tmp_path / "data" / "images.npy")
    link = tmp_path / "link"
    link.symlink_to(target.parent)
    # It weighs nothing.
    assert size_of(link) == 0
    take([removable("links", link, "old")])
    assert target.exists() and not link.exists()


def test_the_list_says_what_and_how_much(tmp_path):
    screen = Console(file=io.StringIO(), width=120)
    rows = [
        Removable(kind="logs", path=tmp_path / "a" / str(number), reason="over", n_bytes=3 << 20) for number in range(2)
    ]
    _show(rows, screen)
    shown = screen.file.getvalue()
    for part in ("logs", "2", "6.0 MiB", "together 6.0 MiB in 2 places"):
        assert part in shown


def run(folder, *words):
    identity = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    subprocess.run(words, cwd=folder, check=True, capture_output=True, env=os.environ | identity)


def dvc(folder, *words):
    run(folder, sys.executable, "-m", "dvc", *words)


@pytest.fixture
def kept_data(tmp_path):
    """A checkout whose DVC cache holds a file and a folder each of a version, a saved night, nobody and now."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    run(checkout, "git", "init", "--quiet")
    dvc(checkout, "init", "--quiet")
    (checkout / "dvc.yaml").write_text("stages: {one: {cmd: 'true', outs: [out.txt, folder]}}\n")
    run(checkout, "git", "add", "--all")
    run(checkout, "git", "commit", "--quiet", "--message", "begin")
    (checkout / "folder").mkdir()
    for owner in ("version", "night", "nobody", "now"):
        (checkout / "out.txt").write_text(owner)
        for name in ("images", "labels"):
            (checkout / "folder" / name).write_text(f"{name} of {owner}")
        dvc(checkout, "commit", "--quiet", "--force")
        if owner == "version":
            (tmp_path / "dvc.lock").write_bytes((checkout / "dvc.lock").read_bytes())
        if owner == "night":
            dvc(checkout, "exp", "save", "--quiet", "--name", "night-1")
    return checkout, tmp_path / "dvc.lock"


def owners(cache):
    """To whom the objects of a cache belong; the lists of folders' files left out."""
    paths = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".dir"]
    return sorted(path.read_text().rpartition(" ")[2] for path in paths)


@pytest.mark.slow  # DVC is started a dozen times
def test_dvc_keeps_what_a_commit_a_night_or_a_version_names(kept_data):
    checkout, lock = kept_data
    cache = cache_of(checkout)
    assert owners(cache) == sorted(3 * ["version", "night", "nobody", "now"])
    listed = unused_data(checkout, cache, [lock])
    # What only the cache has is listed, folders with their files, and nothing was removed for the list.
    assert owners(cache) == sorted(3 * ["version", "night", "nobody", "now"])
    assert sorted(one.path.read_text().rpartition(" ")[2] for one in listed if one.path.suffix != ".dir") == (
        3 * ["nobody"]
    )
    remove_unused_data(checkout, cache, [lock])
    # The folder of a version is kept with all that is in it, though no commit and no night names it.
    assert owners(cache) == sorted(3 * ["version", "night", "now"])
    # A lock that cannot be read stops it all: it may name what nobody else does.
    lock.write_text("[]")
    with pytest.raises(IntegrityError, match=r"dvc\.lock"):
        unused_data(checkout, cache, [lock])


def test_a_cache_that_others_may_use_is_left_alone(tmp_path):
    # No DVC here, no cache.
    assert cache_of(tmp_path) is None
    (tmp_path / "checkout").mkdir()
    (tmp_path / "shared").mkdir()
    dvc(tmp_path / "checkout", "init", "--no-scm", "--quiet")
    dvc(tmp_path / "checkout", "cache", "dir", "--local", str(tmp_path / "shared"))
    assert cache_of(tmp_path / "checkout") is None
    (tmp_path / "checkout" / ".dvc" / "cache").mkdir()
    dvc(tmp_path / "checkout", "cache", "dir", "--local", "--unset")
    # Its own is.
    assert cache_of(tmp_path / "checkout") == tmp_path / "checkout" / ".dvc" / "cache"

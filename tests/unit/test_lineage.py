"""Where a result comes from."""

import subprocess

from cnn.lineage import read_lineage


def git(folder, *words):
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_changed_code_is_told_and_changed_settings_are_not(tmp_path):
    git(tmp_path, "init")
    for name in ("code.py", "params.yaml", "dvc.lock"):
        (tmp_path / name).write_text("as committed")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "all")
    clean = read_lineage("data", "params", folder=tmp_path)
    assert len(clean.git_revision) == 40 and not clean.git_dirty
    # A night moves the seed on and writes the lock; the digest of the settings pins both.
    (tmp_path / "params.yaml").write_text("another seed")
    (tmp_path / "dvc.lock").write_text("tonight's")
    assert not read_lineage("data", "params", folder=tmp_path).git_dirty
    (tmp_path / "code.py").write_text("another function")
    assert read_lineage("data", "params", folder=tmp_path).git_dirty


def test_outside_a_repository_there_is_no_revision(tmp_path):
    lineage = read_lineage("data", "params", folder=tmp_path)
    assert (lineage.git_revision, lineage.git_dirty) == ("none", False)

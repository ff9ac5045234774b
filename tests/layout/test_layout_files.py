"""What may stand in the files that are shipped."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Built from pieces, so that this file is not its own finding.
REGISTRIES = re.compile("|".join(r"\.".join(parts) for parts in (
    ("pypi", "org"), ("pythonhosted", "org"), ("registry", "npmjs"), ("registry", "yarnpkg"), ("deb", "debian"),
)))  # fmt: skip


def shipped():
    """The files git knows, and those it would add."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for name in listing.stdout.splitlines() if (path := ROOT / name).is_file() and not path.is_symlink()]


def texts():
    for path in shipped():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_no_file_names_a_registry_host():
    # A lock or a source that names one host cannot be used behind another.
    assert [name for name, text in texts() if REGISTRIES.search(text)] == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on():
    home = re.compile("|".join(("/ro" + "ot/", "/ho" + "me/[a-z]+/", re.escape(str(ROOT)) + "/")))
    # What is shipped works in any folder.
    assert [name for name, text in texts() if home.search(text)] == []


@pytest.mark.parametrize("lock", ["requirements.lock", "infra/bootstrap.lock"])
def test_every_pinned_package_has_a_hash(lock):
    entries = re.split(r"\n(?=[a-zA-Z0-9])", (ROOT / lock).read_text(encoding="utf-8").strip())
    # Version and content are both pinned.
    assert [entry.split()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []


def test_continuous_integration_runs_the_command_of_the_readme():
    script = ROOT / ".ci/run"
    # It can be started as it is.
    assert os.access(script, os.X_OK)
    # It calls `make test` and nothing else.
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test"


@pytest.mark.parametrize("target", ["run", "test", "check", "faults", "bench", "ui", "lock", "clean"])
def test_make_knows_its_targets(target):
    run = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    # Each target is a real one, with a recipe that make can read.
    assert run.returncode == 0 and run.stdout, run.stderr


def test_check_runs_all_four_checkers():
    run = subprocess.run(["make", "--dry-run", "check"], cwd=ROOT, capture_output=True, text=True, check=True)
    # Style, form, types and the direction of imports: none is left out.
    for checker in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert checker in run.stdout


def test_each_decision_is_one_page_with_its_three_parts():
    pages = sorted((ROOT / "infra/adr").glob("*.md"))
    # Numbered without holes, so that a page can be cited.
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        # Why, what, and what it costs.
        assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequences"]
        # A page is a page.
        assert len(text.splitlines()) <= 60

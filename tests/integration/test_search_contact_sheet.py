"""A search shows on its parent run what augmentation makes of the training images."""

import io

import pytest
from PIL import Image
from rich.console import Console

from cnn import wiring
from cnn.steps.search import search
from cnn.tracking.memory import MemoryTracker

pytestmark = pytest.mark.slow


def test_a_search_logs_what_its_network_sees(new_project, prepared, tmp_path):
    settings = {
        "budget": {"trials": 1, "minutes": None, "cpu_minutes": None, "epochs": 1},
        "space": {"augment.rotate": {"type": "float", "low": 0.0, "high": 30.0}},
        "train_limit": 100,
        "finalists": 1,
        "finalist_seeds": 0,
        "executor": "inline",
        "contact_sheet": True,
    }
    project = new_project(tmp_path / "project", tmp_path / "home", settings)
    params = project.params(f"search.recipe={project.folder / 'tiny.yaml'}")
    tracker = MemoryTracker()
    parts = wiring.search_parts(params, project.environment, tracker)
    search(params, project.environment, parts, Console(quiet=True), data=prepared, out=tmp_path / "out")
    files = tracker.read_run(project.study).files
    # The recipe's own augmentation, and the strongest that the space has.
    names = ("augmentation.png", "augmentation_strongest.png")
    assert set(names) <= set(files)
    own, strongest = (tracker.read_file(project.study, name) for name in names)
    for picture in (own, strongest):
        with Image.open(io.BytesIO(picture)) as opened:
            # Eight digits and eight epochs of each.
            assert opened.width > 1000 and opened.height > 900
    assert own != strongest

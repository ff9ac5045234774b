"""The flow that promotes: the step with typed parameters, from which the Prefect UI makes a form."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import pytest
from prefect.exceptions import ParameterTypeError  # noqa: TID251
from promoted import NAME, Gatehouse

from flows import promote as module
from flows.promote import promote

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def house(tmp_path, monkeypatch):
    """The shipped settings, and a registry that the flow is led to; Prefect's server has no part in it."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    text = (tmp_path / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "params.yaml").write_text(text.replace("smoke: true", "smoke: false"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNN_HOME", str(tmp_path / "home"))
    house = Gatehouse(tmp_path)
    monkeypatch.setattr(module.wiring, "tracker", lambda *_, **__: nullcontext(house.tracker))
    monkeypatch.setattr(module.wiring, "registry", lambda _: house.registry)
    house.artifacts = []
    monkeypatch.setattr(module.artifacts, "verdict", lambda title, verdict: house.artifacts.append((title, verdict)))
    return house


def test_the_flow_decides_as_the_command_does(house):
    house.register(100)
    assert promote.fn() == "version 1 is champion now: there was no champion"
    house.register(90)
    assert promote.fn(version=2).startswith("version 2 was not promoted: not better")
    assert "forced: the old camera is gone" in promote.fn(name=NAME, version=2, force="the old camera is gone")
    # The champion has moved, and the UI has a page for each verdict.
    assert house.champion() == 2
    assert [title for title, _ in house.artifacts] == [f"{NAME} version {number}" for number in (1, 2, 2)]


@pytest.mark.parametrize("wrong", [{"version": 0}, {"version": "first"}, {"force": ""}])
def test_a_parameter_that_cannot_be_is_refused_before_anything_runs(wrong):
    with pytest.raises(ParameterTypeError):
        promote.validate_parameters({"name": None, "version": None, "force": None} | wrong)

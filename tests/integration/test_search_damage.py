"""A torn or flipped file is noticed, named in one line and never used."""

import shutil

import pytest

from cnn.durable import write_sealed
from cnn.errors import IntegrityError
from cnn.steps.train import read_chosen_recipe

pytestmark = pytest.mark.slow

WINNER = {"trial": 0, "recipe": {"model": {"filters": 32}, "optimizer": {"learning_rate": 0.001}}}


def check_refused(project, step, name):
    code, said = project.run(step)
    # Exit code 2 and one line, which names the file.
    assert code == 2, said
    assert len(said.splitlines()) == 1, said
    assert said.startswith("cnn: ")
    assert name in said


@pytest.fixture
def winner(project):
    """A sound `winner.yaml`, to be damaged."""
    path = project.folder / "outputs" / "search" / "winner.yaml"
    write_sealed(path, WINNER)
    return path


def test_a_flipped_byte_in_a_prepared_array(project, prepared, winner):
    data = project.folder / "data" / "prepared"
    data.unlink()
    shutil.copytree(prepared, data)
    images = data / "train" / "images.npy"
    body = bytearray(images.read_bytes())
    body[len(body) // 2] ^= 1
    images.write_bytes(body)
    check_refused(project, "search", "train/images.npy")
    # Nothing was begun.
    assert not project.environment.studies.exists()
    check_refused(project, "train", "train/images.npy")
    assert not (project.folder / "outputs" / "train").exists()


def test_a_torn_winner(project, winner):
    whole = winner.read_bytes()
    winner.write_bytes(whole[: len(whole) // 2])
    check_refused(project, "train", "winner.yaml")
    assert not (project.folder / "outputs" / "train").exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],  # torn
        lambda whole: whole[:-10],  # torn at its seal
        lambda whole: whole.replace(b"0.001", b"0.002"),  # edited
        lambda whole: b"",
        lambda whole: bytes(len(whole)),  # zeros, as a power cut leaves them
    ],
)
def test_no_damaged_winner_is_used(damage, project, winner):
    winner.write_bytes(damage(winner.read_bytes()))
    # However it was damaged, the error names it.
    with pytest.raises(IntegrityError, match=r"winner\.yaml"):
        read_chosen_recipe(project.params().train, winner)

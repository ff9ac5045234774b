"""How runs are described, from whatever step."""

from cnn.records import Lineage
from cnn.tracking.conventions import flat, lineage_tags


def test_lineage_says_when_the_checkout_had_changes():
    lineage = Lineage(git_revision="abc", git_dirty=True, data_hash="d", params_digest="p", night="night-1")
    assert lineage_tags(lineage) == {
        "git_revision": "abc+changes",
        "data_hash": "d",
        "params_digest": "p",
        "night": "night-1",
    }


def test_lists_are_logged_as_text():
    # A tracker's parameters are scalars.
    assert flat({"a": {"b": [1, 2]}, "c": True}) == {"a.b": "[1, 2]", "c": True}

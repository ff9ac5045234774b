import pytest

from cnn.config.reading import read_params
from cnn.config.tree import ancestors_of
from cnn.errors import ConfigError

CLASSES = ("bird", "car", "cat", "ship")
TREE = {"animal": ["bird", "cat"], "vehicle": {"road": "car", "water": ["ship"]}}


def test_a_tree_of_unequal_depth_gives_each_class_its_way():
    # In the order of the classes, from the top; a single class needs no list.
    assert ancestors_of(TREE, CLASSES) == (("animal",), ("vehicle", "road"), ("animal",), ("vehicle", "water"))


@pytest.mark.parametrize(
    ("tree", "received"),
    [
        ({"animal": ["bird", "cat"], "vehicle": "car"}, "classes without a place: ship"),
        ({"animal": ["bird", "cat", "car"], "vehicle": ["car", "ship"]}, "classes with more than one: car"),
        ({"all": [*CLASSES, "boat"]}, "classes that the source does not have: boat"),
    ],
    ids=["missing", "doubled", "unknown"],
)
def test_each_class_stands_in_the_tree_once(tree, received):
    # One line that names the classes and the key.
    with pytest.raises(ConfigError, match=rf"^prepare\.tree: received {received}; expected each of bird, car"):
        ancestors_of(tree, CLASSES)


def test_names_that_yaml_takes_for_numbers_are_names():
    words = [
        "prepare.source=digits",
        "prepare.task=hierarchical",
        "prepare.tree={even: {4: [4], rest: [0, 2]}, odd: 1}",
    ]
    # Digits are called by digits.
    assert read_params(overrides=words).prepare.tree == {"even": {"4": ["4"], "rest": ["0", "2"]}, "odd": "1"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["prepare.task=hierarchical"], "a tree with prepare.task hierarchical"),
        (["prepare.tree={a: [b]}"], "a tree with prepare.task hierarchical"),
        (["prepare.task=hierarchical", "prepare.tree={a: {b: 2.5}}"], "not 2.5 at a.b"),
        (["prepare.task=hierarchical", "prepare.tree={a: []}"], r"not \[\] at a"),
        (["prepare.task=hierarchical", "prepare.tree={}"], "not {} at its top"),
        (["prepare.task=hierarchical", "prepare.tree=[a, b]"], "a mapping of node names"),
        (["prepare.task=hierarchical", "prepare.tree={a: [null]}"], "not None at a"),
    ],
)
def test_what_is_no_tree_is_one_line(words, expected):
    # The key, what stands there, and what should.
    with pytest.raises(ConfigError, match=rf"^prepare\.tree: .*{expected}"):
        read_params(overrides=words)

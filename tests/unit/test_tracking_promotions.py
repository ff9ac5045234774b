"""The promotion ledger survives a kill and notices an edit."""

import pytest

from cnn.errors import IntegrityError
from cnn.tracking.promotions import append_promotion, read_promotions


# Lines read back in order, each with when and who.
def test_lines_read_back(tmp_path):
    path = tmp_path / "promotions.jsonl"
    assert read_promotions(path) == []
    for number in range(3):
        append_promotion(path, {"challenger": number, "reason": "größer"})
    lines = read_promotions(path)
    assert [line["challenger"] for line in lines] == [0, 1, 2]
    assert all(line["at"] and line["by"] and line["reason"] == "größer" for line in lines)


# A last line torn at any byte was never said; what is appended afterwards is read.
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.7, 0.95])
def test_a_torn_last_line(tmp_path, fraction):
    path = tmp_path / "promotions.jsonl"
    append_promotion(path, {"challenger": 1})
    whole = path.stat().st_size
    append_promotion(path, {"challenger": 2, "reason": "x"})
    with path.open("r+b") as file:
        file.truncate(whole + int((path.stat().st_size - whole) * fraction))
    assert [line["challenger"] for line in read_promotions(path)] == [1]
    append_promotion(path, {"challenger": 3})
    assert [line["challenger"] for line in read_promotions(path)] == [1, 3]


# Wherever it is torn: what ends as a line does is still none.
def test_a_line_torn_behind_a_part_of_it(tmp_path):
    path = tmp_path / "promotions.jsonl"
    append_promotion(path, {"challenger": 1})
    whole = path.read_bytes()
    append_promotion(path, {"figures": {"wins": 3}, "challenger": 2})
    torn = path.read_bytes()
    path.write_bytes(torn[: torn.index(b"3}") + 2])
    assert [line["challenger"] for line in read_promotions(path)] == [1]
    append_promotion(path, {"challenger": 3})
    # Nothing of it is left.
    assert path.read_bytes().startswith(whole + b'{"at"')
    assert [line["challenger"] for line in read_promotions(path)] == [1, 3]


# A line that was edited, its end included, is named by its number.
def test_an_edited_line(tmp_path):
    path = tmp_path / "promotions.jsonl"
    for number in range(3):
        append_promotion(path, {"challenger": number})
    first, second, third = path.read_text().splitlines()
    for edited in (second.replace('"challenger": 1', '"challenger": 7'), second[:-1]):
        path.write_text("\n".join([first, edited, third, ""]))
        with pytest.raises(IntegrityError, match=r"jsonl:2: received a damaged line"):
            read_promotions(path)

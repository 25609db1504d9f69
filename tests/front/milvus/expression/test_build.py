"""Expressions that the proxy makes: names and values cannot break out of them, and joined ones stay apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression import conjunction, identifiers, named_ids, not_in, pk_in
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.tree import And, Member, Or
from vecguard.front.milvus.proto import s

from .rows import lite_table
from .strategies import rows

LEAST = -(2**63)
IDS = st.lists(st.integers(LEAST + 1, 2**63 - 1)) | st.lists(st.text())


@given(IDS)
def test_ids_come_back_from_what_is_built(ids):
    assert named_ids(pk_in("id", ids), "id") == tuple(ids)
    tree = parse(not_in("id", ids))
    assert isinstance(tree, Member)
    assert tree.negated
    assert [item.value for item in tree.values.items] == ids


def test_the_least_integer_which_milvus_cannot_read_is_asked_for_by_its_order():
    assert pk_in("id", [LEAST, 1]) == "(id in [1] or id < -9223372036854775807)"
    assert not_in("id", [LEAST]) == "(id not in [] and id >= -9223372036854775807)"
    some = [dict(row, id=key) for row, key in zip(rows(1, "mixed", 3), (LEAST, LEAST + 1, 5), strict=True)]
    table = lite_table(some, lambda _: "plain")
    for row_by_row in (True, False):
        assert table.select(pk_in("id", [LEAST, 5]), row_by_row=row_by_row) == {LEAST, 5}
        assert table.select(not_in("id", [LEAST, 5]), row_by_row=row_by_row) == {LEAST + 1}


@pytest.mark.parametrize("name", ["", "a b", "a]", "id in [1] or id", "a-b", "1a", "é", "id\n"])
@pytest.mark.parametrize("build", [pk_in, not_in])
def test_what_is_no_name_is_refused(build, name):
    with pytest.raises(InvalidArgument, match="invalid identifier"):
        build(name, [1])


@pytest.mark.parametrize(
    ("texts", "joined"),
    [
        ((), ""),
        (("", " "), ""),
        (("a == 1",), "a == 1"),
        (("", "a == 1", "\n"), "a == 1"),
        (("a == 1", "b == 2"), "a == 1 and b == 2"),
        (("a == 1 or b == 2", "c == 3"), "(a == 1 or b == 2) and c == 3"),
        (("a == 1 and b == 2", "c == 3"), "a == 1 and b == 2 and c == 3"),
        (("not a == 1", "c == 3"), "(not (a == 1)) and c == 3"),
        (("random_sample(0.5)", "a == 1"), "a == 1 and random_sample(0.5)"),
        (("a == 1 and random_sample(0.5)", "b == 2"), "a == 1 and b == 2 and random_sample(0.5)"),
        (('t == ") or (1 == 1"', "a == 1"), 't == ") or (1 == 1" and a == 1'),
    ],
)
def test_conjunction(texts, joined):
    assert conjunction(*texts) == joined


@pytest.mark.parametrize("text", ["a == 1) or (b == 2", "a == 1 or", ") or (", "a == 1 -- ", "'", "a == 1)"])
@pytest.mark.parametrize("place", [0, 1])
def test_no_part_reaches_into_another(text, place):
    with pytest.raises(InvalidArgument, match="cannot parse expression"):
        conjunction(*[("a == 1", text), (text, "a == 1")][place])
    with pytest.raises(InvalidArgument, match="cannot parse expression"):
        conjunction(text)


def test_a_conjunction_of_many_is_flat():
    joined = ""
    for number in range(50):
        joined = conjunction(joined, f"a != {number}")
    tree = parse(joined)
    assert isinstance(tree, And)
    assert len(tree.operands) == 50
    assert isinstance(parse(conjunction("a or b or c")), Or)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set()),
        ("a == 1", {"a"}),
        ('a > 1 and not (b["x"]["a"] in [1]) or exists $meta["k"]["y"]', {"a", "b", "k"}),
        ("json_contains(j, {x}) and array_length(l) == 1 and text_match(t, 'b') and 1 < c < 2", {"j", "l", "t", "c"}),
        ("1 == 1", set()),
        ("a + b * -c == d and e is null and f like 'g'", {"a", "b", "c", "d", "e", "f"}),
    ],
)
def test_identifiers(text, names):
    assert identifiers(text) == names


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("id in [1, 2]", (1, 2)),
        ("id in []", ()),
        ("id == 7", (7,)),
        ("-7 == id", (-7,)),
        ("(id in ['a', \"b\"])", ("a", "b")),
        ("id in {ids}", (3, 4)),
        ("id == {one}", (5,)),
        ("id in [{one}, 6]", (5, 6)),
    ],
)
def test_ids_that_an_expression_names(text, ids):
    assert named_ids(text, "id", TEMPLATES) == ids


TEMPLATES = {
    "ids": s.TemplateValue(array_val=s.TemplateArrayValue(long_data=s.LongArray(data=[3, 4]))),
    "one": s.TemplateValue(int64_val=5),
}


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "id not in [1]",
            "id != 1",
            "id > 1",
            "other in [1]",
            "id in [1] and a == 1",
            "id in [1] or id in [2]",
        ),
        *(
            "not (id in [1])",
            "id[0] in [1]",
            "id in [1.5]",
            "id == true",
            "id in [[1]]",
            "id == other",
            "id == id + 1",
            "1 == 1",
        ),
    ],
)
def test_other_expressions_name_no_ids(text):
    assert named_ids(text, "id", TEMPLATES) is None


def test_a_missing_template_value_is_refused():
    with pytest.raises(InvalidArgument, match="is not found"):
        named_ids("id in {missing}", "id", TEMPLATES)

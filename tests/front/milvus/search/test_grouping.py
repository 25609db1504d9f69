"""Groups: values at rest, the best groups, and the condition of being in some of them."""

import pytest

from front.milvus.schemas import data_of, field_of, schema_of, shield_for
from vecguard.errors import InvalidArgument, Unreadable
from vecguard.front.milvus.expression import conjunction
from vecguard.front.milvus.grouping import best_groups, group_keys, in_groups, require_groupable

SCHEMA = schema_of(
    field_of("open", "Int64"),
    field_of("word", "VarChar", {"max_length": 10}, nullable=True),
    field_of("shut", "VarChar", {"max_length": 10}),
    field_of("loud", "Double"),
    field_of("meta", "JSON"),
)


def test_what_can_be_grouped_by():
    shield, layout = shield_for(SCHEMA)
    for field in ("id", "open", "word"):
        require_groupable(shield, layout, field)
    for field, words in (
        ("shut", "its mode is sealed"),
        ("loud", "unsupported data type Double"),
        ("meta", "unsupported data type JSON"),
        ("v", "unsupported data type FloatVector"),
        ("nothing", "not found in schema"),
        ("_vg_v", "not found in schema"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            require_groupable(shield, layout, field)


def test_values_at_rest():
    shield, layout = shield_for(SCHEMA)
    assert group_keys(shield, layout, [data_of("open", "Int64", [3, 4])], "open", 2) == [3, 4]
    words = data_of("word", "VarChar", ["t", "", "u"], valid=[True, False, True])
    assert group_keys(shield, layout, [words], "word", 3) == ["t", None, "u"]
    for columns in ([], [data_of("open", "VarChar", ["a", "b"])], [data_of("open", "Int64", [3])]):
        with pytest.raises(Unreadable):
            group_keys(shield, layout, columns, "open", 2)


def test_best_groups():
    keys = ["a", "b", "a", None, "b", "c"]
    ranked = [5, 0, 1, 2, 3, 4]

    def groups(size, count):
        return [(group.key, list(group.members)) for group in best_groups(ranked, keys, size, count)]

    assert groups(1, 2) == [("c", [5]), ("a", [0])]
    assert groups(2, 3) == [("c", [5]), ("a", [0, 2]), ("b", [1, 4])]
    assert groups(2, 9) == [("c", [5]), ("a", [0, 2]), ("b", [1, 4]), (None, [3])]
    assert groups(1, 0) == []


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([1, 2], "open in [1, 2]"),
        (["a", "it's"], """open in ["a", "it's"]"""),
        ([True], "open == true"),
        ([None, 3], "open in [3] or open is null"),
        ([True, False, None], "open == true or open == false or open is null"),
    ],
)
def test_the_condition_of_being_in_groups(keys, text):
    condition = in_groups(*shield_for(SCHEMA), "open", keys)
    assert condition == text
    joined = conjunction("a > 1 or b > 1", condition)
    assert joined.startswith("(")
    assert " and " in joined

"""What each mode answers and refuses, what travels on, and that nothing of a protected literal does."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from shields import ring_of

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression import Column, Columns, rewrite
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.tree import Between, Call, Compare, Literals, Match, Member, Ref, walk
from vecguard.front.milvus.proto import s
from vecguard.policy.model import PayloadRule

from .rows import COLUMNS, D, fields_of
from .strategies import expressions

FIELDS = fields_of()
SEALED = {name: f"{name}_sealed" for name in ("n", "t", "b", "an")}
TOKEN = re.compile(r'"vg:[\w-]+"')


def stored(text, fields=FIELDS, templates=None, columns=COLUMNS, **options):
    return rewrite(text, columns, fields, templates, **options)


def tokens(*keys, values, fields=FIELDS):
    return [f'"{token}"' for value in values for token in fields.tokens(keys, value)]


def refused(text, **more):
    with pytest.raises(InvalidArgument) as refusal:
        stored(text, **more)
    return str(refusal.value)


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_blank_text_selects_everything_and_stays_empty(text):
    assert stored(text).text == ""


@pytest.mark.parametrize(
    "text",
    [
        *(
            "n_plain == 5",
            "n_plain != 5",
            "n_plain > 0x10",
            "1 < n_plain <= 5",
            "(n_plain + 1) == 3",
            "(n_plain % 2) == 0",
        ),
        *(
            't_plain like "a%"',
            't_plain =~ "a"',
            't_plain in ["a", "b"]',
            "t_plain is null",
            "b_plain",
            "not (b_plain)",
            "true",
        ),
        *(
            'j_plain["a"]["b"] > 5',
            'j_plain["a"][0] == 1',
            "j_plain is not null",
            'json_contains(j_plain["a"], [1, 2])',
        ),
        *(
            "an_plain[0] == 1",
            "array_contains_all(an_plain, [1, 2])",
            "an_plain == [1, 2]",
            "array_length(an_plain) > 1",
        ),
        *(
            "k_plain == 5",
            '$meta["k_plain"] == 5',
            'k_plain["x"] in [1]',
            "exists k_plain",
            "id in [1, 2]",
            "id > 5",
            "n_plain < i_plain",
        ),
        *(
            'text_match(t_plain, "q", minimum_should_match=2)',
            'phrase_match(t_plain, "q", 2)',
            "random_sample(0.5)",
            "empty(t_plain)",
        ),
        *(
            'starts_with(t_plain, "x")',
            "1 == 1",
            "n_plain == 1 and (n_plain == 2 or n_plain == 3)",
            "(n_plain & 4) == 4",
        ),
        *(
            "5 == n_plain",
            "n_plain == 1.5",
            'n_plain == "x"',
            'j_searchable["open"] > 5',
            'json_contains(j_searchable["open"], 5)',
        ),
    ],
)
def test_plain_fields_stay_as_they_are(text):
    assert stored(text) == stored(stored(text).text)
    assert stored(text).text == text


@pytest.mark.parametrize(
    ("condition", "expected", "keys", "leaf"),
    [
        ('t_searchable == "red"', "t_searchable == {}", ("t_searchable",), "red"),
        ('"red" != t_searchable', "t_searchable != {}", ("t_searchable",), "red"),
        ("n_searchable == 0x5", "n_searchable == {}", ("n_searchable",), 5),
        ("n_searchable != -5", "n_searchable != {}", ("n_searchable",), -5),
        ("n_searchable == -(5)", "n_searchable == {}", ("n_searchable",), -5),
        ("n_searchable == 2 + 3 * 4 - 1", "n_searchable == {}", ("n_searchable",), 13),
        ("i_searchable == 5", "i_searchable == {}", ("i_searchable",), 5),
        ("b_searchable == TRUE", "b_searchable == {}", ("b_searchable",), True),
        ("b_searchable", "b_searchable == {}", ("b_searchable",), True),
        ("not b_searchable", "not (b_searchable == {})", ("b_searchable",), True),
        ("d_searchable == 5", "d_searchable == {}", ("d_searchable",), 5.0),
        ("d_searchable == 0.1", "d_searchable == {}", ("d_searchable",), 0.1),
        ("f_searchable == 0.1", "f_searchable == {}", ("f_searchable",), 0.10000000149011612),
        ("f_searchable == -1e300", "f_searchable == {}", ("f_searchable",), float("-inf")),
        ("an_searchable[3] == 5", "an_searchable[3] == {}", ("an_searchable",), 5),
        ('j_searchable["a"]["b"] == "x"', 'j_searchable["a"]["b"] == {}', ("j_searchable", "a", "b"), "x"),
        ('j_searchable["a"] == true', 'j_searchable["a"] == {}', ("j_searchable", "a"), True),
        ('k_searchable == "x"', "k_searchable == {}", ("k_searchable",), "x"),
        ('$meta["k_searchable"] == "x"', '$meta["k_searchable"] == {}', ("k_searchable",), "x"),
        ("k_searchable['x'] == 'y'", 'k_searchable["x"] == {}', ("k_searchable", "x"), "y"),
        (
            '$meta["k_searchable"]["it\'s"] == "x"',
            '$meta["k_searchable"]["it\'s"] == {}',
            ("k_searchable", "it's"),
            "x",
        ),
        ('json_contains(j_searchable["a"], "x")', 'json_contains(j_searchable["a"], {})', ("j_searchable", "a"), "x"),
        ("ARRAY_CONTAINS(an_searchable, 5)", "array_contains(an_searchable, {})", ("an_searchable",), 5),
    ],
)
def test_equality_is_asked_of_the_token(condition, expected, keys, leaf):
    assert stored(condition).text == expected.format(*tokens(*keys, values=[leaf]))


@pytest.mark.parametrize(
    ("condition", "expected", "leaves"),
    [
        ("d_searchable == 0", "d_searchable == {} or d_searchable == {}", [0.0, -0.0]),
        ("d_searchable != 0", "d_searchable != {} and d_searchable != {}", [0.0, -0.0]),
        ("j_searchable == 5", "j_searchable == {} or j_searchable == {}", [5, 5.0]),
        ("j_searchable != 5.0", "j_searchable != {} and j_searchable != {}", [5, 5.0]),
        ("j_searchable == 5.5", "j_searchable == {}", [5.5]),
        ("j_searchable == 0", "j_searchable == {} or j_searchable == {} or j_searchable == {}", [0, 0.0, -0.0]),
        ("j_searchable == 9007199254740993", "j_searchable == {}", [2**53 + 1]),
        ("j_searchable == 1e300", "j_searchable == {}", [1e300]),
        ("n_searchable in [1, 2]", "n_searchable in [{}, {}]", [1, 2]),
        ("n_searchable not in [1, 1]", "n_searchable not in [{}]", [1]),
        ("n_searchable in []", "n_searchable in []", []),
        ('j_searchable in [5, "x", true]', "j_searchable in [{}, {}, {}, {}]", [5, 5.0, "x", True]),
        ("json_contains(j_searchable, 5)", "json_contains_any(j_searchable, [{}, {}])", [5, 5.0]),
        ('json_contains_any(j_searchable, [5, "x"])', "json_contains_any(j_searchable, [{}, {}, {}])", [5, 5.0, "x"]),
        (
            'json_contains_all(j_searchable, [5, "x"])',
            "json_contains_any(j_searchable, [{}, {}]) and json_contains_any(j_searchable, [{}])",
            [5, 5.0, "x"],
        ),
        ('array_contains_all(j_searchable, ["y", "x"])', "array_contains_all(j_searchable, [{}, {}])", ["y", "x"]),
        ("json_contains_all(j_searchable, [])", "json_contains_all(j_searchable, [])", []),
        ("json_contains_any(j_searchable, [])", "json_contains_any(j_searchable, [])", []),
        ("not (j_searchable == 5)", "not (j_searchable == {} or j_searchable == {})", [5, 5.0]),
        ("j_searchable == 5 and n_plain == 1", "(j_searchable == {} or j_searchable == {}) and n_plain == 1", [5, 5.0]),
    ],
)
def test_every_value_that_equals_the_constant_is_asked_for(condition, expected, leaves):
    key = condition.removeprefix("not (").split("(")[-1].split(" ")[0].strip(",")
    assert stored(condition).text == expected.format(*tokens(key, values=leaves))


def test_a_number_in_a_path_may_be_an_index_or_a_key():
    text = stored('j_searchable["a"][0] == "x"').text
    assert TOKEN.findall(text) == tokens("j_searchable", "a", values=["x"]) + tokens(
        "j_searchable", "a", "0", values=["x"]
    )
    assert TOKEN.findall(stored('k_searchable["7"] == "x"').text) == TOKEN.findall(
        stored('k_searchable[7] == "x"').text
    )
    assert len(TOKEN.findall(stored('j_searchable["007"] == "x"').text)) == 1
    assert "at most 4 indices" in refused("j_searchable[0][0][0][0][0] == 1")


def test_where_the_two_readings_have_different_modes_the_place_is_refused():
    rule = PayloadRule(default="searchable", fields={"j_plain.a": "plain", "j_plain.b.0": "sealed"})
    fields = fields_of(rule=rule)
    assert "its mode is sealed" in refused('j_plain["b"][0] == "x"', fields=fields)
    mixed = PayloadRule(default="searchable", fields={"j_plain.a": "plain", "j_plain.a.0": "searchable"})
    assert "its mode is plain" in refused('j_plain["a"][0] == "x"', fields=fields_of(rule=mixed))
    assert stored('j_plain["a"][0] > 5', fields=fields).text == 'j_plain["a"][0] > 5'


def test_tokens_of_every_live_key_are_asked_for():
    both = fields_of(ring_of(1, 2))
    assert stored("n_searchable == 5", both).text == "n_searchable == {} or n_searchable == {}".format(
        *tokens("n_searchable", values=[5], fields=both)
    )
    assert len(TOKEN.findall(stored("n_searchable in [1, 2]", both).text)) == 4
    assert stored("array_contains(an_searchable, 5)", both).text.startswith("array_contains_any(an_searchable, [")


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ("n_searchable == 5", 'n_searchable == ""'),
        ("not (n_searchable == 5)", 'not (n_searchable == "")'),
        ("n_searchable != 5", 'n_searchable != ""'),
        ("n_searchable in [1, 2]", 'n_searchable in [""]'),
        ("n_searchable in []", "n_searchable in []"),
        ("array_contains(an_searchable, 5)", 'array_contains(an_searchable, "")'),
        ("array_contains_any(an_searchable, [5, 6])", 'array_contains_any(an_searchable, [""])'),
    ],
)
def test_where_there_are_no_keys_what_no_value_is_is_asked_for(condition, asked):
    """As of a tenant without records: a test of nothing would be none, or an error."""
    assert stored(condition, fields_of(ring_of(1).under(()))).text == asked


@pytest.mark.parametrize(
    ("condition", "what"),
    [
        *(("n_searchable > 5", "a range comparison"), ("5 >= n_searchable", "a range comparison")),
        *(
            ("1 < n_searchable < 5", "a range comparison"),
            ("n_searchable + 1 == 2", "arithmetic"),
            ("-n_searchable == 2", "arithmetic"),
        ),
        *(
            ("n_searchable % 2 == 0", "arithmetic"),
            ("n_plain == n_searchable + 1", "arithmetic"),
            ("n_searchable & 1 == 1", "arithmetic"),
        ),
        *(
            ("n_searchable == n_plain", "a comparison of two fields"),
            ("n_plain == n_searchable", "a comparison of two fields"),
        ),
        *(
            ("n_searchable == n_searchable", "a comparison of two fields"),
            ("an_searchable == [1]", "a comparison with a list"),
        ),
        *(
            ('t_searchable like "a%"', "like"),
            ('t_searchable =~ "a"', "a regular expression"),
            ('t_searchable !~ "a"', "a regular expression"),
        ),
        *(('text_match(t_searchable, "q")', "text_match"), ('phrase_match(t_searchable, "q")', "phrase_match")),
        *(
            ('starts_with(t_searchable, "q")', "starts_with"),
            ("empty(t_searchable)", "empty"),
            ('st_within(t_searchable, "P")', "st_within"),
        ),
        *(("n_searchable + 1 in [2]", "in"), ("array_length(an_plain) == n_searchable", "a comparison")),
    ],
)
def test_what_a_searchable_field_cannot_answer(condition, what):
    assert re.match(
        rf"{what} cannot be answered on field `(\w+)`: its mode is searchable \(rule of \1\); it needs mode plain",
        refused(condition),
    )


@pytest.mark.parametrize(
    "condition",
    [
        *(
            "n_sealed == 5",
            "5 != n_sealed",
            "n_sealed in [5]",
            "n_sealed not in [5]",
            "b_sealed",
            "not b_sealed",
            "n_sealed > 5",
        ),
        *(
            'j_sealed["a"] == 5',
            'json_contains(j_sealed["a"], 5)',
            "array_contains(an_sealed, 5)",
            "an_sealed[0] == 5",
            "k_sealed == 5",
        ),
        *(
            '$meta["k_sealed"] == 5',
            "anything == 5",
            't_sealed like "a"',
            "n_sealed == n_plain",
            "n_plain == 1 or n_sealed == 5",
        ),
        *(
            "n_sealed + 1 == 2",
            "-n_sealed == 1",
            "1 < n_sealed < 2",
            "json_contains_all(l_sealed, [])",
            "n_sealed in []",
            "n_sealed == {x}",
        ),
    ],
)
def test_content_of_a_sealed_field_cannot_be_asked_for(condition):
    text = refused(condition, templates={"x": s.TemplateValue(int64_val=5)})
    assert re.search(
        r"cannot be answered on field `[\w.]+`: its mode is sealed \(rule of [\w.]+\); it needs mode plain", text
    )


@pytest.mark.parametrize(
    "condition",
    [
        *("{} is null", "{} is not null", "not ({} is null)"),
        *(
            "array_length(an_sealed) == 2",
            "array_length(an_searchable) > 2",
            'array_length(j_sealed["a"]) == 0',
            "array_length(l_sealed) < 1",
        ),
        *(
            'exists j_sealed["a"]["b"]',
            "exists k_sealed",
            'exists $meta["k_sealed"]',
            'j_sealed["a"] is null',
            "vec is null",
        ),
    ],
)
def test_shape_can_be_asked_for_in_every_mode(condition):
    for name in ("n_sealed", "n_searchable", "an_sealed", "j_sealed"):
        assert stored(condition.format(name)).text == condition.format(name)


class TestTypes:
    """A constant is compared only with a field of a type that Milvus compares it with."""

    @pytest.mark.parametrize(
        ("condition", "field", "constant"),
        [
            ("n_searchable == 5.0", "Int64", "Double"),
            ('n_searchable == "5"', "Int64", "VarChar"),
            ("n_searchable == true", "Int64", "Bool"),
            ("i_searchable in [5, 5.5]", "Int8", "Double"),
            ("t_searchable == 5", "VarChar", "Int64"),
            ("t_searchable in [true]", "VarChar", "Bool"),
            ("b_searchable == 1", "Bool", "Int64"),
            ('b_searchable == "true"', "Bool", "VarChar"),
            ('d_searchable == "5"', "Double", "VarChar"),
            ("f_searchable == true", "Float", "Bool"),
            ("array_contains(an_searchable, 5.0)", "Int64", "Double"),
            ('an_searchable[0] == "5"', "Int64", "VarChar"),
            ("an_searchable == 5", "Array", "Int64"),
            ("t_searchable", "VarChar", "Bool"),
            ("n_searchable in [[5]]", "Int64", "Array"),
            ("json_contains(j_searchable, [5])", "JSON", "Array"),
            ("json_contains_any(j_searchable, [[5]])", "JSON", "Array"),
        ],
    )
    def test_others_are_refused(self, condition, field, constant):
        assert refused(condition).endswith(f"error: comparisons between {field} and {constant} are not supported")

    @pytest.mark.parametrize(
        ("condition", "why"),
        [
            ("n_searchable == 9223372036854775808", "value out of range"),
            ("n_searchable == 9223372036854775807 + 1", "value out of range"),
            ("d_searchable == 1e308 * 10", "value out of range"),
            ("n_searchable == 6 / 2", "constants joined by /"),
            ("n_searchable == 7 % 2", "constants joined by %"),
            ("n_searchable == 2 ** 2", r"constants joined by \*\*"),
            ("n_searchable == 6 & 2", "constants joined by &"),
            ('t_searchable == "a" + "b"', "arithmetic on constants takes numbers"),
            ("t_searchable[0] == 1", r"VarChar data type not supported accessed with \[\]"),
            ('n_plain["a"] == 1', r"Int64 data type not supported accessed with \[\]"),
            ('an_plain["a"] == 1', "can only access array field with integer index"),
            ("an_plain[0][1] == 1", "can only access array field with integer index"),
            ("array_contains(t_searchable, 1)", "contains operation are only supported on json or array fields now"),
            (
                "json_contains(j_searchable, n_plain)",
                "contains operation are only supported explicitly specified element",
            ),
            ("json_contains_any(j_searchable, 5)", "must be a list"),
            ("n_searchable in {x}", "must be a list"),
            ("exists n_plain", "exists operations are only supportted on json key"),
            ("exists j_plain", "exists operations are only supportted on json key"),
            ("vec == 1", "comparisons between FloatVector and other types are not supported"),
            ("vec[0] == 1", "comparisons between FloatVector|FloatVector data type not supported"),
            ("array_length(vec) == 1", "comparisons between FloatVector"),
            ("5", "predicate is not a boolean expression"),
            ('"text"', "predicate is not a boolean expression"),
            ("n_plain + 1", "predicate is not a boolean expression"),
            ("[1]", "predicate is not a boolean expression"),
            ("n_plain == 1 and 5", "predicate is not a boolean expression"),
            ("unknown_function(n_plain)", "function unknown_function not found"),
            ("Text_Match(t_plain, 'x')", "function Text_Match not found"),
            ("text_match('x', t_plain)", "text_match takes a field"),
            ("text_match(t_plain, n_plain)", "text_match takes a field and constants"),
            ("text_match(t_plain, 'x', threshold=1)", "mismatched input"),
            ("phrase_match(t_plain, 'x', slop=1)", "mismatched input"),
            ("random_sample(n_plain)", "float factor"),
            ("json_contains(j_plain)", "json_contains takes a field and 1 to 1 constants"),
            ("st_dwithin(t_plain, 'P')", "st_dwithin takes a field"),
        ],
    )
    def test_what_has_no_meaning_is_refused_in_milvus_words(self, condition, why):
        text = refused(condition, templates={"x": s.TemplateValue(int64_val=5)})
        assert text.startswith("failed to create query plan: cannot parse expression: ")
        assert re.search(why, text)


class TestNames:
    """Fields, dynamic keys, and what only the proxy knows of."""

    @pytest.mark.parametrize("name", ["_vg", "_vg_vec", "_vgx"])
    @pytest.mark.parametrize(
        "form",
        [
            *(
                "{} == 1",
                "1 < {} < 2",
                "{} is null",
                "exists {}",
                '$meta["{}"] == 1',
                '$meta["{}"]["x"] is not null',
                '{}["x"] == 1',
            ),
            *(
                "{}[0] == 1",
                "array_length({}) == 1",
                "json_contains({}, 1)",
                "array_contains_any({}, [1])",
                "{} in [1]",
                "not {}",
                "{}",
            ),
            *(
                "text_match({}, 'x')",
                "n_plain == 1 and {} == 1",
                "n_plain + {} == 1",
                "exists $meta['{}']",
                "{} like 'x'",
                "id == {}",
            ),
        ],
    )
    def test_hidden_names_do_not_exist_anywhere(self, name, form):
        assert refused(form.format(name)).endswith(f"error: field {name} not exist")

    def test_hidden_names_are_hidden_even_where_the_schema_has_them(self):
        columns = Columns({"_vg": Column("_vg", "_vg", D.VarChar)}, dynamic=True)
        for form in ("_vg == 'x'", "_vg is null", "exists _vg"):
            assert refused(form, columns=columns).endswith("error: field _vg not exist")

    def test_a_key_of_that_name_deeper_in_a_client_s_object_is_the_client_s(self):
        assert stored('j_plain["_vg"] == 1').text == 'j_plain["_vg"] == 1'
        assert stored('k_plain["_vg"] == 1').text == 'k_plain["_vg"] == 1'

    def test_unknown_names_are_dynamic_keys_only_where_there_are_such(self):
        fixed = Columns(COLUMNS.by_name, dynamic=False)
        assert stored("k_plain == 1").text == "k_plain == 1"
        assert refused("k_plain == 1", columns=fixed).endswith("error: field k_plain not exist")
        assert refused('$meta["k_plain"] == 1', columns=fixed).endswith("error: field k_plain not exist")

    @pytest.mark.parametrize("text", ["$meta[0] == 1", '$meta[0]["x"] is null'])
    def test_meta_needs_a_key(self, text):
        assert "needs a key" in refused(text)

    def test_stored_names_take_the_place_of_the_clients(self):
        columns = Columns({"a": Column("a", "a_at_rest", D.JSON), "b": Column("b", "b_at_rest", D.Int64)})
        fields = fields_of(rule=PayloadRule(default="searchable", fields={"b": "plain"}))
        text = 'a["x"] == "y" and b > 1 and a is null and array_length(a["y"]) == 1 and exists a["z"]'
        (token,) = tokens("a", "x", values=["y"], fields=fields)
        assert stored(text, fields, columns=columns).text == (
            f'a_at_rest["x"] == {token} and b_at_rest > 1 and a_at_rest is null and array_length(a_at_rest["y"]) == 1 '
            'and (exists a_at_rest["z"])'
        )

    def test_a_primary_key_is_plain_whatever_the_policy_says(self):
        assert fields_of().mode(("id",)) == "sealed"
        assert stored("id in [1, 2] and id > 0").text == "id in [1, 2] and id > 0"


VALUES = {
    "x": s.TemplateValue(int64_val=5),
    "word": s.TemplateValue(string_val='say "x"'),
    "flag": s.TemplateValue(bool_val=False),
    "real": s.TemplateValue(float_val=2.5),
    "numbers": s.TemplateValue(array_val=s.TemplateArrayValue(long_data=s.LongArray(data=[1, 2]))),
    "words": s.TemplateValue(array_val=s.TemplateArrayValue(string_data=s.StringArray(data=["a", "b"]))),
    "mixed": s.TemplateValue(array_val=s.TemplateArrayValue(json_data=s.JSONArray(data=[b"1", b'"a"', b"[true]"]))),
    "nested": s.TemplateValue(
        array_val=s.TemplateArrayValue(
            array_data=s.TemplateArrayValueArray(data=[s.TemplateArrayValue(bool_data=s.BoolArray(data=[True]))])
        )
    ),
    "none": s.TemplateValue(array_val=s.TemplateArrayValue()),
    "empty": s.TemplateValue(),
    "bytes": s.TemplateValue(bytes_val=b"x"),
    "infinite": s.TemplateValue(float_val=float("inf")),
    "broken": s.TemplateValue(array_val=s.TemplateArrayValue(json_data=s.JSONArray(data=[b"{"]))),
    "null": s.TemplateValue(array_val=s.TemplateArrayValue(json_data=s.JSONArray(data=[b"null"]))),
}


class TestTemplates:
    """Values beside the expression."""

    def asked(self, text, **options):
        return stored(text, templates=VALUES, **options)

    def test_values_of_plain_fields_travel_on_and_no_others(self):
        found = self.asked("n_plain > {x} and t_plain == {word}")
        assert found.text == "n_plain > {x} and t_plain == {word}"
        assert found.templates == {"x": VALUES["x"], "word": VALUES["word"]}
        assert self.asked("n_plain == 1").templates == {}

    def test_values_of_searchable_fields_become_tokens(self):
        found = self.asked(
            "n_searchable == {x} and t_searchable != {word} and b_searchable == {flag} and {real} == d_searchable"
        )
        assert TOKEN.findall(found.text) == [
            *tokens("n_searchable", values=[5]),
            *tokens("t_searchable", values=['say "x"']),
            *tokens("b_searchable", values=[False]),
            *tokens("d_searchable", values=[2.5]),
        ]
        assert found.templates == {}

    @pytest.mark.parametrize(
        "condition",
        ["t_searchable in {words}", "t_searchable not in {words}", "json_contains_any(l_searchable, {words})"],
    )
    def test_lists_become_template_values_of_another_name(self, condition):
        found = self.asked(f"{condition} and t_plain in {{words}}")
        key = "t_searchable" if "t_s" in condition else "l_searchable"
        assert found.text == condition.replace("{words}", "{words_0}") + " and t_plain in {words}"
        assert list(found.templates) == ["words_0", "words"]
        assert [f'"{token}"' for token in found.templates["words_0"].array_val.string_data.data] == tokens(
            key, values=["a", "b"]
        )

    def test_made_names_are_new_ones(self):
        values = {**VALUES, "words_0": VALUES["words"]}
        found = stored(
            "t_searchable in {words} and at_searchable[0] in {words} and t_plain in {words_0}", templates=values
        )
        assert found.text == "t_searchable in {words_1} and at_searchable[0] in {words_2} and t_plain in {words_0}"
        assert found.templates["words_1"] != found.templates["words_2"]

    def test_a_value_may_be_part_of_a_list(self):
        found = self.asked("n_searchable in [{x}, 6] and n_plain in [{x}, 6]")
        assert found.text == "n_searchable in [{}, {}] and n_plain in [{{x}}, 6]".format(
            *tokens("n_searchable", values=[5, 6])
        )
        assert list(found.templates) == ["x"]

    def test_inline_writes_every_value_into_the_text(self):
        found = self.asked(
            "n_plain > {x} and t_plain == {word} and b_plain == {flag} and d_plain < {real} and n_plain in {numbers} "
            "and json_contains(j_plain, {mixed}) and json_contains(j_plain, {nested}) and n_plain in {none} "
            "and t_searchable in {words}",
            inline=True,
        )
        assert found.templates == {}
        assert found.text == (
            'n_plain > 5 and t_plain == "say \\"x\\"" and b_plain == false and d_plain < 2.5 and n_plain in [1, 2] '
            'and json_contains(j_plain, [1, "a", [true]]) and json_contains(j_plain, [[true]]) and n_plain in [] and '
            "t_searchable in [{}, {}]".format(*tokens("t_searchable", values=["a", "b"]))
        )

    @pytest.mark.parametrize("inline", [True, False])
    @pytest.mark.parametrize("field", ["n_plain", "n_searchable"])
    @pytest.mark.parametrize("name", ["missing", "empty", "bytes", "broken", "null"])
    def test_values_that_are_missing_or_not_understood_are_refused(self, inline, field, name):
        with pytest.raises(InvalidArgument, match=r"the value of expression template variable name \{"):
            self.asked(f"{field} in {{{name}}}", inline=inline)

    def test_an_infinite_value_cannot_be_written(self):
        with pytest.raises(InvalidArgument, match="finite"):
            self.asked("d_plain > {infinite}", inline=True)
        assert list(self.asked("d_plain > {infinite}").templates) == ["infinite"]

    def test_types_of_values_are_those_of_the_field(self):
        with pytest.raises(InvalidArgument, match="comparisons between VarChar and Int64"):
            self.asked("t_searchable == {x}")


def test_no_protected_literal_is_left_in_what_is_sent():
    """Literals of every position on protected fields, where the field's mode answers."""
    secret = "jane-roe-j45"
    values = {
        "v": s.TemplateValue(string_val=secret),
        "w": VALUES["words"],
        "unused": s.TemplateValue(string_val=secret),
    }
    values["l"] = s.TemplateValue(array_val=s.TemplateArrayValue(string_data=s.StringArray(data=[secret, "x"])))
    found = stored(
        f't_searchable == "{secret}" or "{secret}" != t_searchable or t_searchable in ["{secret}", {{v}}] '
        f'or t_searchable == {{v}} or t_searchable in {{l}} or json_contains(l_searchable, "{secret}") '
        f"or json_contains_all(l_searchable, {{l}}) "
        f'or k_searchable["x"] == "{secret}" or array_contains_any(at_searchable, {{l}})',
        templates=values,
    )
    sent = found.text + "".join(str(value) for value in found.templates.values())
    assert secret not in sent
    assert sent.count("vg:") >= 9


@settings(max_examples=100, deadline=None)
@given(expressions("mixed"))
def test_every_constant_beside_a_searchable_field_is_a_token(text):
    """Where all fields are searchable, a constant that is sent is a token, a number of elements, or a primary key."""
    try:
        found = stored(text, fields_of(rule=PayloadRule(default="searchable")))
    except InvalidArgument:
        return
    for _, node in walk(parse(found.text)):
        match node:
            case Compare(_, Call("array_length"), _) | Member(Ref("id"), _, _):
                continue
            case Compare(_, _, constant) | Member(_, constant, _) | Call(_, (_, constant)):
                values = constant.items if isinstance(constant, Literals) else (constant,)
                assert all(str(value.value).startswith("vg:") for value in values), found.text
            case _:
                assert not isinstance(node, Between | Match)


def test_refusals_do_not_depend_on_what_else_is_asked():
    assert refused("n_plain == 1 or (n_plain == 2 and not (n_searchable > 3))").startswith(
        "a range comparison cannot be answered"
    )


def test_a_key_that_no_policy_can_name_is_refused_by_its_mode_too():
    for key in ('a"b', "a\\b"):
        text = refused(f'k_sealed["{key}"] == 1'.replace(key, key.replace("\\", "\\\\").replace('"', '\\"')))
        assert text.startswith("a comparison cannot be answered on field `k_sealed` and what is in it")
    assert TOKEN.findall(stored(r'k_searchable["a\"b"] == "x"').text) == tokens("k_searchable", 'a"b', values=["x"])


def test_the_number_of_values_is_bounded():
    """Here each integer is two values, as it may be stored as a float; at a place with two readings it is four."""
    assert len(TOKEN.findall(stored(f"k_searchable in {list(range(1, 1001))}").text)) == 2000
    for text in (f"k_searchable in {list(range(1, 50_002))}", f"k_searchable[0] in {list(range(1, 25_002))}"):
        assert "more than 100000 values" in refused(f"n_plain == 1 or {text}")


@pytest.mark.parametrize(
    "condition",
    [
        *('{} > ISO "2025-01-01T00:00:00Z"', '{} == ISO "2025-01-01T00:00:00Z"', 'ISO "2025" <= {}'),
        *('({} + INTERVAL "P1D") < ISO "2025"', 'st_within({}, "POINT (0 0)")', 'st_dwithin({}, "POINT (0 0)", 5)'),
        *("st_isvalid({})", '{} == "2025-01-01"', '{} in ["2025-01-01"]'),
    ],
)
def test_times_and_shapes_are_answered_where_they_are_plain_only(condition):
    columns = Columns({name: Column(name, name, D.Timestamptz) for name in ("t_plain", "t_searchable", "t_sealed")})
    text = condition.format("t_plain")
    assert stored(text, columns=columns).text == re.sub(r"^\((.*)\) <", r"\1 <", text)
    for name in ("t_searchable", "t_sealed"):
        assert re.search("cannot be answered|are not supported", refused(condition.format(name), columns=columns))
        assert stored(f"{name} is null", columns=columns).text == f"{name} is null"
